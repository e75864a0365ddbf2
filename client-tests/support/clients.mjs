// Stock socket.io clients of every supported major version, over every transport.

import assert from "node:assert/strict";
import sio2 from "sio2";
import { io as io3, Manager as Manager3 } from "sio3";
import { io as io4, Manager as Manager4 } from "sio4";
import { defer, Journal, within } from "./scope.mjs";

export const connect = { 2: sio2, 3: io3, 4: io4 };

const TRANSPORTS = {
  polling: ["polling"],
  websocket: ["websocket"],
  upgrade: ["polling", "websocket"],
};

// Every client over every transport.
export const MATRIX = [2, 3, 4].flatMap((v) => Object.keys(TRANSPORTS).map((mode) => ({ v, mode })));

export class Client {
  constructor(socket, v, name = `client ${v}`) {
    this.socket = socket;
    this.v = v;
    this.name = name;
    this.sessions = this.on("session");
    this.errors = this.on("error");
  }

  // Collects the arguments of every `event` from now on.
  on(event) {
    const journal = new Journal(`${event} at ${this.name}`);
    this.socket.on(event, (...args) => journal.add(args));
    return journal;
  }

  // The ack of an event.
  ask(event, ...args) {
    const acked = new Promise((resolve) => this.socket.emit(event, ...args, resolve));
    return within(acked, () => `no ack for ${event} ${JSON.stringify(args)?.slice(0, 200)}`);
  }

  // The ack of an event that has to succeed.
  async ok(event, ...args) {
    const ack = await this.ask(event, ...args);
    assert.equal(ack?.ok, true, `${event} ${JSON.stringify(args).slice(0, 200)} → ${JSON.stringify(ack)}`);
    return ack;
  }

  // The error of an event that has to be refused with one of `codes`.
  async refused(event, payload, ...codes) {
    const ack = await this.ask(event, payload);
    const shown = `${event} ${JSON.stringify(payload)?.slice(0, 200)} → ${JSON.stringify(ack)}`;
    assert.equal(ack?.ok, false, shown);
    assert.ok(codes.includes(ack.error?.code), `${shown}, expected ${codes}`);
    assert.equal(typeof ack.error.message, "string", shown);
    assert.notEqual(ack.error.message, "", shown);
    return ack.error;
  }

  // The whole history of a room, page by page.
  async history(room, limit = 100) {
    const messages = [];
    for (;;) {
      const page = await this.ok("history", { room, after: messages.at(-1)?.seq ?? 0, limit });
      messages.push(...page.messages);
      if (!page.more) return messages;
      assert.notEqual(page.messages.length, 0, "a page that is not the last has messages");
    }
  }

  // Waits for the `n`th session event: the first after connecting, one more after each reconnection.
  session(n = 1) {
    return this.sessions.until((items) => items[n - 1]?.[0], `session ${n}`);
  }

  close() {
    const manager = this.socket.io;
    manager.reconnection(false);
    this.socket.close();
    (manager._close ?? manager.close).call(manager);
  }
}

// A socket that is on its way; `user` and `token` go where this version can put them.
export function start(t, server, { v = 4, mode = "websocket", user, token, namespace = "/", ...options } = {}) {
  const query = { ...options.query };
  const auth = { ...options.auth };
  const place = v === 2 ? query : auth;
  if (user !== undefined) place.user = user;
  if (token !== undefined) place.token = token;
  const socket = connect[v](server.url + namespace, {
    // Client 2 prefers a WebSocket that is part of Node, as 22 has one, and that cannot send headers.
    forceNode: options.extraHeaders !== undefined,
    transports: TRANSPORTS[mode],
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
    ...options,
    query,
    ...(v === 2 ? {} : { auth }),
  });
  const client = new Client(socket, v, `client ${v} over ${mode}`);
  defer(t, () => client.close());
  return client;
}

// A client that is connected, has its session and, in upgrade mode, has upgraded.
export async function open(t, server, options = {}) {
  const client = start(t, server, options);
  const failed = new Promise((_, reject) => {
    client.socket.on("connect_error", (error) => reject(new Error(`connect_error: ${describe(error)}`)));
  });
  failed.catch(() => {});
  const upgraded = options.mode === "upgrade" ? upgrade(client.socket) : Promise.resolve();
  await Promise.race([client.session(), failed]);
  client.me = client.sessions.items[0][0];
  await within(upgraded, () => `client ${client.v} did not upgrade to websocket`);
  return client;
}

// Resolves when the connection has moved from polling to websocket.
export function upgrade(socket) {
  return new Promise((resolve) => {
    const watch = () => {
      const { engine } = socket.io;
      if (engine.transport?.name === "websocket") resolve();
      else engine.once("upgrade", () => resolve());
    };
    if (socket.io.engine) watch();
    else socket.io.once("open", watch);
  });
}

// The words of the refusal of a connection that must not succeed.
export function refusal(client) {
  const { socket } = client;
  const refused = new Promise((resolve, reject) => {
    socket.on("session", () => reject(new Error("the connection was accepted")));
    socket.on("connect_error", resolve);
    if (client.v === 2) socket.on("error", (error) => resolve({ message: error?.message ?? error }));
  });
  return within(refused, () => "the connection was neither accepted nor refused");
}

// Several namespaces over one connection.
export function manager(t, server, { v = 4, mode = "websocket" } = {}) {
  const Manager = { 2: sio2.Manager, 3: Manager3, 4: Manager4 }[v];
  const made = new Manager(server.url, { transports: TRANSPORTS[mode], reconnectionDelay: 50 });
  return (namespace, options) => {
    const client = new Client(made.socket(namespace, options), v);
    client.socket.connect();
    defer(t, () => client.close());
    return client;
  };
}

export function describe(error) {
  const cause = error?.description ?? error?.context;
  return `${error?.message ?? error} ${cause?.message ?? cause ?? ""}`;
}

// The seqs 1 to n.
export const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1);

// All values of an ack.
export const acknowledged = (client, event, ...args) =>
  within(new Promise((resolve) => client.socket.emit(event, ...args, (...values) => resolve(values))), () => `no ack for ${event}`);
