// What applications emit and clients relay on two nodes reaches the sockets of a Node server with @socket.io/redis-adapter, too: each
// socket of either gets it once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { COMPAT, nodeServer, redisClient, subscribed } from "./support/emitters.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { Caller, metric } from "./support/web.mjs";

const KEY = "the-key-of-a-back-end";
const OPTIONS = { "auth-api-keys": KEY, "socketio-relay": "told,all=all" };

const emits = (server) => {
  const back = new Caller(server, { key: KEY });
  return (emit, to) => back.ok(202, "POST", "/v1/emit", { body: { emit, to } });
};

// A socket of a Node server in some rooms, with what it was told as `heard`.
async function member(server, name, rooms, namespace = "/") {
  const socket = await server.open(namespace);
  server.io.of(namespace).sockets.get(socket.id).join(rooms);
  const heard = [];
  for (const event of ["told", "all"]) socket.on(event, (...args) => heard.push(args));
  return { name, socket, heard };
}

// Two nodes and a Node server over one Redis, or a Redis Cluster of which the server knows one master. At the nodes `alice` and `bob`, both in `lobby`; at the server `carol` in `lobby` and `side`, and `dave`.
async function together(t, whole) {
  const shared = whole ?? (await redis(t));
  const store = shared.masters?.[0] ?? shared;
  const [a, b] = await nodes(t, shared, 2, { ...COMPAT, ...OPTIONS });
  const server = await nodeServer(t, store);
  server.io.of("/chat");
  await subscribed(store, 3);
  await eventually(async () => (await store.ask("PUBSUB", "NUMSUB", "socket.io-request#/chat#")).split("\n")[1] === "3", "not subscribed");
  const alice = await open(t, a, { user: "alice" });
  const bob = await open(t, b, { user: "bob" });
  for (const client of [alice, bob]) {
    await client.ok("join", "lobby");
    client.heard = [];
    for (const event of ["told", "all"]) client.socket.on(event, (...args) => client.heard.push(args));
  }
  const carol = await member(server, "carol", ["lobby", "side"]);
  const dave = await member(server, "dave", []);
  return { store, a, b, server, io: server.io, alice, bob, carol, dave };
}

const firsts = ({ heard }) => heard.map(([first]) => first);

