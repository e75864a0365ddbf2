// Offsets: a stock client takes the last argument of any event, if it is a string, for its offset. So durable events
// end in one, and of other events those that would end in another string.

import assert from "node:assert/strict";
import { test } from "node:test";
import { manager, open, upTo } from "./support/clients.mjs";
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
  alice.socket.emit("join", true);
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

for (const mode of ["polling", "websocket", "upgrade"]) {
  test(`events that end in a string leave a client over ${mode} its place`, async (t) => {
    const server = await serve(t, RELAY);
    const bob = await open(t, server, { user: "bob" });
    await bob.ok("join", "lobby");
    const speaker = new Speaker(bob, "lobby");
    const bytes = Buffer.from([1, 2]);
    for (const args of [["the end"], [""], [1, "17"], ["5~"], ["18446744073709551615~"], [bytes, "~"], []]) {
      const alice = await follow(t, server, { mode, user: "alice" });
      const drawn = alice.on("draw");
      await alice.ok("join", "lobby");
      const from = speaker.said;
      await speaker.say(2);
      // Relayed events have a way of their own, and may come before messages that were sent before them.
      await eventually(() => heard(alice).length === 2, "the first messages did not come");
      bob.socket.emit("draw", ...args);
      await drawn.count(1);
      assert.deepEqual(drawn.items[0].slice(0, -1), args);
      assert.equal(alice.socket._lastOffset, drawn.items[0].at(-1));
      assert.equal(alice.socket._lastOffset, alice.messages.items[1][1], "the offset of the last message");
      assert.equal(await away(alice, "cut", () => speaker.say(3)), true, JSON.stringify(args));
      await speaker.say(1);
      await settled(bob, [alice]);
      assert.deepEqual(heard(alice), upTo(6).map((n) => from + n), JSON.stringify(args));
      alice.close();
    }
  });

  test(`a client over ${mode} that has been given nothing but events that end in a string misses nothing`, async (t) => {
    const server = await serve(t, RELAY);
    const bob = await open(t, server, { user: "bob" });
    const speaker = new Speaker(bob, "lobby");
    await bob.ok("join", "lobby");
    await speaker.say(3);
    const alice = await follow(t, server, { mode, user: "alice" });
    const drawn = alice.on("draw");
    await alice.ok("join", "lobby");
    const times = { cut: 4, lose: 5 };
    for (const [how, n] of Object.entries(times)) {
      bob.socket.emit("draw", "the end");
      await drawn.count(1);
      assert.equal(await away(alice, how, () => speaker.say(n)), true, how);
    }
    await settled(bob, [alice]);
    assert.deepEqual(heard(alice), upTo(9).map((n) => 3 + n));
  });
}

test("each namespace has a place of its own, and a client of Engine.IO 3, which has none, is given no offset", async (t) => {
  const server = await serve(t, { ...RELAY, "socketio-namespaces": "/,/chat" });
  const socket = manager(t, server);
  const alice = ["/", "/chat"].map((namespace) => socket(namespace, { auth: { user: "alice" } }));
  const bob = await Promise.all(["/", "/chat"].map((namespace) => open(t, server, { user: "bob", namespace })));
  const old = await open(t, server, { v: 2, user: "carol" });
  const drawn = [...alice, old].map((client) => client.on("draw"));
  const messages = alice.map((client) => client.on("message"));
  for (const client of [...alice, ...bob, old]) {
    await client.session();
    await client.ok("join", "lobby");
  }
  for (const [i, n] of [2, 5].entries()) {
    await new Speaker(bob[i], "lobby").say(n);
    await messages[i].count(n);
    bob[i].socket.emit("draw", "the end");
    await drawn[i].count(1);
    assert.deepEqual(drawn[i].items, [["the end", messages[i].items[n - 1][1]]]);
  }
  await drawn[2].count(1);
  assert.deepEqual(drawn[2].items, [["the end"]]);
});
