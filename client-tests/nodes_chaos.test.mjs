// Several nodes under traffic while faults come as chance has them: Redis is frozen, cut off or killed, nodes are frozen, killed
// or stopped, clients lose their networks and come to whichever node.
// SWITCHBOARD_LONG=1 goes on for five minutes; SWITCHBOARD_SEED repeats the choices of a run that failed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { breakable, nodes, STORES, traffic } from "./support/nodes.mjs";
import { chance } from "./support/random.mjs";
import { redisCluster } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { call } from "./support/web.mjs";

const LONG = process.env.SWITCHBOARD_LONG === "1";
const SEED = Number(process.env.SWITCHBOARD_SEED ?? Date.now() % 2 ** 32);
const LASTS = LONG ? 300_000 : 6_000;
const OPTIONS = {
  "presence-lease": "2s",
  "presence-grace": "500ms",
  "drain-over": "100ms",
  // Connections that a fault has left half open are noticed within the time of the test.
  "socketio-ping-interval": "2s",
  "socketio-ping-timeout": "4s",
  "history-messages": 1_000_000,
};

// Each takes something away for a time and gives it back.
const FAULTS = {
  async redisFrozen({ store, pick, some }) {
    const master = pick(store.masters);
    master.freeze();
    await some(4_000);
    master.thaw();
  },
  async redisKilled({ store, pick, some }) {
    const master = pick(store.masters);
    await master.kill();
    await some(1_000);
    await master.restart();
  },
  async wayCut({ all, pick, some }) {
    const { way } = pick(all);
    way.cut();
    await some(2_000);
    way.mend();
  },
  async waySilent({ all, pick }) {
    pick(all).way.freeze();
  },
  async nodeFrozen({ all, pick, some }) {
    const node = pick(all);
    node.freeze();
    await some(4_000);
    node.thaw();
  },
  async nodeKilled({ all, pick, some }) {
    const node = pick(all);
    await node.kill();
    await some(1_000);
    await startAgain(node);
  },
  async nodeStopped({ all, pick }) {
    const node = pick(all);
    await node.stop(40_000);
    await startAgain(node);
  },
};

// A node that has never seen its Redis does not start, so it is started until it does.
const startAgain = (node) => eventually(() => node.start().then(() => true, () => false), "a node does not start", 30_000);

for (const { store: name, begin } of STORES) {
  test(`under random faults of nodes and ${name}, every member receives every message once, in one order`, async (t) => {
    t.diagnostic(`SWITCHBOARD_SEED=${SEED}`);
    const store = await begin(t);
    const all = await (begin === redisCluster ? nodes : breakable)(t, store, 3, OPTIONS);
    const on = await traffic(t, all, { members: 2, pace: 5 });
    const end = Date.now() + LASTS;

    const random = chance(SEED);
    const pick = (list) => list[Math.floor(random() * list.length)];
    const some = (most) => pause(random() * most);
    // Ways to a Redis Cluster are as many as its masters; there Redis itself is all that can be away.
    const possible = Object.keys(FAULTS).filter((fault) => all[0].way || !fault.startsWith("way"));
    const counts = {};
    const faults = async () => {
      while (Date.now() < end) {
        await some(1_000);
        const fault = pick(possible);
        counts[fault] = (counts[fault] ?? 0) + 1;
        await FAULTS[fault]({ store, all, pick, some });
        // Two faults at once are a matter of chance, but not without a breath in between.
        if (random() < 0.5) await on.goesOn(60_000);
      }
    };
    // Whoever comes back does so at a node of its choice; that may be the one which is away.
    const clients = [...on.members, ...on.speakers.map(({ client }) => client)];
    const losses = clients.map(async (client, i) => {
      const own = chance(SEED + 1 + i);
      client.socket.io.on("reconnect_attempt", () => (client.network.server = all[Math.floor(own() * all.length)]));
      while (Date.now() < end) {
        await pause(own() * 5_000);
        if (!client.socket.connected) continue;
        client.network[own() < 0.5 ? "cut" : "lose"]();
        await client.gone.count(client.gone.items.length + (client.socket.connected ? 1 : 0));
        await pause(own() ** 2 * 2_000);
        client.network.mend();
      }
    });
    await Promise.all([faults(), ...losses]);

    t.diagnostic(`on after ${await on.goesOn(60_000)} ms; ${JSON.stringify(counts)}`);
    await on.check();
    for (const { me, name, returns } of clients) {
      assert.ok(returns.items.every((recovered) => recovered === true), `${me.user}, ${name}: ${returns.items}`);
    }
    // In the end all nodes agree on who is here.
    const due = on.members.map(({ me }) => `${me.user} 1`).sort();
    for (const [i, node] of all.entries()) {
      const here = async () => (await call(node, "GET", "/v1/rooms/r0/presence", { user: "witness" })).body.users ?? [];
      let seen;
      const agrees = async () => (seen = (await here()).map(({ user, connections }) => `${user} ${connections}`)).join() === due.join();
      await eventually(agrees, `node ${i} takes others for here`, 20_000).catch((error) => {
        throw new Error(`${error.message}: ${seen}`);
      });
    }
  });
}