// Waits until everybody has heard the end, and a while for what would come twice, and compares in no order between rooms.
async function heardBy(everybody, expected) {
  const ended = () => everybody.every((each) => firsts(each).includes("end"));
  await eventually(ended, `not everybody heard the end: ${JSON.stringify(everybody.map(firsts))}`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(everybody.map((each) => firsts(each).toSorted()), expected.map((each) => [...each, "end"].toSorted()));
}

for (const { store, begin } of STORES) {
  test(`what a back end emits over ${store} reaches each socket of the nodes and of a Node server once`, async (t) => {
    const { a, b, alice, bob, carol, dave } = await together(t, await begin(t));
    await emits(a)(["told", "lobby"], "lobby");
    await emits(b)(["told", "of the second node"], "lobby");
    await emits(b)(["told", "side"], "side");
    await emits(a)(["told", "all"], "all");
    await emits(a)(["told", "user"], { user: "alice" });
    await emits(a)(["told", "socket"], dave.socket.id);
    await emits(a)(["told", "nobody"], "nowhere");
    await emits(a)(["told", "end"], "all");
    await heardBy([alice, bob, carol, dave], [
      ["lobby", "of the second node", "all", "user"],
      ["lobby", "of the second node", "all"],
      ["lobby", "of the second node", "side", "all"],
      ["all", "socket"],
    ]);
    for (const [server, n] of [[a, 6], [b, 2]]) {
      assert.equal(await metric(server, "switchboard_emitter_events_published_total"), n);
      // What the nodes have sent themselves is not taken again.
      assert.equal(await metric(server, 'switchboard_emitter_messages_total{system="socket.io"}'), 0);
    }
  });
}

test("what a client relays reaches the others of its rooms once, also on a Node server, with its arguments and in order", async (t) => {
  const { alice, bob, carol, dave } = await together(t);
  const args = [1, -7, 2 ** 40, 1.5, "é🦀", null, true, { a: [{ b: Buffer.from([1, 2, 3]) }] }, Buffer.alloc(0), []];
  alice.socket.emit("told", "args", ...args);
  bob.socket.emit("all", "to the sender, too");
  alice.socket.emit("all", "end");
  // `dave` is in no room of theirs.
  await eventually(() => [alice, bob, carol].every((each) => firsts(each).includes("end")), "not everybody heard the end");
  assert.deepEqual(carol.heard.find(([first]) => first === "args").slice(1), args);
  const n = 200;
  for (const i of upTo(n)) alice.socket.emit("told", i, ...(i % 7 === 0 ? [Buffer.from([i])] : []));
  for (const each of [bob, carol]) {
    await eventually(() => each.heard.length >= n + 3, "the events do not arrive");
    assert.deepEqual(firsts(each).filter(Number.isInteger), upTo(n));
  }
  assert.deepEqual(firsts(alice).toSorted(), ["end", "to the sender, too"]);
  assert.deepEqual(dave.heard, []);
});

test("without a room a client relays to everybody of its namespace on every server, and to nobody of another", async (t) => {
  const { a, b, server, alice, bob, carol, dave } = await together(t);
  const [erin, frank] = [await open(t, a, { user: "erin", namespace: "/chat" }), await open(t, b, { user: "frank", namespace: "/chat" })];
  for (const client of [erin, frank]) {
    client.heard = [];
    for (const event of ["told", "all"]) client.socket.on(event, (...args) => client.heard.push(args));
  }
  const grace = await member(server, "grace", [], "/chat");
  erin.socket.emit("told", "others");
  erin.socket.emit("all", "end");
  await heardBy([erin, frank, grace], [[], ["others"], ["others"]]);
  for (const each of [alice, bob, carol, dave]) assert.deepEqual(firsts(each), []);
});

test("what a Node server or an emitter sends is not sent again", async (t) => {
  const { store, io, alice, bob, carol, dave } = await together(t);
  const raw = await redisClient(t, store);
  let messages = 0;
  await raw.pSubscribe("socket.io#/#*", () => (messages += 1));
  io.to("lobby").emit("told", "lobby");
  io.except("side").emit("told", "not side");
  io.emit("told", "end");
  await heardBy([alice, bob, carol, dave], [["lobby", "not side"], ["lobby", "not side"], ["lobby"], ["not side"]]);
  assert.equal(messages, 3);
});

test("nodes with another prefix are another cluster: what they emit arrives once, too", async (t) => {
  const { store, a, alice, bob, carol, dave } = await together(t);
  const [other] = await nodes(t, store, 1, { ...COMPAT, ...OPTIONS, "redis-prefix": "other" });
  await subscribed(store, 4);
  const zoe = await open(t, other, { user: "zoe" });
  zoe.heard = [];
  zoe.socket.on("told", (...args) => zoe.heard.push(args));
  await zoe.ok("join", "lobby");
  await emits(other)(["told", "of the other"], "lobby");
  await emits(a)(["told", "of the first"], "lobby");
  await emits(a)(["told", "end"], "all");
  const both = ["of the other", "of the first"];
  await heardBy([alice, bob, carol, dave, zoe], [both, both, both, [], both]);
});

test("events reach a Node server again after Redis was away", async (t) => {
  const { store, a, b, carol, alice } = await together(t);
  const reaches = (server, text) => {
    const heard = async () => {
      await emits(server)(["told", text], "lobby").catch(() => {});
      return [alice, carol].every((each) => firsts(each).includes(text));
    };
    return eventually(heard, `${text} did not reach everybody`, 20_000);
  };
  await reaches(a, "before");
  await store.kill();
  await emits(a)(["told", "meanwhile"], "lobby").catch(() => {});
  await store.restart();
  await reaches(a, "after");
  await reaches(b, "after, of the second");
});
