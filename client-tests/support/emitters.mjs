// Emitters and servers of other systems over the Redis of the nodes.

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { connect } from "./clients.mjs";
import { nodes } from "./nodes.mjs";
import { defer, eventually } from "./scope.mjs";

export const COMPAT = { "redis-compat": "socket.io,python-socketio", "socketio-namespaces": "/,/chat" };

// A client of Redis, which connects again whenever that was away.
export async function redisClient(t, store) {
  const client = createClient({ url: store.url, socket: { reconnectStrategy: 50 } });
  client.on("error", () => {});
  // What servers still send when they close is sent first.
  defer(t, () => (client.isReady ? client.quit() : client.disconnect()));
  await client.connect();
  return client;
}

// Nodes that serve emitters, once all of them are subscribed.
export async function compatible(t, store, n = 2, options = {}) {
  const servers = await nodes(t, store, n, { ...COMPAT, ...options });
  await subscribed(store, n, options["redis-compat-key"]);
  return servers;
}

// Waits until so many servers listen to requests, and the nodes among them to the rest: they subscribe to everything together.
export async function subscribed(store, n, key = "socket.io") {
  const counted = async () => (await store.ask("PUBSUB", "NUMSUB", `${key}-request#/#`)).split("\n")[1] === String(n);
  await eventually(counted, `not ${n} servers are subscribed`);
}

// An emitter of @socket.io/redis-emitter.
export async function emitter(t, store, options) {
  const client = await redisClient(t, store);
  // The emitter waits for no reply, so that one that fails while Redis is away would end the process.
  const publish = (...message) => client.publish(...message).catch(() => {});
  return new Emitter({ publish }, options);
}

// A Node server with @socket.io/redis-adapter, and a way to connect clients to it.
export async function nodeServer(t, store, options = {}) {
  const [pub, sub] = [await redisClient(t, store), await redisClient(t, store)];
  const server = createServer();
  const io = new Server(server, { adapter: createAdapter(pub, sub, { requestsTimeout: 3_000, ...options }) });
  defer(t, () => io.close());
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const open = async (namespace = "/") => {
    const socket = connect[4](url + namespace, { forceNew: true, transports: ["websocket"] });
    defer(t, () => socket.disconnect());
    await new Promise((resolve) => socket.on("connect", resolve));
    return socket;
  };
  return { io, open };
}
