// Backpressure: a client that sends more than its rate is read more slowly, and nothing of what it sends is lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { manager, MATRIX, open, upTo } from "./support/clients.mjs";
import { http, rawClient } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { peer } from "./support/websocket.mjs";

const RATE = 100;
const SLOW = {
  "limits-messages-per-second": RATE,
  "limits-messages-burst": RATE,
  "limits-user-messages-per-second": 0,
};

test("300 messages that were emitted while offline are stored in order, whatever the client and its transport", async (t) => {
  const server = await serve(t);
  await Promise.all(
    MATRIX.map(async ({ v, mode }) => {
      const who = `${mode}${v}`;
      const client = await open(t, server, { v, mode, user: who });
      const back = client.on("session");
      client.socket.io.engine.close();
      await eventually(() => !client.socket.connected, `${who} did not go`);
      const acks = upTo(300).map((i) => client.ask("message", { room: who, data: i }));
      for (const ack of await Promise.all(acks)) assert.equal(ack.ok, true, `${who}: ${JSON.stringify(ack)}`);
      assert.deepEqual((await client.history(who)).map((message) => message.data), upTo(300), who);
      assert.equal(back.items.length, 1, `${who} was disconnected`);
    }),
  );
});

test("a client that sends far more than fits is not taken for dead while it is not read", async (t) => {
  // What it sends next, its heartbeats above all, is not read for seconds.
  const server = await serve(t, {
    ...SLOW,
    "limits-messages-per-second": 50,
    "limits-inbox": 20,
    "socketio-ping-interval": "500ms",
    "socketio-ping-timeout": "3s",
  });
  const kinds = [2, 4].flatMap((v) => ["polling", "websocket"].map((mode) => ({ v, mode })));
  await Promise.all(
    kinds.map(async ({ v, mode }) => {
      const who = `${mode}${v}`;
      const client = await open(t, server, { v, mode, user: who });
      const gone = client.on("disconnect");
      // More than the system's buffers hold of a WebSocket. Client 2 sends by polling whatever it has in one payload.
      const text = "x".repeat(mode === "polling" ? 100 : 16_000);
      const acks = await Promise.all(upTo(450).map((i) => client.ask("message", { room: who, data: { i, text } })));
      assert.ok(acks.every((ack) => ack.ok), who);
      assert.deepEqual(gone.items, [], who);
    }),
  );
});

test("messages over the rate are delivered at the rate", async (t) => {
  const server = await serve(t, SLOW);
  const client = await open(t, server);
  const began = Date.now();
  await Promise.all(upTo(3 * RATE).map((i) => client.ok("message", { room: "lobby", data: i })));
  assert.ok(Date.now() - began >= 1_900, `${3 * RATE} were taken within ${Date.now() - began} ms`);
  const { body } = await http(server, "/metrics");
  assert.ok(Number(body.match(/^switchboard_held_back_seconds_count (\d+)$/m)[1]) > RATE, "it shows in the metrics");
});

test("other connections, those of the same transport included, are not held back", async (t) => {
  const server = await serve(t, { ...SLOW, "socketio-namespaces": "/,/chat" });
  const connect = manager(t, server);
  const [root, chat] = [connect("/"), connect("/chat")];
  await Promise.all([root.session(), chat.session()]);
  const flood = upTo(4 * RATE).map((i) => root.ok("message", { room: "lobby", data: i }));
  const last = Symbol("last");
  const first = await Promise.race([flood.at(-1).then(() => last), chat.ok("message", { room: "lobby", data: 1 })]);
  assert.notEqual(first, last);
  await Promise.all(flood);
});

test("a client that disconnects while it is held back has sent everything, and is gone at once", async (t) => {
  const server = await serve(t, { ...SLOW, "limits-messages-per-second": 5, "presence-grace": "0s" });
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "lobby");
  const left = bob.on("presence");
  const messages = bob.on("message");
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  for (const i of upTo(RATE + 50)) alice.socket.emit("message", { room: "lobby", data: i });
  await messages.count(RATE - 1);
  alice.socket.disconnect();
  await messages.count(RATE + 50);
  assert.deepEqual(messages.items.map(([message]) => message.data), upTo(RATE + 50));
  await left.until((items) => items.some(([told]) => told.event === "leave" && told.user === "alice"));
});

