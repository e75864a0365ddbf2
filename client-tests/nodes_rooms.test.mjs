// A node listens to a room only while it has members there: what it costs grows with interest, not with nodes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { channels } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { polled } from "./support/web.mjs";

for (const { store, begin } of STORES) {
  test(`in ${store} a room's channel is there only while a node has members in the room`, async (t) => {
    const shared = await begin(t);
    const [a, b] = await nodes(t, shared, 2, { "presence-grace": "0s" });
    const [alice, bob] = await Promise.all([open(t, a, { user: "alice" }), open(t, b, { user: "bob" })]);
    const heard = async (room) => (await channels(shared)).filter((name) => name.includes(room));
    const quiet = async () => (await heard("lobby")).length === 0;
    assert.deepEqual(await heard("lobby"), []);

    for (let round = 0; round < 2; round += 1) {
      await alice.ok("join", "lobby");
      assert.equal((await heard("lobby")).length, 1, `${await channels(shared)}`);
      await bob.ok("join", "lobby");
      await settled(alice, [bob]);
      await alice.ok("leave", "lobby");
      assert.equal((await heard("lobby")).length, 1);
      await bob.ok("message", { room: "lobby", data: round });
      if (round === 0) await bob.ok("leave", "lobby");
      else bob.close();
      await eventually(quiet, "the channel is still listened to");
    }
    await alice.ok("message", { room: "lobby", data: "nobody listens" });
    assert.deepEqual(await heard("lobby"), []);
    // Whoever waits for something is interested, too.
    const { cursor } = await polled(a, "lobby", { user: "carol" });
    const waiting = polled(b, "lobby", { user: "carol", since: cursor, wait: 20 });
    await eventually(async () => (await heard("lobby")).length === 1, "nobody waits");
    await alice.ok("message", { room: "lobby", data: "now" });
    assert.deepEqual((await waiting).messages.map(({ data }) => data), ["now"]);
    await eventually(quiet, "the channel is still listened to");
  });
}
