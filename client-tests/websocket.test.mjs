// Plain WebSocket: every frame of the contract, towards and from clients of its own kind and socket.io's.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";
import { messageOf, peer } from "./support/websocket.mjs";

const KEYED = { "auth-hmac-secret": SECRET };
const keys = (object) => Object.keys(object).sort();
const data = (frames) => frames.map((frame) => frame.data);

// `seconds`, as a frame's timestamp has to be: seconds, with a fraction, of now.
function isNow(timestamp, before) {
  assert.equal(typeof timestamp, "number");
  assert.ok(timestamp * 1000 >= before - 1 && timestamp * 1000 <= Date.now() + 1, `${timestamp}`);
}

test("a client is greeted with who and where it is", async (t) => {
  const server = await serve(t, { ...KEYED, node: "north" });
  const before = Date.now();
  const exp = at(600);
  const alice = await peer(t, server, { token: sign({ sub: "alice", name: "Alice", exp }) });
  const [greeting] = alice.frames.items;
  assert.deepEqual(keys(greeting), ["data", "timestamp", "type"]);
  isNow(greeting.timestamp, before);
  const { connection, limits, version, ts, ...rest } = greeting.data;
  assert.deepEqual(rest, {
    event: "connected",
    user: "alice",
    name: "Alice",
    node: "north",
    rooms: ["user:alice"],
    expires_at: exp * 1000,
  });
  assert.ok(connection.length > 0 && version.length > 0 && typeof limits === "object");
  assert.ok(Number.isInteger(ts) && ts >= before && ts <= Date.now());

  const session = await open(t, server, { token: sign({ sub: "alice", exp }) });
  assert.deepEqual(keys(limits), keys(session.me.limits), "the limits are those that every client is told");
  assert.notEqual(session.me.connection, connection);
});

test("in open mode a client is whom it says, or a guest; a token may come in a cookie or in the address", async (t) => {
  const server = await serve(t);
  assert.equal((await peer(t, server, { user: "alice" })).connected.user, "alice");
  assert.match((await peer(t, server)).connected.user, /^guest-[0-9a-z]{6}$/);
  const keyed = await serve(t, { ...KEYED, "auth-cookie": "session" });
  const token = sign({ sub: "bob" });
  assert.equal((await peer(t, keyed, { query: { token } })).connected.user, "bob");
  assert.equal((await peer(t, keyed, { headers: { cookie: `session=${token}` } })).connected.user, "bob");
});

test("a text is acknowledged when it is stored, and reaches everybody in the room", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  const bob = await peer(t, server, { user: "bob" });
  const carol = await open(t, server, { user: "carol", v: 2 });
  const atCarol = carol.on("message");
  const { epoch } = await bob.ok("join", { room: "lobby" });
  await carol.ok("join", "lobby");

  const before = Date.now();
  const body = { text: "hällo 🦀", list: [1, null, true], nested: { deep: [{}] } };
  const answer = await alice.ask("text", { id: "m-1", data: body });
  assert.deepEqual(keys(answer), ["data", "id", "room", "timestamp", "type"]);
  isNow(answer.timestamp, before);
  const { ts } = answer.data;
  assert.deepEqual(answer.data, { status: "delivered", room: "lobby", id: "m-1", seq: 1, epoch, ts });

  for (const client of [alice, bob]) {
    const text = await client.next("text");
    assert.deepEqual(
      { ...text, timestamp: 0 },
      { type: "text", id: "m-1", room: "lobby", data: body, timestamp: 0, seq: 1, from: { user: "alice" } },
    );
    assert.equal(Math.round(text.timestamp * 1000), ts);
  }
  const [[message]] = await atCarol.count(1);
  assert.deepEqual(message, messageOf(await bob.frames.until(() => bob.of("text")[0])));

  await carol.ok("message", { room: "lobby", data: "from socket.io", id: "m-2" });
  const heard = await bob.next("text");
  assert.deepEqual([heard.id, heard.seq, heard.data, heard.from], ["m-2", 2, "from socket.io", { user: "carol" }]);

  bob.send("text", { room: "lobby", data: "without an id" });
  const bare = await alice.next("text", ({ seq }) => seq === 3);
  assert.ok(bare.id.length > 0, "the server gave it one");
  assert.deepEqual(bob.of("ack").map(({ id }) => id.split("-")[0]), ["join"], "no id, no ack");
});

