// Rooms: joining, sending, publishing and leaving, from every client; what is delivered and what is refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MATRIX, open } from "./support/clients.mjs";
import { rawClient } from "./support/raw.mjs";
import { serve } from "./support/server.mjs";

const keys = (object) => Object.keys(object).sort();

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode} sends and receives the messages of a room`, async (t) => {
    const server = await serve(t);
    const alice = await open(t, server, { v, mode, user: "alice" });
    const bob = await open(t, server, { v, mode, user: "bob" });
    const [atAlice, atBob] = [alice.on("message"), bob.on("message")];

    const joined = await alice.ok("join", { room: "lobby" });
    assert.deepEqual(
      { ...joined, epoch: "", members: 0 },
      { ok: true, room: "lobby", epoch: "", seq: 0, messages: [], recovered: joined.recovered, members: 0, unread: 0 },
    );
    assert.equal(joined.members.count, 1);
    const second = await bob.ok("join", "lobby");
    assert.equal(second.members.count, 2);
    assert.equal(second.epoch, joined.epoch);

    const data = { text: "hällo 🦀", list: [1, null, true], nested: { deep: [{}] } };
    const ack = await alice.ok("message", { room: "lobby", data });
    assert.deepEqual(keys(ack), ["epoch", "id", "ok", "room", "seq", "ts"]);
    assert.equal(ack.room, "lobby");
    assert.equal(ack.seq, 1);
    assert.equal(ack.epoch, joined.epoch);
    assert.ok(Number.isInteger(ack.ts));

    for (const received of [atAlice, atBob]) {
      const [[message, offset]] = await received.count(1);
      assert.deepEqual(message, {
        room: "lobby",
        id: ack.id,
        seq: 1,
        event: "message",
        from: { user: "alice" },
        data,
        ts: ack.ts,
      });
      assert.equal(typeof offset, "string");
      assert.notEqual(offset, "");
    }

    await bob.ok("leave", { room: "lobby" });
    await alice.ok("message", { room: "lobby", data: "after bob left" });
    await bob.ok("join", "lobby");
    await alice.ok("message", { room: "lobby", data: "after bob came back" });
    await atBob.count(2);
    assert.deepEqual(
      atBob.items.map(([message]) => message.seq),
      [1, 3],
    );
  });
}

test("a message sent with echo: false reaches the others and not its sender", async (t) => {
  const server = await serve(t);
  const [alice, other, bob] = await Promise.all([
    open(t, server, { user: "alice" }),
    open(t, server, { user: "alice" }),
    open(t, server, { user: "bob", v: 2 }),
  ]);
  const journals = [alice, other, bob].map((client) => client.on("message"));
  for (const client of [alice, other, bob]) await client.ok("join", "lobby");
  await alice.ok("message", { room: "lobby", data: "quiet", echo: false });
  await alice.ok("message", { room: "lobby", data: "loud" });
  const seen = await Promise.all(
    journals.map(async (journal) => {
      await journal.until((items) => items.some(([message]) => message.data === "loud"));
      return journal.items.map(([message]) => message.data);
    }),
  );
  assert.deepEqual(seen, [["loud"], ["quiet", "loud"], ["quiet", "loud"]]);
});

for (const v of [2, 3, 4]) {
  test(`client ${v} publishes events under their own names, kept or not`, async (t) => {
    const server = await serve(t);
    const alice = await open(t, server, { v, user: "alice" });
    const bob = await open(t, server, { v, user: "bob" });
    const [prices, cursors] = [bob.on("price"), bob.on("cursor")];
    await bob.ok("join", "market");

    const kept = await alice.ok("publish", { room: "market", event: "price", data: { eur: 1.5 }, id: "p-1" });
    assert.equal(kept.seq, 1);
    assert.equal(kept.id, "p-1");
    const passing = await alice.ok("publish", { room: "market", event: "cursor", data: [3, 4], ephemeral: true });
    assert.deepEqual(passing, { ok: true, room: "market" });

    const [[data, meta, offset]] = await prices.count(1);
    assert.deepEqual(data, { eur: 1.5 });
    assert.deepEqual(meta, {
      room: "market",
      id: "p-1",
      seq: 1,
      event: "price",
      from: { user: "alice" },
      ts: kept.ts,
    });
    assert.equal(typeof offset, "string");

    const [args] = await cursors.count(1);
    assert.equal(args.length, 2, "an ephemeral event has no offset");
    assert.deepEqual(args[0], [3, 4]);
    assert.equal(args[1].room, "market");
    assert.equal(args[1].event, "cursor");
    assert.deepEqual(args[1].from, { user: "alice" });
    assert.ok(Number.isInteger(args[1].ts));
    assert.ok(!("data" in args[1]) && !("seq" in args[1]), JSON.stringify(args[1]));

    const { messages } = await bob.ok("history", { room: "market" });
    assert.deepEqual(
      messages.map(({ id, event, data }) => ({ id, event, data })),
      [{ id: "p-1", event: "price", data: { eur: 1.5 } }],
    );
  });
}

test("a room can be written to without joining it, and what it gets is not sent to the writer", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  const received = alice.on("message");
  await alice.ok("message", { room: "lobby", data: 1 });
  await alice.ok("join", "lobby");
  await alice.ok("message", { room: "lobby", data: 2 });
  await received.count(1);
  assert.deepEqual(
    received.items.map(([message]) => message.data),
    [2],
  );
});

test("joining twice is joining once, and leaving a room that was not joined is an error", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  const received = alice.on("message");
  await alice.ok("join", "lobby");
  assert.equal((await alice.ok("join", "lobby")).members.count, 1);
  await alice.ok("message", { room: "lobby", data: 1 });
  await alice.ok("message", { room: "lobby", data: 2 });
  await received.until((items) => items.some(([message]) => message.data === 2));
  assert.equal(received.items.length, 2);
  assert.deepEqual(await alice.ok("leave", "lobby"), { ok: true, room: "lobby" });
  const again = await alice.ask("leave", "lobby");
  assert.ok(again.ok || again.error.code === "not_joined", JSON.stringify(again));
});

test("the same id again is the same message: stored once, delivered once, acknowledged twice", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob", v: 3 });
  const received = bob.on("message");
  await bob.ok("join", "lobby");

  const first = await alice.ok("message", { room: "lobby", id: "once", data: "first" });
  const again = await alice.ok("message", { room: "lobby", id: "once", data: "again" });
  assert.ok(!first.duplicate);
  assert.deepEqual(again, { ...first, duplicate: true });
  const elsewhere = await alice.ok("message", { room: "kitchen", id: "once", data: "other room" });
  assert.ok(!elsewhere.duplicate, "an id belongs to its room");

  await alice.ok("message", { room: "lobby", data: "last" });
  await received.until((items) => items.some(([message]) => message.data === "last"));
  assert.deepEqual(
    received.items.map(([message]) => message.data),
    ["first", "last"],
  );
  const { messages } = await bob.ok("history", { room: "lobby" });
  assert.deepEqual(
    messages.map((message) => message.data),
    ["first", "last"],
  );
});

test("the same id sent many times at once is stored once", async (t) => {
  const server = await serve(t);
  const clients = await Promise.all([2, 3, 4].map((v) => open(t, server, { v, user: `u${v}` })));
  const acks = await Promise.all(
    clients.flatMap((client) =>
      Array.from({ length: 10 }, () => client.ok("message", { room: "lobby", id: "same", data: client.v })),
    ),
  );
  assert.equal(acks.filter((ack) => !ack.duplicate).length, 1);
  assert.deepEqual(new Set(acks.map((ack) => ack.seq)), new Set([1]));
  assert.equal((await clients[0].history("lobby")).length, 1);
});

test("a payload that is not what the event takes is refused as bad_request", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  const wrong = [
    ["join", 7.5],
    ["join", null],
    ["join", {}],
    ["join", []],
    ["join", ""],
    ["join", "white space"],
    ["join", "x".repeat(129)],
    ["join", { room: 7.5 }],
    ["join", { room: "r", since: "no position" }],
    ["join", { room: "r", history: -1 }],
    ["join", { room: "r", history: "3" }],
    ["leave", { room: ["r"] }],
    ["message", "r"],
    ["message", { room: "r" }],
    ["message", { data: 1 }],
    ["message", { room: "r", data: 1, id: "" }],
    ["message", { room: "r", data: 1, id: "x".repeat(65) }],
    ["message", { room: "r", data: 1, id: true }],
    ["message", { room: "r", data: 1, echo: "no" }],
    ["publish", { room: "r", data: 1 }],
    ["publish", { room: "r", event: "", data: 1 }],
    ["publish", { room: "r", event: "e", data: 1, ephemeral: 1 }],
    ["history", { room: "r", limit: "many" }],
    ["history", { room: "r", before: 3, after: 1 }],
    ["refresh", {}],
  ];
  for (const [event, payload] of wrong) await alice.refused(event, payload, "bad_request");
  assert.equal((await alice.ask("join")).error.code, "bad_request", "no payload at all");
  assert.deepEqual(alice.errors.items, [], "an error that was acknowledged is not an error event too");
  assert.equal((await alice.ok("join", "r")).seq, 0, "nothing of it was stored");
});

test("a failed event without an ack gets an error event", async (t) => {
  const server = await serve(t);
  for (const v of [2, 3, 4]) {
    const alice = await open(t, server, { v, user: "alice" });
    alice.socket.emit("message", { room: "lobby" });
    alice.socket.emit("join", 7.5);
    const [[first], [second]] = await alice.errors.count(2);
    assert.equal(first.event, "message");
    assert.equal(first.code, "bad_request");
    assert.equal(typeof first.message, "string");
    assert.equal(second.event, "join");
    assert.equal(second.code, "bad_request");
  }
});

test("an error event names the room when the room is known", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  alice.socket.emit("join", { room: "user:bob" });
  const [[error]] = await alice.errors.count(1);
  assert.equal(error.event, "join");
  assert.equal(error.room, "user:bob");
  assert.equal(error.code, "forbidden");
});

test("names that only the server uses cannot be published", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  for (const event of ["session", "error", "presence", "kicked", "draining", "connect", "disconnect", "typing"]) {
    await alice.refused("publish", { room: "lobby", event, data: 1 }, "bad_request");
    await alice.refused("publish", { room: "lobby", event, data: 1, ephemeral: true }, "bad_request");
  }
});

test("data passes byte for byte: long numbers, trailing zeros, the order of keys, white space and NUL", async (t) => {
  const server = await serve(t);
  const alice = await rawClient(t, server, { user: "alice" });
  const bob = await rawClient(t, server, { user: "bob" });
  bob.send('421["join",{"room":"lobby"}]');
  await bob.frame("431");

  const pieces = [
    "12345678901234567890",
    "1.0",
    "-0.0",
    "1e400",
    '{"z":1,"a":2,"m":{"y":0,"b":0}}',
    '{"twice":1,"twice":2}',
    '"\\u0000"',
    '"\\u00e9é\\/"',
    '{ "spaced" : [ 1 , 2 ] }',
    '"\\ud83e\\udd80 ]},42["',
    "null",
  ];
  for (const [i, piece] of pieces.entries()) {
    alice.send(`42${i}["message",{"room":"lobby","data":${piece},"id":"m${i}"}]`);
    const ack = await alice.frame(`43${i}[`);
    assert.ok(ack.startsWith(`43${i}[{"ok":true`), `${piece}: ${ack}`);
    const frame = await bob.frames.until(
      (frames) => frames.find((each) => each.startsWith('42["message"') && each.includes(`"m${i}"`)),
      `the message ${piece}`,
    );
    assert.ok(frame.includes(`"data":${piece},"ts"`) || frame.includes(`"data":${piece}}`), `${piece}: ${frame}`);
  }

  bob.send('422["history",{"room":"lobby"}]');
  const history = await bob.frame("432");
  for (const piece of pieces) assert.ok(history.includes(`"data":${piece}`), `${piece} in ${history}`);

  bob.send('423["join",{"room":"lobby","history":50}]');
  const replay = await bob.frame("433");
  for (const piece of pieces) assert.ok(replay.includes(`"data":${piece}`), `${piece} in ${replay}`);

  alice.send('4299["publish",{"room":"lobby","event":"price","data":12345678901234567890}]');
  assert.ok((await bob.frame('42["price",')).startsWith('42["price",12345678901234567890,{'));
});