test("a client that disconnects after a flood gets no more of it through than one that stays", async (t) => {
  const server = await serve(t, { ...SLOW, "limits-backpressure": "1s", "presence-grace": "0s" });
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "lobby");
  const presence = bob.on("presence");
  const raw = await rawClient(t, server, { user: "alice" });
  const flood = upTo(10 * RATE).map((i) => `42["message",{"room":"lobby","data":${i}}]`);
  for (const packet of ['42["join","lobby"]', ...flood, "41"]) raw.send(packet);
  await presence.until((items) => items.some(([told]) => told.event === "leave" && told.user === "alice"));
  const { seq } = await bob.ok("history", "lobby");
  // A burst, and what a second takes; as much again while it all came in.
  assert.ok(seq >= RATE && seq <= 4 * RATE, `${seq} of ${flood.length} were stored`);
});

test("a flood is refused once the client has been over its rate for too long, with a time to retry", async (t) => {
  const server = await serve(t, { ...SLOW, "limits-backpressure": "1s" });
  const client = await open(t, server);
  const acks = await Promise.all(upTo(10 * RATE).map((i) => client.ask("message", { room: "lobby", data: i })));
  const refused = acks.filter((ack) => !ack.ok);
  assert.ok(acks.slice(0, 2 * RATE - 10).every((ack) => ack.ok), "a burst, and what a second takes");
  assert.ok(refused.length > RATE, `${refused.length} were refused`);
  for (const { error } of refused) {
    assert.equal(error.code, "rate_limited");
    assert.ok(error.retry_after_ms > 0, JSON.stringify(error));
  }
  // Once it has waited as it was told it has caught up, and is held back again instead.
  await pause(Math.max(...refused.map(({ error }) => error.retry_after_ms)));
  await Promise.all(upTo(50).map((i) => client.ok("message", { room: "lobby", data: i })));
});

test("a pointer that moves faster than the rate is shown where it is, if only the newest place counts", async (t) => {
  const server = await serve(t, { ...SLOW, "limits-messages-per-second": 5, "limits-messages-burst": 5, "limits-newest": "cursor" });
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "pad");
  const places = bob.on("cursor");
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "pad");
  const move = (x) => alice.ok("publish", { room: "pad", event: "cursor", data: x, ephemeral: true });
  // At once, although the rate alone would let the last in after half a minute.
  await Promise.all(upTo(300).map(move));
  await places.until((items) => items.at(-1)?.[0] === 300);
  const seen = places.items.map(([x]) => x);
  assert.deepEqual(seen, seen.toSorted((a, b) => a - b), "in order");
  assert.ok(seen.length < 50, `${seen.length} were passed on`);
});

test("events that are not kept count half", async (t) => {
  const server = await serve(t, { ...SLOW, "socketio-relay": "cursor", "limits-backpressure": "0s" });
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "pad");
  const relayed = bob.on("cursor");
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "pad");
  for (const i of upTo(RATE)) alice.socket.emit("cursor", i);
  await Promise.all(upTo(RATE - 10).map((i) => alice.ok("publish", { room: "pad", event: "e", data: i, ephemeral: true })));
  await relayed.count(RATE);
});

test("frames of a plain WebSocket beyond the rate are read more slowly", async (t) => {
  const server = await serve(t, SLOW);
  const alice = await peer(t, server, { room: "lobby" });
  const answers = await Promise.all(upTo(3 * RATE).map((n) => alice.ask("text", { data: n })));
  assert.ok(answers.every(({ type }) => type === "ack"));
  assert.deepEqual(answers.map(({ data }) => data.seq), upTo(3 * RATE));
});

test("joins beyond their rate wait for it", async (t) => {
  const server = await serve(t, { "limits-joins-per-second": 20, "limits-joins-burst": 20 });
  const alice = await open(t, server);
  await Promise.all(upTo(40).map((i) => alice.ok("join", `room${i}`)));
});

test("a user's rate is kept over all of the user's connections, and nothing is refused", async (t) => {
  const server = await serve(t, { "limits-user-messages-per-second": 100, "limits-user-messages-burst": 100 });
  const clients = await Promise.all(upTo(4).map(() => open(t, server, { user: "alice" })));
  const began = Date.now();
  await Promise.all(clients.flatMap((client) => upTo(75).map((i) => client.ok("message", { room: "lobby", data: i }))));
  assert.ok(Date.now() - began >= 1_900, `300 were taken within ${Date.now() - began} ms`);
});
