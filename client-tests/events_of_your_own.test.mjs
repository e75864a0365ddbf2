// Events of an application's own: who owns a name, how events are relayed, and what is left of the contract where it is off.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MATRIX, open, start, upTo } from "./support/clients.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { rawClient } from "./support/raw.mjs";
import { eventually, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { Caller } from "./support/web.mjs";

const KEY = "an-api-key-of-enough-characters";

const together = (t, server, users, options) =>
  Promise.all(users.map((user) => open(t, server, { user, ...options })));

// A client where the contract, and so the session event, is off.
async function bare(t, server, options) {
  const client = start(t, server, options);
  await within(new Promise((resolve) => client.socket.on("connect", resolve)), () => "it did not connect");
  return client;
}

test("a relayed event may have any name of the contract, which then is no event of the contract any more", async (t) => {
  const names = ["typing", "message", "join", "leave", "status", "read", "history"];
  const server = await serve(t, { ...UNLIMITED, "socketio-relay": names.join(",") });
  const [alice, bob] = await together(t, server, ["alice", "bob"]);
  for (const name of names) {
    const seen = bob.on(name);
    alice.socket.emit(name, name, 1);
    await seen.count(1);
    assert.deepEqual(seen.items, [[name, 1]], name);
  }
  // What is not named is the contract's as before.
  await alice.refused("signal", {}, "bad_request");
  await alice.refused("nothing", 1, "not_found");
});

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode}: name leaves the sender out, name=all does not, name=ack answers with nothing`, async (t) => {
    const server = await serve(t, { ...UNLIMITED, "socketio-relay": "draw, chat message=all, save=ack, both=all=ack" });
    const [alice, bob] = await together(t, server, ["alice", "bob"], { v, mode });
    const events = ["draw", "chat message", "save", "both"];
    const [atAlice, atBob] = [alice, bob].map((client) => {
      const seen = [];
      for (const event of events) client.socket.on(event, (n) => seen.push([event, n]));
      return seen;
    });
    for (const [n, event] of events.entries()) alice.socket.emit(event, n);
    const acks = await Promise.all(
      events.map((event) => within(new Promise((resolve) => alice.socket.emit(event, 7, (...args) => resolve(args))), () => `no ack of ${event}`)),
    );
    assert.deepEqual(acks, [[{ ok: true }], [{ ok: true }], [], []]);
    const all = [...events.entries()].map(([n, event]) => [event, n]).concat(events.map((event) => [event, 7]));
    await eventually(() => atBob.length === all.length, "bob has not received everything");
    assert.deepEqual(atBob, all);
    await eventually(() => atAlice.length === 4, "alice has not received what is hers");
    assert.deepEqual(atAlice, all.filter(([event]) => ["chat message", "both"].includes(event)));
  });
}

test("a pattern relays the events it matches, and a rule may be for one namespace", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-namespaces": "/,/game", "socketio-relay": "cart:*=all,/game move" });
  const [alice, bob] = await together(t, server, ["alice", "bob"]);
  const added = [alice, bob].map((client) => client.on("cart:add"));
  alice.socket.emit("cart:add", 1);
  for (const journal of added) await journal.count(1);
  await alice.refused("cart", 1, "not_found");
  await alice.refused("move", 1, "not_found");
  const [carol, dave] = await together(t, server, ["carol", "dave"], { namespace: "/game" });
  const moved = dave.on("move");
  await carol.ok("move", 1);
  await moved.count(1);
});

test("a pattern relays nothing that Socket.IO or the server uses itself, and nothing that is mostly blanks or name", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-relay": "*=all", "limits-message-bytes": "1 KiB" });
  const victims = await Promise.all([2, 3, 4].map((v) => open(t, server, { v, user: `victim${v}` })));
  const ends = victims.map((client) => client.on("disconnect"));
  const seen = victims.flatMap((client) => ["kicked", "connect", "notification", "x"].map((name) => client.on(name)));
  const attacker = await rawClient(t, server, { user: "attacker" });
  for (const name of ["disconnect", "connect", "connect_error", "newListener", "error", "kicked", "session", "notification", "x".repeat(70)]) {
    attacker.send(`42["${name}",{"room":"lobby"}]`);
  }
  attacker.send(`42["x",1${" ".repeat(5000)}]`);
  const done = victims.map((client) => client.on("done"));
  attacker.send('42["done"]');
  for (const journal of done) await journal.count(1);
  for (const journal of [...ends, ...seen]) assert.deepEqual(journal.items, [], journal.name);
});

test("arguments are relayed as they are, whatever they are and however their name is written", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-relay": '*=all' });
  const names = ["5", "näme 🦀", 'quo"te', "back\\slash", "with blank"];
  const lists = [
    [],
    [null],
    [1, "two", [3, [4]], { five: { six: null } }, true],
    [{ deep: [{ bytes: Buffer.from([1, 2, 3]) }] }, Buffer.alloc(0)],
    ["2026-11-30T12:00:00.000Z", 1e21, -0.5],
  ];
  for (const [from, to] of [[2, 3], [3, 4], [4, 2]]) {
    const [alice, bob] = await Promise.all([
      open(t, server, { user: "alice", v: from }),
      open(t, server, { user: "bob", v: to, mode: "polling" }),
    ]);
    for (const name of names) {
      const seen = bob.on(name);
      for (const args of lists) alice.socket.emit(/^\d+$/.test(name) ? Number(name) : name, ...args, null);
      await seen.count(lists.length);
      assert.deepEqual(seen.items, lists.map((args) => [...args, null]), `${name} from ${from} to ${to}`);
    }
    for (const client of [alice, bob]) client.close();
  }
});

test("relayed events keep their place among the messages of their room and the other events of their sender", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-relay": "draw" });
  const [alice, bob] = await together(t, server, ["alice", "bob"]);
  for (const client of [alice, bob]) await client.ok("join", "board");
  const seen = [];
  bob.socket.on("draw", (n) => seen.push(n));
  bob.socket.on("message", ({ data }) => seen.push(data));
  bob.socket.on("cursor", (n) => seen.push(n));
  const n = 600;
  for (let i = 0; i < n; i += 1) {
    if (i % 3 === 0) alice.socket.emit("draw", i, Buffer.from([i % 256]));
    else if (i % 3 === 1) alice.socket.emit("message", { room: "board", data: i });
    else alice.socket.emit("publish", { room: "board", event: "cursor", data: i, ephemeral: true });
  }
  await eventually(() => seen.length === n, "not everything has come");
  assert.deepEqual(seen, upTo(n).map((i) => i - 1));
});

test("without the contract its events are nobody's, no notice is sent, and what a back end publishes arrives", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-contract": false, "socketio-relay": "chat message=all", "auth-api-keys": KEY });
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => bare(t, server, { user })));
  for (const event of ["join", "message", "status"]) await alice.refused(event, { room: "lobby" }, "not_found");
  const chat = bob.on("chat message");
  alice.socket.emit("chat message", "hi");
  await chat.count(1);
  assert.deepEqual(alice.sessions.items, []);
  const notified = alice.on("notification");
  const backEnd = new Caller(server, { key: KEY });
  await backEnd.ok(201, "POST", "/v1/users/alice/notifications", { body: { data: 1 } });
  await notified.count(1);
});

test("the contract may hold in some namespaces only", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-namespaces": "/,/chat", "socketio-contract": "/chat" });
  const chatting = await open(t, server, { user: "alice", namespace: "/chat" });
  await chatting.ok("join", "lobby");
  const plain = await bare(t, server, { user: "bob" });
  await plain.refused("join", "lobby", "not_found");
});

test("a client is recovered where the contract is off, and its relayed strings are no offsets", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-contract": false, "socketio-relay": "chat message=all" });
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => bare(t, server, { user })));
  const chat = bob.on("chat message");
  alice.socket.emit("chat message", "just text");
  await chat.count(1);
  assert.equal(chat.items[0][0], "just text");
  const again = within(new Promise((resolve) => bob.socket.on("connect", resolve)), () => "it did not come back");
  bob.socket.io.engine.close();
  await again;
  assert.equal(bob.socket.recovered, true);
});

for (const { store, begin } of STORES) {
  test(`over ${store} relayed events reach the members on all nodes once, in the order of their room`, async (t) => {
    const all = await nodes(t, await begin(t), 2, { ...UNLIMITED, "socketio-relay": "draw,everybody=all" });
    const alice = await open(t, all[0], { user: "alice" });
    const bob = await open(t, all[1], { user: "bob" });
    const carol = await open(t, all[1], { user: "carol" });
    for (const client of [alice, bob]) await client.ok("join", "a");
    const far = carol.on("draw");
    const seen = [];
    bob.socket.on("draw", (n, bytes) => seen.push(n) && assert.deepEqual([...bytes], [n % 256, 255]));
    bob.socket.on("message", ({ data }) => seen.push(data));
    const n = 200;
    for (let i = 0; i < n; i += 1) {
      if (i % 2 === 0) alice.socket.emit("draw", i, Buffer.from([i % 256, 255]));
      else alice.socket.emit("message", { room: "a", data: i });
    }
    await eventually(() => seen.length >= n, "not everything has come");
    assert.deepEqual(seen, upTo(n).map((i) => i - 1));
    assert.deepEqual(far.items, []);
    // In several rooms, to the members of any of them, once.
    await carol.ok("join", "b");
    for (const client of [alice, bob]) await client.ok("join", "b");
    const drawn = bob.on("draw");
    alice.socket.emit("draw", 0, Buffer.from([0, 255]));
    alice.socket.emit("draw", 1, Buffer.from([1, 255]));
    await far.count(2);
    await drawn.count(2);
    await alice.ok("leave", "a");
    await alice.ok("leave", "b");
    const everybody = [alice, bob, carol].map((client) => client.on("everybody"));
    alice.socket.emit("everybody", 1);
    for (const journal of everybody) await journal.count(1);
  });
}