test("the same id again is the same message", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  const bob = await open(t, server, { user: "bob" });
  const first = await alice.ok("text", { id: "order-7", data: "first" });
  assert.deepEqual(await alice.ok("text", { id: "order-7", data: "again" }), { ...first, duplicate: true });
  assert.equal((await bob.ok("message", { room: "lobby", id: "order-7", data: "elsewhere" })).duplicate, true);
  const event = { event: "order", data: 1 };
  const stored = await alice.ok("event", { id: "order-8", data: event });
  assert.deepEqual(await alice.ok("event", { id: "order-8", data: event }), { ...stored, duplicate: true });
  await alice.ok("text", { data: "end" });
  await alice.next("text", (frame) => frame.data === "end");
  assert.deepEqual(data(alice.of("text")), ["first", "end"]);
  assert.equal(alice.of("event").length, 1);
});

test("events under names of their own are kept and numbered, or ephemeral and neither", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "lobby");
  const [moves, cursors] = ["move", "cursor"].map((event) => bob.on(event));

  const kept = await alice.ok("event", { id: "e-1", data: { event: "move", data: { x: 1 } } });
  assert.deepEqual({ ...kept, epoch: "", ts: 0 }, { status: "delivered", room: "lobby", id: "e-1", seq: 1, epoch: "", ts: 0 });
  const passing = await alice.ok("event", { data: { event: "cursor", data: [1, 2], ephemeral: true } });
  assert.deepEqual(passing, { status: "delivered", room: "lobby" });

  const first = await alice.next("event");
  assert.deepEqual(
    { ...first, timestamp: Math.round(first.timestamp * 1000) },
    {
      type: "event",
      id: "e-1",
      room: "lobby",
      data: { event: "move", data: { x: 1 } },
      timestamp: kept.ts,
      seq: 1,
      from: { user: "alice" },
    },
  );
  const second = await alice.next("event");
  assert.deepEqual(keys(second), ["data", "from", "room", "timestamp", "type"], "without id and seq");
  assert.deepEqual([second.data, second.from], [{ event: "cursor", data: [1, 2] }, { user: "alice" }]);
  const [[x, meta]] = await moves.count(1);
  assert.deepEqual([x, meta.id, meta.seq, meta.event], [{ x: 1 }, "e-1", 1, "move"]);
  assert.deepEqual((await cursors.count(1))[0][0], [1, 2]);

  await alice.ok("event", { data: { event: "move", data: 2, echo: false } });
  await bob.ok("publish", { room: "lobby", event: "move", data: 3 });
  await alice.next("event", (frame) => frame.data.data === 3);
  assert.deepEqual(alice.of("event").map((frame) => frame.data.data), [{ x: 1 }, [1, 2], 3], "not what it did not want back");
  assert.deepEqual((await moves.count(3)).map(([each]) => each), [{ x: 1 }, 2, 3]);
});

test("data comes through byte for byte", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  const raw = [];
  alice.socket.on("message", (text) => raw.push(text.toString()));
  const body = '{"b":12345678901234567890,"a":1.0,"e":1E+2,"u":"\\u0000\\u00e4\\/"}';
  alice.raw(`{"type":"text","id":"exact","data":${body}}`);
  alice.raw(`{"type":"event","data":{"event":"exact","data":${body}}}`);
  await alice.next("text");
  await alice.next("event");
  for (const type of ["text", "event"]) {
    const frame = raw.find((text) => text.includes(`"type":"${type}"`));
    assert.ok(frame.includes(`"data":${body}`), frame);
  }
});

