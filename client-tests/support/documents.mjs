// Documents that stock Yjs clients edit: y-websocket 2 and 3, Hocuspocus 3 and 4, and y-socket.io.

import assert from "node:assert/strict";
import * as hocuspocus4 from "@hocuspocus/provider";
import * as hocuspocus3 from "hocuspocus3";
import WebSocket from "ws";
import { SocketIOProvider } from "y-socket.io";
import { WebsocketProvider as Provider2 } from "y-websocket2";
import { WebsocketProvider as Provider3 } from "y-websocket";
import * as Y from "yjs";
import { defer, eventually } from "./scope.mjs";

export const Y_WEBSOCKET = ["y-websocket 2", "y-websocket 3"];
export const HOCUSPOCUS = ["Hocuspocus 3", "Hocuspocus 4"];
export const CLIENTS = [...Y_WEBSOCKET, ...HOCUSPOCUS, "y-socket.io"];

// One that Hocuspocus gives up while it connects has no listener for that any more.
class QuietWebSocket extends WebSocket {
  constructor(...options) {
    super(...options);
    this.on("error", () => {});
  }
}

// The provider of a client, with what its name stands for: how it is made, synced, cut and connected again.
const yWebSocket = (Provider) => (server, name, doc, { token, user }) => {
  const params = token ? { token } : { user };
  const options = { params, WebSocketPolyfill: WebSocket, disableBc: true, maxBackoffTime: 200 };
  const provider = new Provider(`ws://${server.address}/yjs`, name, doc, options);
  provider.on("connection-error", () => {});
  return {
    provider,
    stop: () => (provider.shouldConnect = false),
    cut: () => provider.ws?.terminate(),
    connect: () => provider.connect(),
    destroy: () => provider.destroy(),
  };
};

const hocuspocus = ({ HocuspocusProvider, HocuspocusProviderWebsocket }) => (server, name, document, { token, user, websocket, ...more }) => {
  const options = { WebSocketPolyfill: QuietWebSocket, delay: 50, minDelay: 50, maxDelay: 200 };
  const socket = websocket ?? new HocuspocusProviderWebsocket({ url: `ws://${server.address}/collab?user=${user}`, ...options });
  const provider = new HocuspocusProvider({ websocketProvider: socket, name, document, token: token ?? "", ...more });
  provider.attach();
  return {
    provider,
    websocket: socket,
    stop: () => (socket.shouldConnect = false),
    cut: () => socket.webSocket?.terminate(),
    connect: () => socket.connect(),
    destroy() {
      provider.destroy();
      if (!websocket) socket.destroy();
    },
  };
};

const ySocketIo = (server, name, doc, { token, user, ...more }) => {
  const options = { reconnectionDelay: 50, reconnectionDelayMax: 200, ...more };
  const provider = new SocketIOProvider(server.url, name, doc, { auth: token ? { token } : { user }, disableBc: true }, options);
  const { socket } = provider;
  return {
    provider,
    // The client reconnects by itself unless its manager is told otherwise.
    stop: () => socket.io.reconnection(false),
    // While it connects it would wait for its timeout.
    cut: () => socket.connected && socket.io.engine.close(),
    connect() {
      socket.io.reconnection(true);
      if (!socket.connected) socket.connect();
    },
    destroy() {
      // First: the provider forgets a socket that is connecting, and of one that is connected tells the other tabs, whose channel
      // would keep the process running.
      socket.disconnect();
      provider.destroy();
    },
  };
};

const OPEN = {
  "y-websocket 2": yWebSocket(Provider2),
  "y-websocket 3": yWebSocket(Provider3),
  "Hocuspocus 3": hocuspocus(hocuspocus3),
  "Hocuspocus 4": hocuspocus(hocuspocus4),
  "y-socket.io": ySocketIo,
};

// A client that has a document open.
export class Editor {
  constructor(server, name, { client = "y-websocket 3", user = "guest", ...more } = {}) {
    this.doc = new Y.Doc();
    Object.assign(this, OPEN[client](server, name, this.doc, { user, ...more }));
  }

  get text() {
    return this.doc.getText("text");
  }

  get awareness() {
    return this.provider.awareness;
  }

  // What the other clients show of themselves, by their names.
  get others() {
    const states = [...this.awareness.getStates()].filter(([id]) => id !== this.doc.clientID);
    return states.map(([, state]) => state.name).filter(Boolean).toSorted();
  }

  // Whether it has what the server has and, as far as the protocol tells, the server has what it has.
  get isSynced() {
    return this.provider.synced && !this.provider.hasUnsyncedChanges;
  }

  async synced() {
    await eventually(() => this.isSynced, "the document is synced");
    return this;
  }

  close() {
    this.destroy();
    // Awareness belongs to the document, not to the provider: its interval would keep the process running.
    this.doc.destroy();
  }
}

// Opens a document, and closes it with the test.
export async function edit(t, server, name, options) {
  const editor = new Editor(server, name, options);
  defer(t, () => editor.close());
  return editor.synced();
}

// Everything that a document has, in a form that can be compared: Yjs may encode the same document in different ways.
export const content = (doc) => ({
  text: doc.getText("text").toDelta(),
  map: Object.entries(doc.getMap("map").toJSON())
    .map(([key, value]) => [key, value instanceof Y.Doc ? { guid: value.guid } : value])
    .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  array: doc.getArray("array").toJSON(),
  xml: doc.getXmlFragment("xml").toString(),
  vector: [...Y.decodeStateVector(Y.encodeStateVector(doc))].toSorted(([a], [b]) => a - b),
});

// Waits until all editors have the same, and returns it.
export async function agreed(editors, ms = 20_000) {
  const same = () => {
    const [first, ...others] = editors.map(({ doc }) => JSON.stringify(content(doc)));
    return others.every((other) => other === first);
  };
  await eventually(same, "all have the same document", ms).catch(() => {
    const [first, ...others] = editors.map(({ doc }) => content(doc));
    for (const other of others) assert.deepEqual(other, first);
  });
  return content(editors[0].doc);
}
