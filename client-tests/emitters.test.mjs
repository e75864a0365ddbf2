// Emitters of other systems over the nodes' Redis: @socket.io/redis-emitter and hostile messages on its channels. Every node serves its
// own clients.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { open, upTo } from "./support/clients.mjs";
import { COMPAT, compatible, emitter, redisClient } from "./support/emitters.mjs";
import { away, follow } from "./support/follow.mjs";
import { nodes } from "./support/nodes.mjs";
import { redis, redisCluster } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { binary } from "./support/server.mjs";
import { metric } from "./support/web.mjs";

// What each journal has until its `end`.
async function untilEnd(journals) {
  const ended = (items) => items.some(([first]) => first === "end") && items;
  const all = await Promise.all(journals.map((journal) => journal.until(ended, "the end")));
  return all.map((items) => items.map(([first]) => first));
}

test("an emitter's events reach the sockets of every node by room, socket and namespace, each once and in order", async (t) => {
  const store = await redis(t);
  const [a, b] = await compatible(t, store);
  const alice = await open(t, a, { user: "alice" });
  const bob = await open(t, b, { user: "bob" });
  const carol = await open(t, b, { user: "carol", v: 3 });
  const dave = await open(t, a, { user: "dave", namespace: "/chat" });
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  await bob.ok("join", "side");
  await bob.ok("join", "7");
  const heard = [alice, bob, carol, dave].map((client) => client.on("told"));

  const io = await emitter(t, store);
  io.emit("told", "all");
  io.to("lobby").emit("told", "lobby");
  io.to(["lobby", "side"]).emit("told", "both");
  io.to("side").to(alice.socket.id).emit("told", "mixed");
  io.to(carol.socket.id).emit("told", "carol");
  io.except("side").emit("told", "not side");
  io.except(alice.socket.id).to("lobby").emit("told", "not alice");
  io.to(7).emit("told", "seven");
  io.to("lobby").except(7).emit("told", "not seven");
  io.to("nowhere").emit("told", "nobody");
  io.to("no such room").emit("told", "nobody");
  io.volatile.emit("told", "volatile");
  io.compress(false).to("user:bob").emit("told", "user");
  io.of("/chat").emit("told", "chat");
  io.emit("told", "end");
  io.of("/chat").emit("told", "end");
  assert.deepEqual(await untilEnd(heard), [
    ["all", "lobby", "both", "mixed", "not side", "not seven", "volatile", "end"],
    ["all", "lobby", "both", "mixed", "not alice", "seven", "volatile", "user", "end"],
    ["all", "carol", "not side", "volatile", "end"],
    ["chat", "end"],
  ]);
});

test("arguments arrive as they are, binary ones as binary, with a key of its own", async (t) => {
  const store = await redis(t);
  const [server] = await compatible(t, store, 1, { "redis-compat-key": "my*app" });
  const clients = await Promise.all([2, 3, 4].map((v) => open(t, server, { v, user: `user${v}` })));
  const heard = clients.map((client) => client.on("any"));
  const date = new Date(1_700_000_000_123);
  const args = [1.5, -7, 2 ** 40, "é🦀", null, true, { a: [1, { b: Buffer.from([1, 2, 3]) }], gone: undefined }, Buffer.alloc(0), [date]];
  (await emitter(t, store, { key: "my*app" })).emit("any", ...args, "a text at the end");
  const expected = [1.5, -7, 2 ** 40, "é🦀", null, true, { a: [1, { b: Buffer.from([1, 2, 3]) }] }, Buffer.alloc(0), [date.toISOString()], "a text at the end"];
  for (const journal of heard) {
    const [got] = await journal.count(1);
    // An offset follows where a client would take a text for one.
    assert.deepEqual(got.slice(0, expected.length), expected);
  }
});

test("a foreign text as the last argument does not take a client's place in the log", async (t) => {
  const store = await redis(t);
  const [server] = await compatible(t, store, 1);
  const alice = await follow(t, server, { user: "alice" });
  const speaker = await open(t, server, { user: "bob" });
  await alice.ok("join", "lobby");
  const told = alice.on("told");
  await speaker.ok("message", { room: "lobby", data: 1 });
  await alice.messages.count(1);
  (await emitter(t, store)).to("lobby").emit("told", "7~999999999");
  await told.count(1);
  const recovered = await away(alice, "cut", () => speaker.ok("message", { room: "lobby", data: 2 }));
  assert.equal(recovered, true);
  await alice.messages.count(2);
  assert.deepEqual(alice.messages.items.map(([{ data }]) => data), [1, 2]);
});

