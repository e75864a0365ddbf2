// Recovery: a stock client that loses its network has everything it missed when it comes back, by itself.

import assert from "node:assert/strict";
import { test } from "node:test";
import { manager, open, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { away, follow, hears, heard, Speaker } from "./support/follow.mjs";
import { network } from "./support/proxy.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const MODES = ["polling", "websocket", "upgrade"];

for (const mode of MODES) {
  test(`a client over ${mode} that lost its network three times has missed nothing of any room`, async (t) => {
    const server = await serve(t, UNLIMITED);
    const rooms = ["a", "b", "c"];
    const alice = await follow(t, server, { mode, user: "alice" });
    for (const room of rooms) await alice.ok("join", room);
    const speaker = new Speaker(await open(t, server, { user: "bob" }), ...rooms);

    await speaker.say(6);
    await hears(alice, upTo(6));
    for (const how of ["cut", "lose", "cut"]) {
      assert.equal(await away(alice, how, () => speaker.say(20)), true, how);
      await speaker.say(3);
      await hears(alice, upTo(speaker.said));
    }
    await settled(speaker.client, [alice], "a");
    assert.deepEqual(heard(alice), upTo(speaker.said), "nothing came twice");

    for (const [session] of alice.sessions.items) {
      assert.equal(session.user, "alice");
      assert.equal(session.connection, alice.me.connection, "it is the same connection as before");
    }
    const { rooms: regained } = alice.sessions.items.at(-1)[0];
    assert.deepEqual([...regained].sort(), [...rooms, "user:alice"]);
  });

  test(`a client over ${mode} that had not received anything yet has missed nothing`, async (t) => {
    const server = await serve(t, UNLIMITED);
    const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
    await speaker.say(3);
    const alice = await follow(t, server, { mode, user: "alice" });
    await alice.ok("join", "lobby");
    assert.equal(await away(alice, "cut", () => speaker.say(5)), true);
    await hears(alice, [4, 5, 6, 7, 8]);
    await settled(speaker.client, [alice]);
    assert.deepEqual(heard(alice), [4, 5, 6, 7, 8], "what was there before the join does not come");
  });
}

test("a client that is only in its personal room has its notifications when it comes back", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET });
  const rooms = [{ match: "user:*", can: ["publish"] }, { match: "lobby", can: ["join", "publish"] }];
  const notifier = await open(t, server, { token: sign({ sub: "notifier", rooms }) });
  const notify = (data) => notifier.ok("publish", { room: "user:alice", event: "notification", data });
  await notify("before");
  const alice = await follow(t, server, { token: sign({ sub: "alice" }) });
  const told = alice.on("notification");
  assert.equal(
    await away(alice, "cut", async () => {
      for (const data of [1, 2, 3]) await notify(data);
    }),
    true,
  );
  await notify(4);
  await told.count(4);
  assert.deepEqual(told.items.map(([message]) => message.data), [1, 2, 3, 4]);
});

test("each namespace of one connection is recovered by itself", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-namespaces": "/,/chat" });
  const way = await network(t, server);
  for (const mode of MODES) {
    const socket = manager(t, way, { mode });
    const clients = ["/", "/chat"].map((namespace) => {
      const client = socket(namespace, { auth: { user: "alice" } });
      client.messages = client.on("message");
      client.connects = client.on("connect");
      return client;
    });
    const speakers = await Promise.all(
      ["/", "/chat"].map(async (namespace) => {
        return new Speaker(await open(t, server, { user: "bob", namespace }), `lobby-${mode}`);
      }),
    );
    for (const client of clients) {
      await client.session();
      await client.ok("join", `lobby-${mode}`);
    }
    await speakers[0].say(3);
    await hears(clients[0], upTo(3));
    way.cut();
    // The second has not received anything, and has a log of its own.
    await speakers[0].say(4);
    await speakers[1].say(9);
    way.mend();
    for (const [i, client] of clients.entries()) {
      await client.connects.count(2);
      await hears(client, upTo(speakers[i].said));
      assert.equal(client.socket.recovered, true, client.socket.nsp);
    }
    await speakers[1].say(1);
    await hears(clients[1], upTo(10));
  }
});

