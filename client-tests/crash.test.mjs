// Crashes: whatever moment the server is killed at, what it acknowledged is stored, once.
// SWITCHBOARD_LONG=1 kills it more often.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { open, upTo } from "./support/clients.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const KILLS = process.env.SWITCHBOARD_LONG === "1" ? 200 : 20;
const WINDOW = 16;

// Keeps WINDOW messages in flight; after a reconnection those without an ack are sent again with the same id.
class Writer {
  acked = new Map();
  duplicates = 0;
  refused = [];
  #pending = new Set();
  #next = 0;
  #stopping = false;

  constructor(client, name) {
    this.client = client;
    this.name = name;
    client.socket.on("connect", () => this.#pending.forEach((id) => this.#send(id)));
    this.#fill();
  }

  get idle() {
    return this.#pending.size === 0;
  }

  // How it stands, for a failure that has to be understood afterwards.
  toString() {
    const { connected, io } = this.client.socket;
    const transport = io.engine?.transport?.name;
    const waiting = [...this.#pending].join(" ");
    return `${this.name} connected=${connected} ${transport} ${io.engine?.readyState}, without an ack: ${waiting || "nothing"}`;
  }

  stop() {
    this.#stopping = true;
  }

  #fill() {
    while (!this.#stopping && this.#pending.size < WINDOW) {
      const id = `${this.name}-${this.#next++}`;
      this.#pending.add(id);
      this.#send(id);
    }
  }

  #send(id) {
    const { socket } = this.client;
    // Not into the client's own buffer: it would send it a second time by itself.
    if (!socket.connected) return;
    socket.emit("message", { room: "lobby", id, data: id }, (ack) => {
      if (!ack.ok) {
        this.last = ack.error;
        // Storage that cannot take it now may be asked again; anything else is a defect.
        if (ack.error.code !== "unavailable") this.refused.push(ack.error);
        setTimeout(() => this.#send(id), 50);
        return;
      }
      if (ack.duplicate) this.duplicates += 1;
      const before = this.acked.get(id);
      if (before !== undefined) assert.equal(ack.seq, before, `${id} was acknowledged as two messages`);
      this.acked.set(id, ack.seq);
      this.#pending.delete(id);
      this.#fill();
    });
  }
}

test(`after ${KILLS} kills at any moment every acknowledged message is stored exactly once`, async (t) => {
  const server = await serve(t, {
    ...UNLIMITED,
    "history-messages": 1_000_000,
    // A connection that a kill has left half open is noticed by its heartbeat, here within the time of the test.
    "socketio-ping-interval": "1s",
    "socketio-ping-timeout": "2s",
  });
  const clients = await Promise.all(
    [[2, "websocket"], [3, "upgrade"], [4, "websocket"], [4, "polling"], [4, "upgrade"]].map(([v, mode], i) =>
      open(t, server, { v, mode, user: `writer${i}`, reconnectionDelay: 10, reconnectionDelayMax: 50 }),
    ),
  );
  const writers = clients.map((client, i) => new Writer(client, `w${i}`));
  const acked = () => writers.reduce((sum, writer) => sum + writer.acked.size, 0);

  for (let kill = 0; kill < KILLS; kill += 1) {
    const before = acked();
    await eventually(() => acked() > before + 20, `no progress before kill ${kill}`, 30_000);
    // The kill must come at no particular moment, so this one wait is for time.
    await pause(Math.random() * 400);
    await server.kill();
    await server.start();
  }
  writers.forEach((writer) => writer.stop());
  await eventually(() => writers.every((writer) => writer.idle), "some messages were never acknowledged", 30_000).catch(
    (error) => {
      const refusals = JSON.stringify(writers.map(({ last }) => last));
      throw new Error(`${error.message}\n${writers.join("\n")}\n${refusals}\n${server.log.slice(-3000)}`);
    },
  );

  for (const writer of writers) assert.deepEqual(writer.refused, []);
  const reader = await open(t, server, { user: "reader" });
  const stored = await reader.history("lobby", 1000);
  assert.deepEqual(
    stored.map((message) => message.seq),
    upTo(stored.length),
    "the numbers have no hole",
  );
  const places = new Map(stored.map((message) => [message.id, message]));
  assert.equal(places.size, stored.length, "no message is stored twice");
  for (const writer of writers) {
    assert.ok(writer.acked.size > KILLS, `${writer.name} was acknowledged ${writer.acked.size} messages`);
    for (const [id, seq] of writer.acked) {
      assert.equal(places.get(id)?.seq, seq, `${id} was acknowledged as ${seq}`);
      assert.equal(places.get(id).data, id);
    }
  }
  // Everything that was sent was acknowledged in the end, so there is nothing else.
  assert.equal(stored.length, acked());
  t.diagnostic(`${stored.length} messages, ${writers.reduce((sum, { duplicates }) => sum + duplicates, 0)} repeats`);
});
