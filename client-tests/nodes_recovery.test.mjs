// Recovery on another node: whatever became of the one it was connected to, a stock client has missed nothing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, start, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { away, follow, hears, Speaker } from "./support/follow.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { watch } from "./support/presence.mjs";
import { network } from "./support/proxy.mjs";
import { closings, http, pollingSession } from "./support/raw.mjs";
import { redis } from "./support/redis.mjs";
import { eventually, within } from "./support/scope.mjs";

const MODES = ["polling", "websocket", "upgrade"];

// Clients of every transport on `node`, in the rooms a and b, whose networks lead to `next` once they have lost it.
async function followers(t, node, next) {
  const clients = await Promise.all(MODES.map((mode) => follow(t, node, { mode, user: mode })));
  for (const client of clients) for (const room of ["a", "b"]) await client.ok("join", room);
  for (const client of clients) client.network.server = next;
  return clients;
}

for (const { store, begin } of STORES) {
  test(`clients of a node killed under load continue on another one over ${store}, and miss nothing`, async (t) => {
    const [a, b, c] = await nodes(t, await begin(t), 3);
    const clients = [...(await followers(t, a, b)), ...(await followers(t, a, c))];
    const speakers = await Promise.all([b, c].map(async (node, i) => new Speaker(await open(t, node, { user: `bob${i}` }), "a", "b")));
    const stops = speakers.map((speaker) => speaker.keepOn(t, 2));
    for (const client of clients) await client.messages.count(50);
    await a.kill();
    for (const client of clients) assert.deepEqual(await client.returns.count(1), [true], client.name);
    const before = clients.map(({ messages }) => messages.items.length);
    for (const [i, client] of clients.entries()) await client.messages.count(before[i] + 50);
    await Promise.all(stops.map((stop) => stop()));

    const stored = speakers.reduce((sum, { said }) => sum + said, 0);
    const order = clients.map(async ({ messages }) => (await messages.count(stored)).map(([{ room, seq }]) => `${room} ${seq}`));
    const [first, ...others] = await Promise.all(order);
    for (const room of ["a", "b"]) {
      const seqs = first.filter((each) => each.startsWith(room)).map((each) => Number(each.split(" ")[1]));
      assert.deepEqual(seqs, upTo(seqs.length), room);
    }
    for (const other of others) assert.deepEqual(other, first);
  });
}

for (const mode of MODES) {
  test(`a client over ${mode} that comes to another node before its old one has noticed keeps its place`, async (t) => {
    const [a, b] = await nodes(t, await redis(t), 2, { "presence-grace": "0s" });
    const bob = await open(t, b, { user: "bob" });
    await bob.ok("join", "lobby");
    const alice = await follow(t, a, { mode, user: "alice" });
    await alice.ok("join", "lobby");
    const speaker = new Speaker(bob, "lobby");
    await speaker.say(2);
    await hears(alice, upTo(2));
    const atBob = watch(bob);

    alice.network.server = b;
    assert.equal(await away(alice, "lose", () => speaker.say(5)), true);
    await hears(alice, upTo(7));
    await eventually(async () => (await closings(a, "replaced")) === 1, "the old connection was not closed");
    assert.equal(alice.sessions.items[1][0].connection, alice.me.connection);
    // And back again.
    alice.network.server = a;
    assert.equal(await away(alice, "lose", () => speaker.say(5)), true);
    await eventually(async () => (await closings(b, "replaced")) === 1, "the second connection was not closed");
    await speaker.say(5);
    await hears(alice, upTo(17));

    // Somebody else's leave, for which the grace time began later, has come: alice's would have come before.
    const carol = await open(t, a, { user: "carol" });
    await carol.ok("join", "lobby");
    carol.close();
    await atBob.until("leave carol 2");
    assert.deepEqual(atBob.events().filter(({ user }) => user === "alice"), []);
    const { users } = await bob.ok("presence", "lobby");
    assert.equal(users.find(({ user }) => user === "alice").connections, 1);
    await settled(bob, [alice]);
    await hears(alice, upTo(17));
  });
}

test("clients that change nodes again and again under traffic hear everything once, in order", async (t) => {
  const all = await nodes(t, await redis(t), 2);
  const speaker = new Speaker(await open(t, all[0], { user: "bob" }), "a", "b");
  const clients = await followers(t, all[0], all[1]);
  const stop = speaker.keepOn(t, 2);
  await Promise.all(
    clients.map(async (client) => {
      for (let round = 1; round <= 6; round += 1) {
        const before = client.messages.items.length;
        await client.messages.count(before + 5);
        client.network.server = all[round % 2];
        assert.equal(await away(client, round % 3 ? "lose" : "cut"), true, `${client.name}, round ${round}`);
      }
    }),
  );
  await stop();
  for (const client of clients) await hears(client, upTo(speaker.said));
});

test("without sticky routing polling is told what is wrong, and WebSocket works and recovers", async (t) => {
  const all = await nodes(t, await redis(t), 2);
  // Each connection goes to the other node than the one before.
  let turn = 0;
  const unsticky = { get port() { return all[(turn += 1) % 2].port; } };
  const sid = await pollingSession(all[0]);
  for (const method of ["GET", "POST"]) {
    const { status, body } = await http(all[1], `/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method, body: method === "POST" ? "40" : undefined });
    assert.equal(status, 400, body);
    const error = JSON.parse(body);
    assert.equal(error.code, 1, body);
    assert.match(error.message, /Session ID unknown/);
    assert.match(error.message, /sticky/);
  }
  const way = await network(t, unsticky);
  const poller = start(t, way, { mode: "polling", user: "poller", reconnection: false });
  const failed = new Promise((resolve) => {
    poller.socket.on("connect_error", resolve);
    poller.socket.on("disconnect", (_, details) => resolve(details));
  });
  const error = await within(failed, () => "the polling client was served");
  assert.match(`${error.description ?? error.context?.status}`, /400/);

  const speaker = new Speaker(await open(t, all[0], { user: "bob" }), "lobby");
  const alice = await follow(t, unsticky, { user: "alice" });
  await alice.ok("join", "lobby");
  const hosts = new Set([alice.me.node]);
  for (let round = 1; round <= 3; round += 1) {
    assert.equal(await away(alice, "cut", () => speaker.say(3)), true);
    hosts.add(alice.sessions.items[round][0].node);
    await hears(alice, upTo(3 * round));
  }
  assert.equal(hosts.size, 2, "it was on both nodes");
});