test("rooms that were left stay left, and those joined on the way count from their join on", async (t) => {
  const server = await serve(t, UNLIMITED);
  const bob = await open(t, server, { user: "bob" });
  const alice = await follow(t, server, { user: "alice" });
  const say = (room, data) => bob.ok("message", { room, data });

  await alice.ok("join", "left");
  await alice.ok("join", "kept");
  await say("left", "left 1");
  await hears(alice, ["left 1"]);
  await alice.ok("leave", "left");
  await say("left", "left 2");
  await say("late", "late 1");
  await alice.ok("join", "late");
  const meanwhile = async () => {
    for (const room of ["left", "late", "kept"]) await say(room, `${room} meanwhile`);
  };
  assert.equal(await away(alice, "cut", meanwhile), true);
  await hears(alice, ["left 1", "late meanwhile", "kept meanwhile"]);

  await alice.ok("leave", "late");
  const { messages } = await alice.ok("join", { room: "left", history: 10 });
  assert.deepEqual(messages.map((message) => message.data), ["left 1", "left 2", "left meanwhile"]);
  assert.equal(await away(alice, "lose", meanwhile), true);
  await say("left", "end");
  await hears(alice, ["left 1", "late meanwhile", "kept meanwhile", "left meanwhile", "kept meanwhile", "end"]);
});

test("what a client sent with echo: false does not come back to it by recovery", async (t) => {
  const server = await serve(t, UNLIMITED);
  const bob = await open(t, server, { user: "bob" });
  const alice = await follow(t, server, { user: "alice" });
  const tab = await open(t, server, { user: "alice" });
  const atTab = tab.on("message");
  for (const client of [alice, tab, bob]) await client.ok("join", "lobby");
  await alice.ok("message", { room: "lobby", data: "heard", echo: false });
  assert.equal(await away(alice, "cut", () => bob.ok("message", { room: "lobby", data: "missed" })), true);
  await hears(alice, ["missed"]);

  // Sent by the client itself, once it is back.
  const acked = [];
  const meanwhile = async () => {
    for (const data of [1, 2]) {
      alice.socket.emit("message", { room: "lobby", data, echo: false }, (ack) => acked.push(ack.ok));
    }
    alice.socket.emit("message", { room: "lobby", data: 3 });
  };
  assert.equal(await away(alice, "lose", meanwhile), true);
  await hears(alice, ["missed", 3]);
  // Messages arrive before the acks of those that are stored with them.
  await eventually(() => acked.length === 2, "both are acknowledged");
  assert.deepEqual(acked, [true, true]);
  await atTab.count(5);
  assert.deepEqual(atTab.items.map(([message]) => message.data), ["heard", "missed", 1, 2, 3]);
});

test("a recovered client joins, leaves, sends and is acknowledged like any other", async (t) => {
  for (const mode of MODES) {
    const server = await serve(t, UNLIMITED);
    const bob = await open(t, server, { user: "bob" });
    const alice = await follow(t, server, { mode, user: "alice" });
    await alice.ok("join", "lobby");
    assert.equal(await away(alice, "lose", () => bob.ok("message", { room: "lobby", data: 1 })), true);
    const acks = await Promise.all(upTo(50).map((i) => alice.ok("message", { room: "lobby", data: i + 1 })));
    assert.deepEqual(acks.map((ack) => ack.seq), upTo(50).map((i) => i + 1));
    await hears(alice, upTo(51));
    const { seq } = await alice.ok("join", { room: "kitchen" });
    assert.equal(seq, 0);
    await alice.ok("leave", "lobby");
    await bob.ok("message", { room: "lobby", data: "not any more" });
    await bob.ok("message", { room: "kitchen", data: 52 });
    await hears(alice, upTo(52));
  }
});

test("a client whose network froze comes back by its heartbeat and has missed nothing", async (t) => {
  const server = await serve(t, {
    ...UNLIMITED,
    "socketio-ping-interval": "1s",
    "socketio-ping-timeout": "1s",
  });
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(2);
  await hears(alice, [1, 2]);
  alice.network.freeze();
  await speaker.say(10);
  assert.deepEqual(await alice.returns.count(1), [true]);
  await hears(alice, upTo(12));
});

test("more is replayed than a page of the log holds, while new messages arrive", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-page": 50 });
  const bob = await open(t, server, { user: "bob" });
  for (const mode of MODES) {
    const room = `room-${mode}`;
    const alice = await follow(t, server, { mode, user: "alice" });
    await alice.ok("join", room);
    let said = 0;
    const send = () => bob.ok("message", { room, data: (said += 1) });
    const more = [];
    assert.equal(await away(alice, "cut", () => Promise.all(upTo(1000).map(send))), true);
    for (let i = 0; i < 20; i += 1) more.push(...upTo(10).map(send), await send());
    await Promise.all(more);
    await hears(alice, upTo(said));
  }
});
