// A document: its text, the copy that this browser keeps, and the connection to the server.

import { IndexeddbPersistence } from "y-indexeddb";
import type { Awareness } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { personOf } from "./people";

const SERVER: string = import.meta.env.VITE_SWITCHBOARD_URL ?? "http://127.0.0.1:3000";

export type ConnectionState = { status: "connecting" | "connected" | "offline" | "refused"; reason?: string };

export type OpenDocument = ReturnType<typeof openDocument>;

/** Opens a document, online or not. What was typed offline is kept in this browser, also over a reload, and is sent once there is a connection. */
export function openDocument(name: string, user: string, online: boolean, stateChanged: (state: ConnectionState) => void) {
  const doc = new Y.Doc();
  const text = doc.getText("text");
  new IndexeddbPersistence(`editor/${name}`, doc);
  const provider = new WebsocketProvider(`${SERVER.replace(/^http/, "ws")}/yjs`, encodeURIComponent(name), doc, {
    connect: false,
    // In open mode the name will do. A server with keys wants `token` instead.
    params: { user: user.replace(/\s+/g, "-") },
  });
  const { awareness } = provider;
  awareness.setLocalStateField("user", personOf(user));
  provider.on("sync", (synced) => synced && stateChanged({ status: "connected" }));
  provider.on("connection-close", () => stateChanged({ status: "offline" }));
  provider.on("status", ({ status }) => status === "disconnected" && forgetOthers(awareness));
  // Closed for good, with a code from 4400 to 4499: connecting again would change nothing.
  provider.on("closed", ({ reason }) => stateChanged({ status: "refused", reason }));

  function setOnline(online: boolean) {
    stateChanged({ status: online ? "connecting" : "offline" });
    if (online) provider.connect();
    else provider.disconnect();
  }

  setOnline(online);
  return {
    text,
    awareness,
    setOnline,
    close() {
      provider.destroy();
      doc.destroy();
    },
  };
}

/** Without a connection nobody is known to be here. To be seen again as they were, their states must not count as known. */
function forgetOthers({ clientID, meta }: Awareness) {
  for (const other of meta.keys()) if (other !== clientID) meta.delete(other);
}
