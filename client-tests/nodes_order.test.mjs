// Several nodes: all members on all of them see one order, without hole or repeat, whatever becomes of Redis meanwhile.

import { test } from "node:test";
import { breakable, nodes, STORES, traffic } from "./support/nodes.mjs";
import { redis, redisCluster } from "./support/redis.mjs";

// Two seconds are promised; the rest is for a busy machine.
const SOON = 5_000;

for (const { store, begin } of STORES) {
  test(`members on three nodes over ${store} see one order in all rooms`, async (t) => {
    const on = await traffic(t, await nodes(t, await begin(t), 3), { pace: 0 });
    await on.says(300);
    await on.check();
    on.stayed();
  });
}

test("nodes whose ways to Redis are cut, one after another and all together, catch up at once", async (t) => {
  const all = await breakable(t, await redis(t), 2);
  const on = await traffic(t, all);
  for (const [a, b] of [[0, 0], [1, 1], [0, 1]]) {
    await on.says(50);
    const away = [...new Set([all[a], all[b]])];
    const refused = on.stops(on.speakers.filter((_, i) => away.includes(all[i])));
    for (const node of away) node.way.cut();
    await refused;
    for (const node of away) node.way.mend();
    t.diagnostic(`${away.length} nodes cut: on after ${await on.goesOn(SOON)} ms`);
  }
  await on.check();
  on.stayed();
});

test("nodes whose connections to Redis go silent, one after another, lose and repeat nothing", async (t) => {
  const all = await breakable(t, await redis(t), 2);
  const on = await traffic(t, all);
  for (const [i, node] of all.entries()) {
    await on.says(50);
    const refused = on.stops([on.speakers[i]]);
    node.way.freeze();
    await refused;
    t.diagnostic(`on after ${await on.goesOn(30_000)} ms`);
  }
  await on.check();
  on.stayed();
});

for (const [how, begin, end] of [["frozen", "freeze", "thaw"], ["killed and started again", "kill", "restart"]]) {
  test(`while Redis is ${how} under traffic nothing is lost, and delivery resumes soon after it is back`, async (t) => {
    const store = await redis(t);
    const on = await traffic(t, await nodes(t, store, 2));
    for (let round = 0; round < 2; round += 1) {
      await on.says(50);
      const refused = on.stops();
      await store[begin]();
      await refused;
      await store[end]();
      t.diagnostic(`on after ${await on.goesOn(SOON)} ms`);
    }
    await on.check();
    on.stayed();
  });

  test(`while a master of a Redis Cluster is ${how} under traffic nothing is lost, and delivery resumes soon after it is back`, async (t) => {
    const store = await redisCluster(t);
    const on = await traffic(t, await nodes(t, store, 2), { rooms: ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"] });
    for (const master of store.masters.slice(1)) {
      await on.says(50);
      const refused = on.stops();
      await master[begin]();
      await refused;
      await master[end]();
      await master.ready();
      t.diagnostic(`on after ${await on.goesOn(SOON)} ms`);
    }
    await on.check();
    on.stayed();
  });
}
