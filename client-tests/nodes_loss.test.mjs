// Redis has lost messages that it had acknowledged: no client that may have missed some is told recovered.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { listening } from "./support/events.mjs";
import { away, follow, hears, Speaker } from "./support/follow.mjs";
import { breakable, nodes } from "./support/nodes.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";

test("a client that was connected while messages were lost, and joins rooms after that, has not recovered when it comes back", async (t) => {
  const store = await redis(t);
  const [a, b] = await breakable(t, store, 2);
  const speaker = new Speaker(await open(t, b, { user: "bob" }), "lobby");
  const alice = await follow(t, a, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(2);
  await hears(alice, [1, 2]);
  a.way.cut();
  await speaker.say(1);
  await store.cli("FLUSHALL");
  a.way.mend();
  await eventually(async () => (await alice.ask("join", "other")).ok, "it may not join");
  assert.equal(await away(alice, "cut"), false);
});

test("a stream that comes back to a node that has not noticed the loss is told that something is missing", async (t) => {
  const store = await redis(t);
  const [a, b] = await nodes(t, store, 2);
  const speaker = new Speaker(await open(t, b, { user: "bob" }), "lobby");
  // Keeps the room followed on both nodes.
  for (const node of [a, b]) await (await open(t, node, { user: "carol" })).ok("join", "lobby");
  const stream = await listening(t, a, { rooms: ["lobby"], user: "alice" });
  await speaker.say(1);
  const { id } = await stream.nth("message", 1);
  stream.close();
  await speaker.say(1);
  await store.cli("FLUSHALL");
  await speaker.say(1);
  const back = await listening(t, a, { rooms: ["lobby"], user: "alice", lastEventId: id });
  await back.nth("reset", 1);
});
