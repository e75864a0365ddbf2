// Read markers: how far each user has read a room; forward only, announced to the others, stored.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MATRIX, open, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

// A client that has written `n` messages to a room.
async function writer(t, server, n, room = "lobby") {
  const client = await open(t, server, { user: "writer" });
  for (const i of upTo(n)) await client.ok("message", { room, data: i });
  return client;
}

const told = (journal) => journal.items.map(([event]) => event);

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode} sets a read marker, and the others receive it`, async (t) => {
    const server = await serve(t);
    const other = await writer(t, server, 5);
    await other.ok("join", "lobby");
    const [alice, tab, bob] = await Promise.all(
      ["alice", "alice", "bob"].map((user) => open(t, server, { v, mode, user })),
    );
    assert.equal((await alice.ok("join", "lobby")).unread, 5);
    for (const client of [tab, bob]) await client.ok("join", { room: "lobby" });
    const [atAlice, atTab, atBob] = [alice, tab, bob].map((client) => client.on("read"));

    assert.deepEqual(await alice.ok("read", { room: "lobby", seq: 2 }), { ok: true, room: "lobby", seq: 2, unread: 3 });
    assert.deepEqual(await alice.ok("read", { room: "lobby", seq: 5 }), { ok: true, room: "lobby", seq: 5, unread: 0 });
    await settled(other, [alice, tab, bob]);
    const events = [2, 5].map((seq) => ({ room: "lobby", user: "alice", seq }));
    assert.deepEqual(told(atBob), events);
    assert.deepEqual(told(atTab), events, "the user's other tab is told too");
    assert.deepEqual(told(atAlice), [], "who sent it is not");

    assert.equal((await tab.ok("join", "lobby")).unread, 0, "a mark is the user's, not the connection's");
    assert.equal((await bob.ok("join", "lobby")).unread, 5, "and nobody else's");
  });
}

test("a read marker moves forward only, as far as there are messages, and is announced only when it moves", async (t) => {
  const server = await serve(t);
  const other = await writer(t, server, 5);
  const alice = await open(t, server, { user: "alice" });
  for (const client of [alice, other]) await client.ok("join", "lobby");
  const atOther = other.on("read");
  const read = async (seq) => {
    const ack = await alice.ok("read", { room: "lobby", seq });
    return [ack.seq, ack.unread];
  };
  assert.deepEqual(await read(3), [3, 2]);
  assert.deepEqual(await read(3), [3, 2]);
  assert.deepEqual(await read(1), [3, 2]);
  assert.deepEqual(await read(0), [3, 2]);
  assert.deepEqual(await read(1_000_000), [5, 0]);
  assert.deepEqual(await read(6), [5, 0]);
  assert.deepEqual(await read(4), [5, 0]);
  await other.ok("message", { room: "lobby", data: "one more" });
  assert.deepEqual(await read(5), [5, 1], "a mark beyond the end was a mark at the end");
  assert.equal((await alice.ok("join", "lobby")).unread, 1);
  await settled(alice, [other]);
  assert.deepEqual(told(atOther).map(({ seq }) => seq), [3, 5]);
});

test("in an empty room there is nothing to read", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  for (const client of [alice, bob]) assert.equal((await client.ok("join", "lobby")).unread, 0);
  const atBob = bob.on("read");
  assert.deepEqual(await alice.ok("read", { room: "lobby", seq: 9 }), { ok: true, room: "lobby", seq: 0, unread: 0 });
  await bob.ok("message", { room: "lobby", data: 1 });
  assert.equal((await alice.ok("join", "lobby")).unread, 1);
  await settled(alice, [bob]);
  assert.deepEqual(told(atBob), []);
});

test("read markers of many tabs at once end at the furthest, and are announced in rising order", async (t) => {
  const server = await serve(t);
  const other = await writer(t, server, 60);
  await other.ok("join", "lobby");
  const atOther = other.on("read");
  const tabs = await Promise.all([2, 3, 4].map((v) => open(t, server, { v, user: "alice" })));
  for (const tab of tabs) await tab.ok("join", "lobby");
  const acks = await Promise.all(upTo(59).map((seq) => tabs[seq % 3].ok("read", { room: "lobby", seq })));
  for (const [i, ack] of acks.entries()) {
    assert.ok(ack.seq > i, `a mark at ${i + 1} was answered ${ack.seq}`);
    assert.equal(ack.unread, 60 - ack.seq);
  }
  const last = await tabs[0].ok("read", { room: "lobby", seq: 1 });
  assert.deepEqual(last, { ok: true, room: "lobby", seq: 59, unread: 1 });
  await settled(tabs[0], [other]);
  const seqs = told(atOther).map(({ seq }) => seq);
  assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b));
  assert.equal(seqs.at(-1), 59);
});

test("read markers survive a kill of the server, and a stop", async (t) => {
  const server = await serve(t);
  await writer(t, server, 10);
  await writer(t, server, 4, "kitchen");
  const marks = async () => {
    const acks = [];
    for (const user of ["alice", "bob"]) {
      const client = await open(t, server, { user });
      for (const room of ["lobby", "kitchen"]) acks.push((await client.ok("join", room)).unread);
      client.close();
    }
    return acks;
  };
  const alice = await open(t, server, { user: "alice", reconnection: false });
  const bob = await open(t, server, { user: "bob", reconnection: false });
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  await alice.ok("join", "kitchen");
  await alice.ok("read", { room: "kitchen", seq: 1 });
  await bob.ok("read", { room: "lobby", seq: 8 });
  await alice.ok("read", { room: "lobby", seq: 3 });
  await alice.ok("read", { room: "lobby", seq: 7 });
  await server.kill();
  await server.start();
  assert.deepEqual(await marks(), [3, 3, 2, 4]);

  const again = await open(t, server, { user: "alice", reconnection: false });
  await again.ok("join", "lobby");
  assert.deepEqual(await again.ok("read", { room: "lobby", seq: 2 }), { ok: true, room: "lobby", seq: 7, unread: 3 });
  await again.ok("read", { room: "lobby", seq: 10 });
  await server.stop();
  await server.start();
  assert.deepEqual(await marks(), [0, 3, 2, 4]);
});

test("rooms of the same name in two namespaces have separate read markers", async (t) => {
  const server = await serve(t, { "socketio-namespaces": "/,/chat" });
  const root = await open(t, server, { user: "alice" });
  const chat = await open(t, server, { user: "alice", namespace: "/chat" });
  for (const client of [root, chat]) {
    await client.ok("join", "lobby");
    for (const data of upTo(3)) await client.ok("message", { room: "lobby", data });
  }
  await root.ok("read", { room: "lobby", seq: 3 });
  assert.equal((await root.ok("join", "lobby")).unread, 0);
  assert.equal((await chat.ok("join", "lobby")).unread, 3);
});

test("an invalid read marker is refused and changes nothing", async (t) => {
  const server = await serve(t);
  const other = await writer(t, server, 3);
  const alice = await open(t, server, { user: "alice" });
  for (const client of [alice, other]) await client.ok("join", "lobby");
  const atOther = other.on("read");
  for (const payload of [
    7,
    "lobby",
    {},
    { room: "lobby" },
    { seq: 1 },
    { room: "lobby", seq: -1 },
    { room: "lobby", seq: 1.5 },
    { room: "lobby", seq: "2" },
    { room: "lobby", seq: null },
    { room: "white space", seq: 1 },
  ]) {
    await alice.refused("read", payload, "bad_request");
  }
  assert.equal((await alice.ok("join", "lobby")).unread, 3);
  await settled(alice, [other]);
  assert.deepEqual(told(atOther), []);
});

test("a read marker needs the grant to read the room", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET });
  const alice = await open(t, server, { token: sign({ sub: "alice", rooms: [{ match: "news", can: ["join"] }] }) });
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  const atBob = bob.on("read");
  await bob.ok("join", "lobby");
  await bob.ok("message", { room: "lobby", data: 1 });
  await alice.refused("read", { room: "lobby", seq: 1 }, "forbidden", "not_joined");
  await alice.refused("read", { room: "user:bob", seq: 1 }, "forbidden", "not_joined");
  await settled(bob, [bob]);
  assert.deepEqual(told(atBob), []);
});
