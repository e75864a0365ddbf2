// What reaches a user wherever it is connected: signals, kicks, disconnects, its state, and every call of the REST interface
// on any node.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { listening } from "./support/events.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { Caller, polled } from "./support/web.mjs";
import { peer } from "./support/websocket.mjs";

const KEY = "a-key-of-a-back-end-for-these-tests";
const OPTIONS = { "auth-hmac-secret": SECRET, "auth-api-keys": KEY, "presence-grace": "100ms" };

async function begun(t, begin) {
  const all = await nodes(t, await begin(t), 2, OPTIONS);
  const back = all.map((node) => new Caller(node, { key: KEY }));
  const enter = async (node, user, options = {}) => {
    const client = await open(t, node, { token: sign({ sub: user }), ...options });
    await client.ok("join", "lobby");
    return client;
  };
  return { all, back, enter };
}

for (const { store, begin } of STORES) {
  test(`a signal reaches a user's connections on all nodes and returns their replies, over ${store}`, async (t) => {
    const { all: [a, b], enter } = await begun(t, begin);
    const alice = await enter(a, "alice");
    const tabs = [await enter(a, "bob"), await enter(b, "bob", { v: 3 }), await enter(b, "bob", { mode: "polling" })];
    const asked = tabs.map((tab) => tab.on("signal"));
    for (const [i, tab] of tabs.entries()) tab.socket.on("signal", ({ data }, ack) => ack({ tab: i, got: data }));
    const data = { text: "hällo 🦀", list: [1, null] };

    const ack = await eventually(async () => {
      const answer = await alice.ok("signal", { to: { user: "bob" }, event: "question", data });
      return answer.replies.length === 3 && answer;
    }, "not all tabs answered");
    assert.equal(ack.missing, 0);
    assert.deepEqual(ack.replies.map((reply) => reply.data.tab).sort(), [0, 1, 2]);
    for (const reply of ack.replies) {
      assert.equal(reply.user, "bob");
      assert.equal(reply.connection, tabs[reply.data.tab].me.connection);
      assert.deepEqual(reply.data.got, data);
    }
    const from = { user: "alice", connection: alice.me.connection };
    for (const journal of asked) assert.deepEqual(journal.items.at(-1)[0], { from, event: "question", data });

    const before = asked.map(({ items }) => items.length);
    const one = await alice.ok("signal", { to: { connection: tabs[1].me.connection }, event: "only you", data: 7 });
    assert.deepEqual(one.replies, [{ user: "bob", connection: tabs[1].me.connection, data: { tab: 1, got: 7 } }]);
    assert.deepEqual(asked.map(({ items }, i) => items.length - before[i]), [0, 1, 0]);

    // Whoever does not answer is missing, wherever it is.
    const mute = await enter(b, "carol");
    const heard = mute.on("signal");
    const unanswered = await alice.ok("signal", { to: { user: "carol" }, event: "hello", data: 0, timeout_ms: 500 });
    assert.deepEqual([unanswered.replies, unanswered.missing], [[], 1]);
    await heard.count(1);
    // Of a user who is nowhere nobody is asked.
    const nobody = await alice.ok("signal", { to: { user: "alice" }, event: "myself", data: 0 });
    assert.deepEqual(nobody.replies, []);
  });

  test(`kick and disconnect reach a user on all nodes, over ${store}`, async (t) => {
    const { all: [a, b], back, enter } = await begun(t, begin);
    const alice = await enter(a, "alice");
    const tabs = [await enter(a, "bob"), await enter(b, "bob"), await enter(b, "bob", { v: 2, query: { token: sign({ sub: "bob" }) } })];
    const plain = await peer(t, b, { token: sign({ sub: "bob" }), room: "lobby" });
    const kicks = tabs.map((tab) => tab.on("kicked"));
    const heard = tabs.map((tab) => tab.on("message"));
    const gone = tabs.map((tab) => tab.on("disconnect"));
    await eventually(async () => (await back[0].get("/v1/rooms/lobby/presence")).users.find(({ user }) => user === "bob")?.connections === 4, "bob is not here");

    const out = await back[0].ok(200, "DELETE", "/v1/rooms/lobby/members/bob", { query: { reason: "spam" } });
    assert.deepEqual(out, { room: "lobby", user: "bob", connections: 4 });
    for (const journal of kicks) assert.deepEqual((await journal.count(1))[0], [{ room: "lobby", reason: "spam" }]);
    assert.equal((await plain.next("system kicked")).data.reason, "spam");
    await alice.ok("message", { room: "lobby", data: "while out" });
    for (const tab of tabs) await tab.ok("join", "lobby");
    await alice.ok("message", { room: "lobby", data: "back" });
    for (const journal of heard) {
      await journal.count(1);
      assert.deepEqual(journal.items.map(([{ data }]) => data), ["back"]);
    }

    const off = await back[0].ok(200, "DELETE", "/v1/users/bob/connections");
    assert.deepEqual(off, { user: "bob", connections: 4 });
    for (const journal of gone) assert.equal((await journal.count(1))[0][0], "io server disconnect");
    assert.equal((await plain.ended()).code, 4003);
    for (const each of back) await eventually(async () => !(await each.get("/v1/users/bob")).online, "bob is still there");
    tabs[1].socket.connect();
    await tabs[1].session(2);
    assert.equal(tabs[1].socket.recovered, false, "the old session is no more");
  });

  test(`every node answers for the whole cluster, over ${store}`, async (t) => {
    const { all: [a, b], back: [, atB], enter } = await begun(t, begin);
    const before = Date.now();
    const alice = await enter(a, "alice");
    const tab = await enter(b, "alice");
    await alice.ok("join", "kitchen");
    await alice.ok("status", { status: "busy" });
    const state = await eventually(async () => {
      const seen = await atB.get("/v1/users/alice");
      return seen.status === "busy" && seen.connections === 2 && seen;
    }, "alice's state");
    assert.deepEqual([state.user, state.online], ["alice", true]);
    assert.deepEqual([...state.rooms].sort(), ["kitchen", "lobby", "user:alice"]);
    assert.ok(state.last_seen >= before - 1_000 && state.last_seen <= Date.now() + 1_000, `${state.last_seen}`);

    const live = await eventually(async () => {
      const { rooms } = await atB.get("/v1/rooms");
      return rooms.some(({ room }) => room === "kitchen") && rooms;
    }, "the kitchen is no live room");
    // Personal rooms are rooms, too.
    assert.deepEqual(live.map(({ room }) => room).filter((room) => !room.startsWith("user:")), ["kitchen", "lobby"]);
    const [kitchen, lobby] = live.filter(({ room }) => !room.startsWith("user:"));
    assert.deepEqual([kitchen.users, kitchen.connections, lobby.users, lobby.connections], [1, 1, 1, 2]);
    const shown = await atB.get("/v1/rooms/kitchen");
    assert.deepEqual([shown.users, shown.connections], [1, 1]);

    // What is said on one node is heard on the other on every transport.
    const [message, notification] = [alice.on("message"), alice.on("notification")];
    const plain = await peer(t, a, { token: sign({ sub: "carol" }), room: "lobby" });
    const stream = await listening(t, a, { token: sign({ sub: "dan" }), room: "lobby" });
    const { cursor } = await polled(a, "lobby", { key: sign({ sub: "eve" }) });
    const waiting = polled(a, "lobby", { key: sign({ sub: "eve" }), since: cursor, wait: 20 });
    const stored = await atB.say("lobby", { n: 1 }, { id: "one" });
    assert.equal((await message.count(1))[0][0].id, "one");
    assert.equal((await plain.next("text")).id, "one");
    assert.equal((await stream.nth("message")).data.id, "one");
    assert.equal((await waiting).messages[0].id, "one");
    const again = await new Caller(a, { key: KEY }).ok(200, "POST", "/v1/rooms/lobby/messages", { body: { data: { n: 1 }, id: "one" } });
    assert.deepEqual([again.seq, again.duplicate], [stored.seq, true]);
    await atB.ok(201, "POST", "/v1/users/alice/notifications", { body: { data: "come" } });
    assert.equal((await notification.count(1))[0][0].data, "come");

    for (const client of [alice, tab]) client.close();
    await eventually(async () => !(await atB.get("/v1/users/alice")).online, "alice is still there");
  });
}

