// Clients of the package @switchboard/client, over each of its links, and waiting for what their stores show.

import WebSocket from "ws";
import { connectPlain, createClient } from "../../client/dist/esm/index.js";
import { defer, within } from "./scope.mjs";

export const LINKS = ["socket.io", "plain"];

const RECONNECT = { minDelay: 40, maxDelay: 200, attempts: 1000 };

// A client for the test `t`. `user` and `token` are what it says about itself, unless there is an `auth`.
export function client(t, server, { link = "socket.io", user, token, ...options } = {}) {
  const auth = { ...(user && { user }), ...(token && { token }) };
  const common = { auth, reconnect: RECONNECT, ...options };
  const made =
    link === "plain"
      ? connectPlain(server.url, { WebSocket, ...common })
      : createClient(server.url, { socket: { transports: ["websocket"] }, ...common });
  defer(t, () => made.close());
  return made;
}

// Waits until what `store` shows meets `condition`, and returns that snapshot.
export function shows(store, condition, what = "what was awaited", ms = 15_000) {
  let end = () => {};
  const met = new Promise((resolve, reject) => {
    const look = () => {
      try {
        const snapshot = store.getSnapshot();
        if (condition(snapshot)) resolve(snapshot);
      } catch (error) {
        reject(error);
      }
    };
    end = store.subscribe(look);
    look();
  });
  return within(met, () => `${what} was not shown, but ${brief(store.getSnapshot())}`, ms).finally(() => end());
}

function brief({ messages, ...rest }) {
  const last = messages?.slice(-3).map(({ seq, state, data }) => ({ seq, state, data }));
  return JSON.stringify({ ...rest, messages: messages && { length: messages.length, last } });
}

export const joined = (room) => shows(room, ({ status }) => status === "joined", `${room.name}: joined`);

export const connected = (client) => shows(client.connection, ({ status }) => status === "connected", "connected");

// A room that is joined, and stays so until the test ends.
export async function enter(t, client, name) {
  const room = client.room(name);
  const leave = room.subscribe(() => {});
  defer(t, async () => leave());
  await joined(room);
  return room;
}

export const data = (room) => room.getSnapshot().messages.map((message) => message.data);
export const seqs = (room) => room.getSnapshot().messages.map((message) => message.seq);
export const states = (room) => room.getSnapshot().messages.map((message) => message.state);

// A storage as browsers have it.
export class Storage {
  #items = new Map();

  get length() {
    return this.#items.size;
  }

  key(index) {
    return [...this.#items.keys()][index] ?? null;
  }

  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  setItem(key, value) {
    this.#items.set(key, String(value));
  }

  removeItem(key) {
    this.#items.delete(key);
  }
}
