// The connection's state.

import type { ConnectionSnapshot } from "../types.js";
import { IDLE_CONNECTION } from "../idle.js";
import { useClient } from "./provider.js";
import { useSelection } from "./selection.js";

const everything = (snapshot: ConnectionSnapshot) => snapshot;

/**
 * The connection's state, or what `select` takes of it: the component renders only when that changes (fields are compared, so it may
 * return a new object each time). It does not connect.
 */
export function useConnection(): ConnectionSnapshot;
export function useConnection<Part>(select: (connection: ConnectionSnapshot) => Part): Part;
export function useConnection(select: (connection: ConnectionSnapshot) => unknown = everything): unknown {
  return useSelection(useClient().connection, select, IDLE_CONNECTION);
}