test("rooms are joined and left, with and without ids, and a room's name may be left out where the address has it", async (t) => {
  const server = await serve(t);
  const writer = await open(t, server, { user: "writer" });
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  const { epoch } = alice.joined[0];
  assert.deepEqual(
    { ...alice.joined[0], epoch: "", members: 0, messages: 0 },
    { event: "joined", room: "lobby", epoch: "", seq: 0, recovered: alice.joined[0].recovered, unread: 0, members: 0, messages: 0 },
  );
  assert.equal(alice.joined[0].members.count, 1);
  assert.deepEqual(alice.joined[0].messages, []);
  const ack = await alice.ask("join", { room: "kitchen" });
  assert.equal(ack.room, "kitchen");
  assert.deepEqual([ack.data.seq, ack.data.messages, ack.data.unread, ack.data.members.count], [0, [], 0, 1]);
  const told = await alice.next("system joined", (frame) => frame.room === "kitchen");
  assert.deepEqual([told.data.event, told.data.room, told.data.seq], ["joined", "kitchen", 0]);
  assert.equal(told.data.messages, undefined, "they stand in the ack");

  // Now two rooms: the address still names one.
  await alice.ok("text", { data: "to the lobby" });
  alice.send("join", { room: "cellar" });
  await alice.next("system joined", (frame) => frame.room === "cellar");
  for (const room of ["lobby", "kitchen", "cellar"]) await writer.ok("message", { room, data: room });
  await alice.frames.until(() => alice.of("text").length === 4, "four texts");
  assert.deepEqual(alice.of("text").map(({ room }) => room), ["lobby", "lobby", "kitchen", "cellar"]);

  const left = await alice.ok("leave", { room: "kitchen" });
  assert.equal(left.room, "kitchen");
  assert.deepEqual((await alice.next("system left")).data, { event: "left", room: "kitchen" });
  alice.send("leave", { room: "cellar" });
  assert.equal((await alice.next("system left")).room, "cellar");
  for (const room of ["kitchen", "cellar", "lobby"]) await writer.ok("message", { room, data: "after" });
  await alice.frames.until(() => alice.of("text").length === 5, "the fifth");
  assert.deepEqual(alice.of("text").at(-1).room, "lobby");
  assert.equal(epoch, (await alice.ok("join", {})).epoch, "joining again is no matter");
});

test("an address may name several rooms, and says history or a position to begin with", async (t) => {
  const server = await serve(t);
  const writer = await open(t, server, { user: "writer" });
  let epoch;
  for (const n of upTo(10)) ({ epoch } = await writer.ok("message", { room: "lobby", data: n }));
  await writer.ok("message", { room: "kitchen", data: "k" });

  const several = await peer(t, server, { rooms: ["lobby", "kitchen"], query: { history: 3 } });
  assert.deepEqual(several.joined.map(({ room }) => room), ["lobby", "kitchen"]);
  assert.deepEqual(several.joined.map(({ messages }) => messages.map((message) => message.data)), [[8, 9, 10], ["k"]]);
  const [message] = several.joined[1].messages;
  assert.deepEqual(keys(message), ["data", "event", "from", "id", "room", "seq", "ts"], "messages as on every transport");
  await several.refused("text", { data: "where?" }, "bad_request");

  const back = await peer(t, server, { room: "lobby", query: { since: `${epoch}:7` } });
  assert.equal(back.joined[0].recovered, true);
  assert.deepEqual(back.joined[0].messages.map(({ seq }) => seq), [8, 9, 10]);
  const lost = await peer(t, server, { room: "lobby", query: { since: "otherlife:7" } });
  assert.equal(lost.joined[0].recovered, false);

  const joiner = await peer(t, server, { user: "joiner" });
  const missed = await joiner.ok("join", { room: "lobby", data: { since: `${epoch}:8` } });
  assert.deepEqual([missed.recovered, data(missed.messages)], [true, [9, 10]]);
  const last = await joiner.ok("join", { room: "kitchen", data: { history: 5 } });
  assert.deepEqual(data(last.messages), ["k"]);
  await writer.ok("message", { room: "lobby", data: 11 });
  assert.equal((await joiner.next("text")).seq, 11, "and goes on from there");
});

