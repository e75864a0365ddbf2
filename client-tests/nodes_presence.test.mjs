// Presence, typing and read markers over several nodes, and nodes that stop or die.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { follow } from "./support/follow.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { present, watch } from "./support/presence.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { call } from "./support/web.mjs";

const LEASE = 2_000;
// Behind the lease come the grace time, and whoever notices that it has expired.
const NOTICED = LEASE + 4_000;
const OPTIONS = { "presence-lease": `${LEASE}ms`, "presence-grace": "300ms" };

const everybody = async (client) => Object.keys(await present(client)).sort().join(" ");

for (const { store, begin } of STORES) {
  test(`users are present while they are on any node, and are announced once, over ${store}`, async (t) => {
    const [a, b, c] = await nodes(t, await begin(t), 3, OPTIONS);
    const [alice, bob, carol] = await Promise.all([[a, "alice"], [b, "bob"], [c, "carol"]].map(([node, user]) => open(t, node, { user })));
    const atAlice = watch(alice);
    await alice.ok("join", "lobby");
    const second = await bob.ok("join", "lobby");
    assert.deepEqual(second.members.users.map(({ user }) => user).sort(), ["alice", "bob"]);
    assert.equal(second.members.count, 2);
    assert.equal((await carol.ok("join", "lobby")).members.count, 3);
    await atAlice.until("join bob 2");
    await atAlice.until("join carol 3");
    for (const client of [alice, bob, carol]) await eventually(async () => (await everybody(client)) === "alice bob carol", "somebody is missing");

    // A second tab, on another node, is no news; nor is the first one's end.
    const tab = await open(t, c, { user: "bob" });
    await tab.ok("join", "lobby");
    await eventually(async () => (await present(alice)).bob.connections === 2, "the second tab is not counted");
    bob.close();
    await eventually(async () => (await present(alice)).bob.connections === 1, "the first tab is still counted");
    await tab.ok("status", { status: "busy", info: { until: "noon" } });
    const updated = await atAlice.until("update bob 3");
    assert.deepEqual([updated.status, updated.info], ["busy", { until: "noon" }]);
    const { users } = (await call(b, "GET", "/v1/rooms/lobby/presence", { user: "dave" })).body;
    assert.deepEqual(users.map(({ user, status }) => `${user} ${status}`), ["alice online", "bob busy", "carol online"]);

    tab.close();
    await atAlice.until("leave bob 2");
    await carol.ok("leave", "lobby");
    await atAlice.until("leave carol 1");
    assert.deepEqual(atAlice.brief(), ["join bob 2", "join carol 3", "update bob 3", "leave bob 2", "leave carol 1"]);
  });

  test(`users of a killed node leave everywhere within the lease, except those that reconnected, over ${store}`, async (t) => {
    const [a, b, c] = await nodes(t, await begin(t), 3, OPTIONS);
    const [bob, carol] = await Promise.all([open(t, b, { user: "bob" }), open(t, c, { user: "carol" })]);
    const lost = await Promise.all(["dan", "eve"].map((user) => open(t, a, { user, reconnection: false })));
    const alice = await follow(t, a, { user: "alice" });
    for (const client of [bob, carol, alice, ...lost]) await client.ok("join", "lobby");
    for (const client of [bob, carol]) await eventually(async () => (await everybody(client)) === "alice bob carol dan eve", "somebody is missing");
    const watched = [bob, carol].map((client) => watch(client));

    alice.network.server = b;
    const killed = Date.now();
    await a.kill();
    assert.deepEqual(await alice.returns.count(1), [true]);
    const gone = (seen) => seen.events().filter(({ event }) => event === "leave").length === 2;
    for (const seen of watched) await eventually(() => gone(seen), "they did not leave", NOTICED);
    t.diagnostic(`gone after ${Date.now() - killed} ms`);
    for (const client of [alice, bob, carol]) assert.equal(await everybody(client), "alice bob carol");
    await settled(bob, [alice, carol]);
    for (const seen of watched) {
      const told = seen.brief().map((text) => text.slice(0, -2)).sort();
      assert.deepEqual(told, ["leave dan", "leave eve"]);
      assert.deepEqual(seen.brief().map((text) => text.at(-1)), ["4", "3"]);
    }
    assert.equal((await call(c, "GET", "/v1/rooms/lobby/presence", { user: "zoe" })).body.count, 3);
  });
}

test("a node that restarts in order causes no presence events for users who return", async (t) => {
  const [a, b] = await nodes(t, await redis(t), 2, { ...OPTIONS, "presence-grace": "3s", "drain-over": "100ms" });
  const bob = await open(t, b, { user: "bob" });
  const alice = await follow(t, a, { user: "alice" });
  const dan = await open(t, a, { user: "dan", reconnection: false });
  for (const client of [bob, alice, dan]) await client.ok("join", "lobby");
  await eventually(async () => (await everybody(bob)) === "alice bob dan", "somebody is missing");
  const atBob = watch(bob);
  alice.network.server = b;
  assert.deepEqual(await a.stop(), { code: 0, signal: null });
  assert.deepEqual(await alice.returns.count(1), [true]);
  await a.start();
  await atBob.until("leave dan 2", NOTICED + 3_000);
  assert.deepEqual(atBob.brief(), ["leave dan 2"]);
});