test("while Redis is away a signal reaches those on the same node, and a node that cannot be asked is not waited for", async (t) => {
  let store;
  const { all: [a, b], enter } = await begun(t, async (t) => (store = await redis(t)));
  const alice = await enter(a, "alice");
  const [near, far] = [await enter(a, "bob"), await enter(b, "bob")];
  for (const tab of [near, far]) tab.socket.on("signal", (_, ack) => ack(tab.me.connection));
  await store.kill();
  await alice.refused("message", { room: "lobby", data: 1 }, "unavailable");
  const ack = await alice.ok("signal", { to: { connection: near.me.connection }, event: "hello", data: 1 });
  assert.deepEqual(ack.replies.map(({ data }) => data), [near.me.connection]);
  const began = Date.now();
  const all = await alice.ask("signal", { to: { user: "bob" }, event: "hello", data: 1, timeout_ms: 1_000 });
  assert.ok(Date.now() - began < 3_000, `answered after ${Date.now() - began} ms`);
  if (all.ok) assert.deepEqual(all.replies.map(({ data }) => data), [near.me.connection]);
  else assert.equal(all.error.code, "unavailable");
  await store.restart();
  await eventually(async () => {
    const both = await alice.ask("signal", { to: { user: "bob" }, event: "hello", data: 1, timeout_ms: 1_000 });
    return both.ok && both.replies.length === 2;
  }, "nodes do not hear each other again", 5_000);
});

test("no signal waits for a killed node longer than its lease", async (t) => {
  const store = await redis(t);
  const [a, b, c] = await nodes(t, store, 3, { "presence-lease": "2s", "presence-grace": "100ms" });
  const alice = await open(t, a, { user: "alice" });
  const bob = await open(t, c, { user: "bob" });
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  bob.socket.on("signal", (_, ack) => ack("yes"));
  const ask = () => alice.ask("signal", { to: { user: "bob" }, event: "hello", data: 1, timeout_ms: 5_000 });
  await eventually(async () => (await ask()).replies?.length === 1, "bob does not answer");
  await b.kill();
  await eventually(async () => {
    const began = Date.now();
    const { replies } = await ask();
    return replies?.length === 1 && Date.now() - began < 1_000;
  }, "the dead node is still waited for");
});