test("the replay of a join and the live messages meet without hole or repeat", async (t) => {
  const server = await serve(t, UNLIMITED);
  const writer = await open(t, server, { user: "writer" });
  const { epoch } = await writer.ok("message", { room: "lobby", data: 1 });
  const readers = await Promise.all(upTo(4).map((n) => peer(t, server, { user: `reader${n}` })));
  let total = 1;
  const writing = Promise.all(
    upTo(16).map(async () => {
      while (total < 1500) await writer.ok("message", { room: "lobby", data: (total += 1) });
    }),
  );
  const reading = readers.map(async (reader, i) => {
    await eventually(() => total > 200 * (i + 1), "the writing did not start");
    const joined = await reader.ok("join", { room: "lobby", data: { since: `${epoch}:0` } });
    assert.equal(joined.recovered, true);
    return joined;
  });
  await writing;
  for (const [i, joined] of (await Promise.all(reading)).entries()) {
    const first = joined.messages.map(({ seq }) => seq);
    const rest = () => readers[i].of("text").map(({ seq }) => seq);
    await readers[i].frames.until(() => first.length + rest().length >= total, "all");
    assert.deepEqual([...first, ...rest()], upTo(total));
  }
});

test("history is paged as for every client", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  for (const n of upTo(6)) await alice.ok("text", { data: n });
  const last = await alice.ok("history", { data: { limit: 2 } });
  assert.deepEqual([last.room, last.seq, last.more, data(last.messages)], ["lobby", 6, true, [5, 6]]);
  const before = await alice.ok("history", { room: "lobby", data: { before: 3 } });
  assert.deepEqual([before.more, data(before.messages)], [false, [1, 2]]);
  const after = await alice.ok("history", { room: "lobby", data: { after: 2, limit: 3 } });
  assert.deepEqual([after.more, data(after.messages)], [true, [3, 4, 5]]);
  assert.deepEqual(data((await alice.ok("history", {})).messages), upTo(6));
});

test("presence, status, typing and read markers go both ways between plain WebSocket and Socket.IO", async (t) => {
  const server = await serve(t, { "presence-grace": "100ms" });
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  const bob = await open(t, server, { user: "bob", v: 3 });
  const [presence, typing, read] = ["presence", "typing", "read"].map((event) => bob.on(event));
  await bob.ok("join", "lobby");
  const came = await alice.next("presence");
  assert.deepEqual(keys(came), ["data", "room", "timestamp", "type"]);
  assert.deepEqual(
    { ...came.data, ts: 0 },
    { room: "lobby", event: "join", user: "bob", status: "online", count: 2, ts: 0 },
  );
  const here = await alice.ok("presence", { data: { limit: 1 } });
  assert.deepEqual([here.count, here.users.length, typeof here.next], [2, 1, "string"]);
  const more = await alice.ok("presence", { room: "lobby", data: { after: here.next } });
  assert.deepEqual([...here.users, ...more.users].map(({ user }) => user).sort(), ["alice", "bob"]);

  const set = await alice.ok("status", { data: { status: "busy", info: { mood: "fine" } } });
  assert.equal(set.status, "delivered", "what the ack says of the frame comes first");
  const [busy] = await presence.until((items) => items.find(([event]) => event.event === "update"));
  assert.deepEqual([busy.user, busy.status, busy.info], ["alice", "busy", { mood: "fine" }]);
  await bob.ok("status", { status: "away" });
  assert.equal((await alice.next("presence", (frame) => frame.data.event === "update" && frame.data.user === "bob")).data.status, "away");

  await alice.ok("typing", { data: { typing: true } });
  const [[typist]] = await typing.count(1);
  assert.deepEqual([typist.room, typist.user, typist.typing], ["lobby", "alice", true]);
  assert.ok(typist.expires_in_ms > 0);
  await alice.ok("typing", { room: "lobby", data: { typing: false } });
  await typing.until((items) => items.some(([event]) => !event.typing));
  await bob.ok("typing_start", "lobby");
  const seen = await alice.next("typing");
  assert.deepEqual([seen.room, seen.data.room, seen.data.user, seen.data.typing], ["lobby", "lobby", "bob", true]);

  const { seq } = await bob.ok("message", { room: "lobby", data: 1 });
  const marked = await alice.ok("read", { data: { seq } });
  assert.deepEqual(marked, { status: "delivered", room: "lobby", seq: 1, unread: 0 });
  assert.deepEqual((await read.count(1))[0], [{ room: "lobby", user: "alice", seq: 1 }]);
  await bob.ok("read", { room: "lobby", seq });
  assert.deepEqual((await alice.next("read")).data, { room: "lobby", user: "bob", seq: 1 });

  alice.socket.close();
  const [gone] = await presence.until((items) => items.find(([event]) => event.event === "leave"));
  assert.deepEqual([gone.user, gone.count], ["alice", 1]);
});