test("users of a node frozen for longer than the lease leave, and are present again when it resumes", async (t) => {
  const [a, b] = await nodes(t, await redis(t), 2, OPTIONS);
  const [alice, bob] = await Promise.all([open(t, a, { user: "alice" }), open(t, b, { user: "bob" })]);
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const atBob = watch(bob);
  for (let round = 0; round < 2; round += 1) {
    await eventually(async () => (await everybody(bob)) === "alice bob", "alice is not here");
    a.freeze();
    await eventually(() => atBob.events().filter(({ event }) => event === "leave").length === round + 1, "alice did not leave", NOTICED);
    assert.equal(await everybody(bob), "bob");
    a.thaw();
    await eventually(() => atBob.events().filter(({ event }) => event === "join").length === round + 1, "alice did not come", NOTICED);
  }
  for (const client of [alice, bob]) await eventually(async () => (await everybody(client)) === "alice bob", "somebody is missing");
  await alice.ok("message", { room: "lobby", data: "here" });
  assert.deepEqual(atBob.brief(), ["leave alice 1", "join alice 2", "leave alice 1", "join alice 2"]);
});

test("while Redis is killed and started again, or frozen for longer than the lease, nobody leaves", async (t) => {
  const store = await redis(t);
  const [a, b] = await nodes(t, store, 2, OPTIONS);
  const [alice, bob, dan] = await Promise.all([[a, "alice"], [b, "bob"], [a, "dan"]].map(([node, user]) => open(t, node, { user })));
  const gone = [alice, bob].map((client) => client.on("disconnect"));
  for (const client of [alice, bob, dan]) await client.ok("join", "lobby");
  await eventually(async () => (await everybody(bob)) === "alice bob dan", "somebody is missing");
  const [atAlice, atBob] = [alice, bob].map((client) => watch(client));

  await store.kill();
  // Somebody who leaves while nobody can be told is told of afterwards.
  dan.close();
  await alice.refused("message", { room: "lobby", data: 1 }, "unavailable");
  await store.restart();
  await atBob.until("leave dan 2");
  const refusedFor = async (ms) => {
    const until = Date.now() + ms;
    while (Date.now() < until) await alice.refused("message", { room: "lobby", data: 1 }, "unavailable");
  };
  store.freeze();
  await refusedFor(1.5 * LEASE);
  store.thaw();

  const carol = await open(t, b, { user: "carol" });
  await eventually(async () => (await carol.ask("join", "lobby")).ok, "carol cannot join", 5_000);
  for (const client of [alice, bob, carol]) await eventually(async () => (await everybody(client)) === "alice bob carol", "somebody is missing");
  await atAlice.until("join carol 3");
  // Whoever would be taken for dead has been by now: a lease later.
  await eventually(async () => (await call(b, "GET", "/readyz")).status === 200, "it is not ready");
  const later = Date.now() + LEASE + 1_000;
  await eventually(() => Date.now() > later, "");
  for (const seen of [atAlice, atBob]) assert.deepEqual(seen.brief(), ["leave dan 2", "join carol 3"]);
  for (const journal of gone) assert.deepEqual(journal.items, []);
});

for (const { store, begin } of STORES) {
  test(`typing and read markers reach the other node, over ${store}`, async (t) => {
    const [a, b] = await nodes(t, await begin(t), 2, { ...OPTIONS, "typing-timeout": "1s" });
    const [alice, bob] = await Promise.all([open(t, a, { user: "alice" }), open(t, b, { user: "bob" })]);
    for (const client of [alice, bob]) await client.ok("join", "lobby");
    const [typing, read] = [bob.on("typing"), bob.on("read")];
    const states = () => typing.items.map(([{ user, typing: on }]) => `${user} ${on}`);
    const seen = (n, state) => typing.until(() => states()[n - 1] === state, state);

    await alice.ok("typing_start", "lobby");
    await seen(1, "alice true");
    const late = await open(t, b, { user: "late" });
    const shown = late.on("typing");
    await late.ok("join", "lobby");
    assert.equal((await shown.count(1))[0][0].user, "alice", "whoever joins is told who types");
    await alice.ok("typing_stop", "lobby");
    await seen(2, "alice false");
    await alice.ok("typing_start", "lobby");
    await seen(3, "alice true");
    const { seq } = await alice.ok("message", { room: "lobby", data: 1 });
    await seen(4, "alice false");
    await alice.ok("typing_start", "lobby");
    await seen(5, "alice true");
    await seen(6, "alice false"); // by itself
    await alice.ok("typing_start", "lobby");
    await seen(7, "alice true");
    alice.close();
    await seen(8, "alice false");

    const again = await open(t, a, { user: "alice" });
    assert.equal((await again.ok("join", "lobby")).unread, 1);
    assert.equal((await again.ok("read", { room: "lobby", seq })).unread, 0);
    assert.deepEqual((await read.count(1))[0], [{ room: "lobby", user: "alice", seq }]);
    const tab = await open(t, b, { user: "alice" });
    assert.equal((await tab.ok("join", "lobby")).unread, 0);
  });
}

test("typing ends for users of a killed node", async (t) => {
  const [a, b] = await nodes(t, await redis(t), 2, OPTIONS);
  const [alice, bob] = await Promise.all([open(t, a, { user: "alice", reconnection: false }), open(t, b, { user: "bob" })]);
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const typing = bob.on("typing");
  await alice.ok("typing_start", "lobby");
  await typing.count(1);
  await a.kill();
  await typing.until((items) => items.at(-1)[0].typing === false, "the end of typing", NOTICED);
});