test("an emitter makes sockets of every node join, leave and disconnect, in order with its events", async (t) => {
  const store = await redis(t);
  const servers = await compatible(t, store, 2, { "presence-grace": "0s" });
  const clients = [];
  for (const n of upTo(4)) clients.push(await open(t, servers[n % 2], { user: `user${n}` }));
  const [first, second, third, fourth] = clients;
  const heard = clients.map((client) => client.on("told"));
  const gone = clients.map((client) => client.on("disconnect"));
  const io = await emitter(t, store);
  io.socketsJoin(["x", "y"]);
  io.to("x").emit("told", "all in x");
  io.in("x").except(first.socket.id).socketsLeave("x");
  io.to("x").emit("told", "only first");
  io.in(second.socket.id).socketsJoin("z");
  io.to("z").emit("told", "second");
  io.to(["x", "z"]).emit("told", "last words");
  io.in(["x", "z"]).disconnectSockets(true);
  io.emit("told", "end");
  assert.deepEqual(await untilEnd([heard[2], heard[3]]), [["all in x", "end"], ["all in x", "end"]]);
  for (const [n, expected] of [[0, ["all in x", "only first", "last words"]], [1, ["all in x", "second", "last words"]]]) {
    assert.deepEqual(await gone[n].count(1).then(([[reason]]) => reason), "io server disconnect");
    assert.deepEqual(heard[n].items.map(([text]) => text), expected);
  }
  const present = async (client) => (await client.ok("presence", "y")).count === 2;
  for (const client of [third, fourth]) await eventually(() => present(client), "the others are still there");
});

for (const [name, begin] of [["Redis", redis], ["a master of a Redis Cluster", redisCluster]]) {
  test(`emitters are served again after ${name} was away`, async (t) => {
    const store = await begin(t);
    const [master] = store.masters;
    // In a Cluster each master knows only its own subscribers, so that they are not counted; what is published reaches those of all.
    const servers = await (begin === redis ? compatible(t, store) : nodes(t, store, 2, COMPAT));
    const clients = await Promise.all(servers.map((server) => open(t, server, { user: "alice" })));
    const heard = clients.map((client) => client.on("told"));
    const io = await emitter(t, store.masters.at(-1));
    const reaches = (text) => {
      const everywhere = () => (io.emit("told", text), heard.every(({ items }) => items.some(([first]) => first === text)));
      return eventually(everywhere, `${text} did not reach everybody`);
    };
    await reaches("before");
    await master.kill();
    await master.restart();
    await reaches("after");
  });
}

test("hostile messages are dropped, counted and logged with what to do, and the next are served", async (t) => {
  const store = await redis(t);
  const [server] = await compatible(t, store, 1);
  const alice = await open(t, server, { user: "alice" });
  const told = alice.on("told");
  const raw = await redisClient(t, store);
  const channels = ["socket.io#/#", "socket.io-request#/#", "socketio"];
  const nothing = Buffer.alloc(0);
  const messages = [
    nothing,
    Buffer.from([0xc1]),
    Buffer.alloc(100_000, 0x91),
    Buffer.alloc(100_000, 0x81),
    Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from("[".repeat(100_000)),
    Buffer.from('{"a":'.repeat(100_000)),
    Buffer.alloc(3 << 20, "x"),
    Buffer.from('{"type":2,"opts":{"rooms":{"a":1}},"rooms":[]}'),
    Buffer.from('{"method":"emit","event":"connect","data":[]}'),
    Buffer.from([0x80, 4, 0x95, ...Buffer.from("cposix\nsystem\n")]),
    Buffer.from("null"),
  ];
  for (const channel of channels) for (const message of messages) await raw.publish(channel, message);
  for (const room of ["\0", "x".repeat(100_000), "#".repeat(50), "é "]) await raw.publish(`socket.io#/#${room}#`, messages[4]);
  const io = await emitter(t, store);
  io.emit("told", "a".repeat(200_000));
  io.emit("told", ...upTo(11).map(() => Buffer.from([1])));
  io.emit("told", { _placeholder: true, num: 5 }, Buffer.from([1]));
  io.to(upTo(5000).map(String)).emit("told", 1);
  io.emit("told", "end");
  assert.deepEqual(await untilEnd([told]), [["end"]]);
  const refused = (reason) => metric(server, `switchboard_emitter_messages_refused_total{reason="${reason}"}`);
  for (const reason of ["too_large", "too_deep", "too_many", "malformed", "event_name", "pickle"]) {
    assert.ok((await refused(reason)) > 0, reason);
  }
  assert.match(server.log, /refused a message of an emitter/);
  assert.ok(server.log.split("refused a message of an emitter").length < 5, "logged rarely");
});

test("a node listens only to the systems that are configured", async (t) => {
  const store = await redis(t);
  await nodes(t, store, 1, { "redis-compat": "python-socketio" });
  const listens = async (channel, n) => (await store.cli("PUBSUB", "NUMSUB", channel)).split("\n")[1] === String(n);
  await eventually(() => listens("socketio", 1), "it does not listen");
  assert.ok(await listens("socket.io-request#/#", 0));
  assert.equal((await store.cli("PUBSUB", "NUMPAT")).trim(), "0");
});

test("emitters without Redis are a problem of the configuration", async () => {
  const checked = promisify(execFile)(binary, ["config", "--check", "--redis-compat=socket.io"]);
  await assert.rejects(checked, ({ stderr }) => /redis\.compat/.test(stderr) && /set redis\.url/.test(stderr));
});