test("a notification is an event, on every connection of its user only", async (t) => {
  const server = await serve(t, KEYED);
  const notifier = await peer(t, server, {
    token: sign({ sub: "alice", rooms: [{ match: "user:*", can: ["publish"] }] }),
  });
  const tabs = await Promise.all(upTo(2).map(() => peer(t, server, { token: sign({ sub: "bob" }) })));
  const other = await peer(t, server, { token: sign({ sub: "carol" }) });
  const event = { event: "notification", data: { title: "hello" } };
  const sent = await notifier.ok("event", { room: "user:bob", id: "n-1", data: event });
  await notifier.ok("event", { room: "user:carol", data: { event: "notification", data: "end" } });
  for (const tab of tabs) {
    const told = await tab.next("event");
    assert.deepEqual([told.room, told.id, told.seq, told.data, told.from], ["user:bob", "n-1", sent.seq, event, { user: "alice" }]);
  }
  assert.equal((await other.next("event")).data.data, "end");
});

test("a client whose new token takes a room away receives kicked; the others see it leave", async (t) => {
  const server = await serve(t, { ...KEYED, "presence-grace": "100ms" });
  const rooms = (...names) => names.map((match) => ({ match, can: ["join", "publish", "history", "presence"] }));
  const alice = await peer(t, server, { token: sign({ sub: "alice", rooms: rooms("lobby", "kitchen") }), rooms: ["lobby", "kitchen"] });
  const exp = at(600);
  const refreshed = await alice.ok("refresh", { data: { token: sign({ sub: "alice", exp, rooms: rooms("lobby") }) } });
  assert.equal(refreshed.expires_at, exp * 1000);
  const kicked = await alice.next("system kicked");
  assert.equal(kicked.data.room, "kitchen");
  assert.equal(typeof kicked.data.reason, "string");
  await alice.refused("text", { room: "kitchen", data: 1 }, "forbidden");
  await alice.ok("text", { room: "lobby", data: 1 });
});

test("ten thousand messages in one burst reach a client that reads, each once and in order", async (t) => {
  const MESSAGES = 10_000;
  const server = await serve(t, { ...UNLIMITED, "history-messages": 100_000 });
  const reader = await peer(t, server, { user: "reader", room: "lobby" });
  const writer = await peer(t, server, { user: "writer" });
  let stored = 0;
  let sent = 0;
  const more = () => {
    while (sent < MESSAGES && sent < stored + 500) writer.send("text", { room: "lobby", id: `b-${(sent += 1)}`, data: sent });
  };
  writer.socket.on("message", (text) => {
    if (!text.includes('"ack"')) return;
    stored += 1;
    more();
  });
  more();
  // Not all of its frames are messages.
  const heardAll = () => reader.frames.items.length > MESSAGES && reader.of("text").length >= MESSAGES;
  await eventually(heardAll, "the reader did not hear all", 60_000);
  const texts = reader.of("text");
  assert.deepEqual(texts.map(({ seq }) => seq), upTo(MESSAGES));
  assert.deepEqual(data(texts), upTo(MESSAGES), "in the order sent");
  await eventually(() => stored === MESSAGES, "not all were acknowledged");
});
