// Offsets: a stock client takes the last argument of any event, if it is a string, for its offset. So durable events
// end in one, and nothing else does, or at least nothing that could be mistaken for one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { away, follow, heard, hears, Speaker } from "./support/follow.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const RELAY = { ...UNLIMITED, "socketio-relay": "draw,cursor" };

test("durable events end in an offset, and no other event ends in a string", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "auth-hmac-secret": SECRET });
  const all = ["join", "publish", "history", "presence", "signal"];
  const rooms = [{ match: "*", can: all }, { match: "user:*", can: ["publish"] }];
  const bob = await open(t, server, { token: sign({ sub: "bob", rooms }) });
  const alice = await follow(t, server, { token: sign({ sub: "alice", rooms }) });
  const events = alice.on("end");
  const seen = new Map();
  const ends = [];
  alice.socket.onAny((event, ...args) => {
    seen.set(event, typeof args.at(-1) === "string");
    if (typeof args.at(-1) === "string") ends.push(args.at(-1));
    // A signal waits for its answer.
    if (typeof args.at(-1) === "function") args.at(-1)("heard");
  });
  await alice.ok("join", "lobby");
  await bob.ok("join", "lobby");
  await bob.ok("message", { room: "lobby", data: "text" });
  await bob.ok("publish", { room: "lobby", event: "kept", data: "text" });
  await bob.ok("publish", { room: "lobby", event: "passing", data: "text", ephemeral: true });
  await bob.ok("publish", { room: "user:alice", event: "notification", data: "text" });
  await bob.ok("typing", { room: "lobby", typing: true });
  await bob.ok("status", { status: "busy" });
  await bob.ok("read", { room: "lobby", seq: 1 });
  await bob.ok("signal", { to: { user: "alice" }, event: "ring", data: "text" });
  alice.socket.emit("join", 7);
  await alice.errors.count(1);
  assert.equal(await away(alice, "cut", () => bob.ok("message", { room: "lobby", data: "missed" })), true);
  await hears(alice, ["text", "missed"]);
  await bob.ok("publish", { room: "lobby", event: "end", data: null, ephemeral: true });
  await events.count(1);

  assert.deepEqual(Object.fromEntries([...seen].sort()), {
    end: false,
    error: false,
    kept: true,
    message: true,
    notification: true,
    passing: false,
    presence: false,
    read: false,
    session: false,
    signal: false,
    typing: false,
  });
  assert.equal(new Set(ends).size, ends.length, "no offset is given twice");
});

test("a relayed event that ends in a string makes nobody skip a message", async (t) => {
  const server = await serve(t, RELAY);
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "lobby");
  const speaker = new Speaker(bob, "lobby");
  for (const last of ["end", "", "17", "~", "x~", "5~x", "999999"]) {
    const alice = await follow(t, server, { user: "alice" });
    const drawn = alice.on("draw");
    await alice.ok("join", "lobby");
    const from = speaker.said;
    await speaker.say(2);
    // Relayed events have a way of their own, and may come before messages that were sent before them.
    await eventually(() => heard(alice).length === 2, "the first messages did not come");
    bob.socket.emit("draw", 1, last);
    await drawn.count(1);
    assert.deepEqual(drawn.items, [[1, last]]);
    assert.equal(alice.socket._lastOffset, last, "the client takes it for its offset");
    const recovered = await away(alice, "cut", () => speaker.say(3));
    if (!recovered) await alice.ok("join", "lobby");
    await speaker.say(1);
    await settled(bob, [alice]);
    const missed = recovered ? [3, 4, 5] : [];
    assert.deepEqual(heard(alice), [1, 2, ...missed, 6].map((n) => from + n), `${JSON.stringify(last)} ${recovered}`);
    alice.close();
  }
});

test("a relayed event that ends in what could be an offset is refused", async (t) => {
  const server = await serve(t, RELAY);
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { user })));
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const drawn = alice.on("draw");
  for (const last of ["5~", "0~", "18446744073709551615~"]) {
    await bob.refused("draw", last, "bad_request");
    bob.socket.emit("draw", 1, last);
    bob.socket.emit("draw", Buffer.from([1]), last);
  }
  await bob.errors.count(6);
  for (const [error] of bob.errors.items) {
    assert.equal(error.event, "draw");
    assert.equal(error.code, "bad_request");
  }
  bob.socket.emit("draw", "5~", { x: "5~" });
  await drawn.count(1);
  assert.deepEqual(drawn.items, [["5~", { x: "5~" }]]);
});
