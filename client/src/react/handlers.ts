// Handlers of events. Their components do not render, and the handler of the latest render is called without subscribing again.

import { useCallback, useEffect, useInsertionEffect, useRef } from "react";
import type { EventHandler, SignalHandler } from "../types.js";
import { useClient } from "./provider.js";

/** Calls `handler` for each event of that name in the room, in order, each once. The room is joined while the component is mounted. */
export function useEvent<Data = any>(room: string, event: string, handler: EventHandler<Data>): void {
  const client = useClient<any>();
  const newest = useNewest(handler);
  useEffect(() => client.room(room).on(event, newest), [client, room, event, newest]);
}

/** Calls `handler` for each signal of that name; what it returns, or resolves with, is the reply. */
export function useSignal<Data = any>(event: string, handler: SignalHandler<Data>): void {
  const client = useClient<any>();
  const newest = useNewest(handler);
  useEffect(() => client.onSignal(event, newest), [client, event, newest]);
}

/** A function that never changes and calls the latest `callback`. */
export function useNewest<Args extends unknown[], Result>(callback: (...args: Args) => Result): (...args: Args) => Result {
  const newest = useRef(callback);
  // Before any effect of the same commit may cause an event.
  useInsertionEffect(() => {
    newest.current = callback;
  });
  return useCallback((...args) => newest.current(...args), []);
}
