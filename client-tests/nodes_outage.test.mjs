// Several nodes while Redis is away: connections stay, get unavailable quickly, and still receive
// what the members on its own node say in passing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { hears, follow, Speaker } from "./support/follow.mjs";
import { nodes } from "./support/nodes.mjs";
import { closings } from "./support/raw.mjs";
import { redis, redisCluster } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { call } from "./support/web.mjs";

const readiness = async (node) => (await call(node, "GET", "/readyz")).status;

// What it takes to be told that something cannot be stored.
async function refusedQuickly(client, message) {
  const began = Date.now();
  await client.refused("message", message, "unavailable");
  const took = Date.now() - began;
  assert.ok(took < 3_000, `refused after ${took} ms`);
}

for (const [how, begin, end] of [["frozen", "freeze", "thaw"], ["dead", "kill", "restart"]]) {
  test(`while Redis is ${how} messages are refused quickly, connections stay, and passing events reach the same node`, async (t) => {
    const store = await redis(t);
    const [a, b] = await nodes(t, store, 2);
    const [alice, bob, carol] = await Promise.all([open(t, a, { user: "alice" }), open(t, a, { user: "bob" }), open(t, b, { user: "carol" })]);
    const everybody = [alice, bob, carol];
    const gone = everybody.map((client) => client.on("disconnect"));
    for (const client of everybody) await client.ok("join", "lobby");
    const [waves, far] = [bob.on("wave"), carol.on("wave")];
    const wave = (n) => alice.ok("publish", { room: "lobby", event: "wave", data: n, ephemeral: true });
    await wave(1);
    for (const heard of [waves, far]) assert.equal((await heard.count(1))[0][0], 1);

    await store[begin]();
    for (let i = 0; i < 2; i += 1) await refusedQuickly(alice, { room: "lobby", id: "kept", data: "kept" });
    for (let i = 2; i <= 4; i += 1) await wave(i);
    await waves.count(4, 3_000);
    assert.deepEqual(waves.items.map(([n]) => n), [1, 2, 3, 4]);
    for (const node of [a, b]) {
      await eventually(async () => (await readiness(node)) === 503, "it is still ready");
      assert.equal((await call(node, "GET", "/healthz")).status, 200);
      const said = await call(node, "POST", "/v1/rooms/lobby/messages", { user: "dave", body: { data: 1 } });
      assert.equal(said.status, 503, said.text);
      assert.equal(said.body.code, "unavailable");
    }

    const kept = everybody.map((client) => client.on("message"));
    await store[end]();
    const sent = eventually(async () => (await alice.ask("message", { room: "lobby", id: "kept", data: "kept" })).ok, "still refused", 5_000);
    await sent;
    for (const heard of kept) {
      await heard.until((items) => items.filter(([{ id }]) => id === "kept").length === 1, "the message", 5_000);
    }
    for (const node of [a, b]) await eventually(async () => (await readiness(node)) === 200, "it is not ready again", 5_000);
    await eventually(async () => (await wave(5), far.items.at(-1)[0] === 5), "nodes do not hear each other again", 5_000);
    for (const [i, heard] of kept.entries()) {
      const ids = heard.items.map(([{ id }]) => id);
      assert.equal(ids.filter((id) => id === "kept").length, 1, `${everybody[i].me.user} heard ${ids}`);
    }
    for (const journal of gone) assert.deepEqual(journal.items, []);
  });
}

test("what a dead master of a Redis Cluster does not hold is stored while it is away", async (t) => {
  const store = await redisCluster(t);
  const [a, b] = await nodes(t, store, 2);
  const alice = await open(t, a, { user: "alice" });
  const reader = await open(t, b, { user: "bob" });
  const rooms = Array.from({ length: 12 }, (_, i) => `r${i}`);
  await store.masters[1].kill();
  const said = await Promise.all(rooms.map((room) => alice.ask("message", { room, data: room })));
  const stored = rooms.filter((_, i) => said[i].ok);
  const refused = rooms.filter((_, i) => !said[i].ok);
  assert.ok(stored.length >= 4 && refused.length >= 1, `stored ${stored}; refused ${refused}`);
  for (const ack of said) assert.ok(ack.ok || ack.error.code === "unavailable", JSON.stringify(ack));
  for (const room of stored) assert.deepEqual((await reader.history(room)).map(({ data }) => data), [room]);
  for (const node of [a, b]) await eventually(async () => (await readiness(node)) === 503, "it is still ready");
  await store.masters[1].restart();
  for (const room of refused) {
    await eventually(async () => (await alice.ask("message", { room, id: "again", data: room })).ok, `${room} is still refused`, 5_000);
  }
  for (const node of [a, b]) await eventually(async () => (await readiness(node)) === 200, "it is not ready again", 5_000);
});

test("clients that lose their network while Redis is away are recovered once it is back", async (t) => {
  const store = await redis(t);
  // A stock client has stopped polling and not yet told its WebSocket so when the server ends the session: then it neither polls
  // again nor closes, and comes back only when it has missed a ping.
  const [a] = await nodes(t, store, 1, { "socketio-ping-interval": "2s", "socketio-ping-timeout": "4s" });
  const clients = await Promise.all(["polling", "websocket", "upgrade"].map((mode) => follow(t, a, { mode, user: mode })));
  const speaker = new Speaker(await open(t, a, { user: "bob" }), "lobby");
  for (const client of clients) await client.ok("join", "lobby");
  await speaker.say(3);
  for (const client of clients) await hears(client, [1, 2, 3]);
  await store.kill();
  for (const client of clients) {
    client.network.cut();
    await client.gone.count(1);
    client.network.mend();
  }
  await eventually(async () => (await closings(a, "unavailable")) > clients.length, "they do not try");
  await store.restart();
  for (const client of clients) await client.returns.count(1);
  await speaker.insist();
  for (const client of clients) {
    await hears(client, [1, 2, 3, 4]);
    // One that came back before its session could be stored again is sent away once more.
    assert.ok(client.returns.items.every(Boolean), `${client.name}: ${client.returns.items}`);
  }
});
