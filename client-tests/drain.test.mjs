// Draining: a server that gets SIGTERM says so, closes its connections so that stock clients come back, and loses
// nothing; the next process on the same port has them again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MATRIX, open, upTo } from "./support/clients.mjs";
import { http } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { metric } from "./support/web.mjs";

const DRAIN = { ...UNLIMITED, "drain-over": "1s" };

// Whether what the server sends reaches the client at once: it has a WebSocket, or a poll that waits.
function listens({ socket }) {
  const { transport } = socket.io.engine;
  return transport.name === "websocket" || (transport._polling ?? transport.polling);
}

test("every client receives draining, sees the transport close, and reconnects to the next process by itself", async (t) => {
  const server = await serve(t, DRAIN);
  const clients = await Promise.all(MATRIX.map(({ v, mode }) => open(t, server, { v, mode, user: `${mode}${v}` })));
  const told = clients.map((client) => client.on("draining"));
  const gone = clients.map((client) => client.on("disconnect"));
  const failures = clients.map((client) => client.on("connect_error"));
  const messages = clients.map((client) => client.on("message"));
  for (const client of clients) await client.ok("join", "lobby");
  await clients[0].ok("message", { room: "lobby", data: "before" });
  for (const journal of messages) await journal.count(1);
  // One that polls hears of the end by the poll that waits when it comes; requests are read in the order in which they were made.
  await eventually(() => clients.every(listens), "some clients do not poll");
  await http(server, "/healthz");

  const began = Date.now();
  const ended = await server.stop();
  assert.deepEqual(ended, { code: 0, signal: null }, server.log);
  assert.ok(Date.now() - began < 15_000, "in time");
  for (const [i, { v, mode }] of MATRIX.entries()) {
    const who = `client ${v} over ${mode}`;
    const [[notice]] = await told[i].count(1);
    assert.ok(Number.isInteger(notice.reconnect_in_ms) && notice.reconnect_in_ms >= 0, who);
    const [[reason]] = await gone[i].count(1);
    // Not "io server disconnect": after that a stock client would stay away.
    assert.match(reason, /^transport (close|error)$/, who);
  }

  await server.start();
  await Promise.all(clients.map((client) => client.session(2)));
  for (const [i, client] of clients.entries()) {
    const { messages } = await client.ok("join", { room: "lobby", history: 10 });
    assert.deepEqual(messages.map((message) => message.data), ["before"]);
    for (const [error] of failures[i].items) assert.notEqual(error.message, "Invalid namespace");
  }
});

test("a server that ends under load has stored everything it acknowledged", async (t) => {
  const server = await serve(t, { ...DRAIN, "history-messages": 1_000_000 });
  const clients = await Promise.all([2, 3, 4].map((v) => open(t, server, { v, user: `u${v}` })));
  const acked = new Map();
  let refused = [];
  for (const client of clients) {
    let n = 0;
    const send = () => {
      if (!client.socket.connected) return;
      const id = `${client.v}-${n++}`;
      client.socket.emit("message", { room: "lobby", id, data: id }, (ack) => {
        if (ack.ok) acked.set(id, ack.seq);
        else refused.push(ack.error.code);
        setImmediate(send);
      });
    };
    for (let i = 0; i < 8; i += 1) send();
  }
  await eventually(() => acked.size > 200, "the load did not start");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.deepEqual(refused.filter((code) => code !== "draining" && code !== "unavailable"), []);

  await server.start();
  const reader = await open(t, server, { user: "reader" });
  const stored = await reader.history("lobby", 1000);
  assert.deepEqual(stored.map((message) => message.seq), upTo(stored.length));
  const places = new Map(stored.map((message) => [message.id, message.seq]));
  assert.equal(places.size, stored.length);
  for (const [id, seq] of acked) assert.equal(places.get(id), seq, id);
});

test("a server without connections ends at once", async (t) => {
  const server = await serve(t, { "drain-over": "20s", "drain-deadline": "30s" });
  assert.deepEqual(await server.stop(5_000), { code: 0, signal: null });
});

test("where clients can only come back to this node they are closed within a moment, and are recovered", async (t) => {
  // The longest time over which these would be closed otherwise is three seconds.
  const server = await serve(t, UNLIMITED);
  const bob = await open(t, server, { user: "bob" });
  const modes = ["websocket", "polling", "upgrade"];
  const clients = await Promise.all(
    upTo(150).map(async (i) => {
      const client = await open(t, server, { mode: modes[i % 3], user: `user${i}`, reconnectionDelay: 1000, reconnectionDelayMax: 5000 });
      client.messages = client.on("message");
      client.returns = [];
      client.socket.on("connect", () => client.returns.push(client.socket.recovered));
      client.socket.on("disconnect", () => (client.closed = Date.now()));
      await client.ok("join", "lobby");
      return client;
    }),
  );
  await bob.ok("message", { room: "lobby", data: "before" });
  for (const client of clients) await client.messages.count(1);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  await eventually(() => clients.every((client) => client.closed), "not everybody was closed");
  const closed = clients.map((client) => client.closed).toSorted((a, b) => a - b);
  assert.ok(closed.at(-1) - closed[0] < 1_500, `they were closed over ${closed.at(-1) - closed[0]} ms`);
  await server.start();
  await bob.session(2);
  await bob.ok("message", { room: "lobby", data: "after" });
  for (const client of clients) {
    await client.messages.count(2);
    assert.deepEqual(client.messages.items.map(([message]) => message.data), ["before", "after"]);
    assert.deepEqual(client.returns, [true], client.name);
  }
});

test("a node that clients have to wait for accepts no new connection once it drains, and all clients return", async (t) => {
  const server = await serve(t, UNLIMITED);
  const clients = await Promise.all(
    upTo(150).map(async (i) => {
      const client = await open(t, server, { user: `user${i}`, reconnectionDelay: 500, reconnectionDelayMax: 1000 });
      client.socket.on("disconnect", () => (client.closed ??= Date.now()));
      await client.ok("join", "lobby");
      return client;
    }),
  );
  const stopped = server.stop();
  // They are closed over a quarter of a second; all that time it would answer who comes, and refuse.
  const attempt = () => http(server, "/socket.io/?EIO=4&transport=polling").then(() => null, (error) => error.code);
  await eventually(async () => (await attempt()) === "ECONNREFUSED", "new connections are taken");
  const refused = Date.now();
  assert.deepEqual(await stopped, { code: 0, signal: null });
  await eventually(() => clients.every((client) => client.closed), "not everybody was closed");
  assert.ok(refused < Math.max(...clients.map((client) => client.closed)), "refused only when all were closed");
  await server.start();
  for (const client of clients) {
    await client.session(2);
    assert.ok(client.socket.recovered, client.name);
  }
});

test("a queued handshake gets its response at once when the node drains", async (t) => {
  const server = await serve(t, { "limits-connects-per-second": 1, "limits-connects-burst": 1, "limits-connects-wait": "1m" });
  const path = "/socket.io/?EIO=4&transport=polling";
  const answers = upTo(30).map(() => http(server, path));
  // The first to arrive, whichever that is.
  assert.equal((await Promise.race(answers)).status, 200);
  // A request that the server has not read yet is not queued, and its connection is closed.
  await eventually(async () => (await metric(server, "switchboard_handshakes")) === 30, "not all of them are queued");
  await server.stop(5_000);
  const refused = (await Promise.all(answers)).filter(({ status }) => status !== 200);
  assert.ok(refused.length > 20, `${refused.length} were refused`);
  for (const { status, body } of refused) {
    assert.equal(status, 503);
    assert.equal(JSON.parse(body).code, "draining");
  }
});
