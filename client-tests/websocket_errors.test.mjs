// Plain WebSocket errors: what is refused, and what closes a connection, with which code.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";
import { isRefusal } from "./support/web.mjs";
import { Peer, peer } from "./support/websocket.mjs";

const KEYED = { "auth-hmac-secret": SECRET, "auth-cookie": "session" };
const STRICT = { ...KEYED, "auth-leeway": "0s", "auth-grace": "1s" };

const keys = (object) => Object.keys(object).sort();

const NONSENSE = {
  "no JSON": "hello",
  "JSON that is cut off": '{"type":"text","data":1',
  "an empty frame": "",
  "a number": "7",
  "a list": '["text"]',
  null: "null",
  "an object without a type": '{"data":1}',
  "a type that is no string": '{"type":7}',
  "an unknown type": '{"type":"shout","data":1}',
  "a server's type": '{"type":"ack","id":"x"}',
  "a binary frame": Buffer.from('{"type":"text","data":1}'),
};

for (const [name, frame] of Object.entries(NONSENSE)) {
  test(`${name} gets bad_request, and the connection stays`, async (t) => {
    const server = await serve(t);
    const alice = await peer(t, server, { room: "lobby" });
    alice.raw(frame);
    const error = await alice.next("error");
    assert.equal(error.data.code, "bad_request");
    assert.deepEqual(keys(error.data), ["code", "message"]);
    assert.equal(typeof error.timestamp, "number");
    await alice.ok("text", { data: "still here" });
    assert.equal((await alice.next("text")).data, "still here");
  });
}

test("an error has the frame's id, and changes nothing", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  for (const [type, fields] of [
    ["text", {}],
    ["text", { room: "white space", data: 1 }],
    ["text", { room: "x".repeat(129), data: 1 }],
    ["text", { room: 7.5, data: 1 }],
    ["event", {}],
    ["event", { data: 1 }],
    ["event", { data: { event: "" } }],
    ["event", { data: { event: "x".repeat(200), data: 1 } }],
    ["event", { data: { event: "move", data: 1, ephemeral: "yes" } }],
    ["event", { room: "lobby", data: { event: "notification", data: 1 } }],
    ["join", { room: "" }],
    ["join", { room: "kitchen", data: { since: "nonsense" } }],
    ["join", { room: "kitchen", data: { history: -1 } }],
    ["typing", { data: {} }],
    ["typing", { data: { typing: "yes" } }],
    ["presence", { data: { limit: -1 } }],
    ["status", { data: { status: "" } }],
    ["status", { data: { status: "x".repeat(33) } }],
    ["history", { data: { before: 3, after: 1 } }],
    ["history", { data: { limit: "all" } }],
    ["read", { data: {} }],
    ["read", { data: { seq: -1 } }],
    ["refresh", { data: {} }],
  ]) {
    await alice.refused(type, fields, "bad_request");
  }
  const bare = await peer(t, server, { user: "bob" });
  await bare.refused("text", { data: "where?" }, "bad_request");
  bare.send("text", { data: "where?" });
  const error = await bare.next("error", ({ id }) => id === undefined);
  assert.deepEqual(keys(error), ["data", "timestamp", "type"], "no id where there was none");
  assert.deepEqual((await alice.ok("history", {})).messages, []);
  assert.deepEqual(alice.of("text"), []);
});

test("an id has 1 to 64 characters and is a string", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server, { room: "lobby" });
  for (const id of ["", "x".repeat(65), 7, null, {}]) {
    const before = alice.of("error").length;
    alice.send("text", { id, data: 1 });
    await alice.frames.until(() => alice.of("error").length > before || alice.of("text").length > 0, "an error");
    assert.equal(alice.of("error").at(-1)?.data.code, "bad_request", JSON.stringify(id));
  }
  await alice.ok("text", { id: "ü".repeat(64), data: 1 });
});

test("errors name the room, and each rule has its code", async (t) => {
  const server = await serve(t, { ...KEYED, "limits-message-bytes": 1000, "limits-rooms-per-connection": 4 });
  const all = ["join", "publish", "history", "presence"];
  const rooms = [{ match: "lobby", can: all }, { match: "r*", can: all }, { match: "news", can: ["join"] }];
  const alice = await peer(t, server, { token: sign({ sub: "alice", rooms }), room: "lobby" });
  const answer = await alice.ask("text", { room: "secret", data: 1 });
  assert.deepEqual([answer.type, answer.room, answer.data.code], ["error", "secret", "forbidden"]);
  await alice.refused("join", { room: "secret" }, "forbidden");
  await alice.refused("join", { room: "user:bob" }, "forbidden");
  await alice.ok("join", { room: "news" });
  await alice.refused("text", { room: "news", data: 1 }, "forbidden");
  await alice.refused("history", { room: "news" }, "forbidden");
  await alice.refused("presence", { room: "news" }, "forbidden");
  await alice.refused("typing", { room: "r1", data: { typing: true } }, "not_joined");
  await alice.refused("text", { data: "x".repeat(999) }, "too_large");
  await alice.ok("text", { data: "x".repeat(998) });
  await alice.refused("refresh", { data: { token: sign({ sub: "bob" }) } }, "forbidden", "unauthorized");
  await alice.refused("refresh", { data: { token: "garbage" } }, "unauthorized");
  for (const room of ["r1", "r2", "r3"]) await alice.ask("join", { room });
  await alice.refused("join", { room: "r4" }, "limit_reached");
  await alice.ok("text", { data: "still here" });
});

test("without backpressure texts beyond the rate are rate_limited and told when to try again", async (t) => {
  const server = await serve(t, { "limits-backpressure": "0s", "limits-messages-per-second": 5, "limits-messages-burst": 10 });
  const alice = await peer(t, server, { room: "lobby" });
  const answers = await Promise.all(upTo(40).map((n) => alice.ask("text", { data: n })));
  const refused = answers.filter(({ type }) => type === "error");
  assert.ok(refused.length >= 20, `${refused.length} of 40 were refused`);
  for (const { data } of refused) {
    assert.equal(data.code, "rate_limited");
    assert.ok(Number.isInteger(data.retry_after_ms) && data.retry_after_ms > 0, JSON.stringify(data));
  }
  await eventually(async () => (await alice.ask("text", { data: "later" })).type === "ack", "never allowed again");
});

test("a client that ignores refusals is closed with 4029; one that pauses now and then is not", async (t) => {
  const server = await serve(t, { "limits-messages-per-second": 5, "limits-messages-burst": 10, "limits-backpressure": "500ms", "limits-refusals": 60 });
  const stubborn = await peer(t, server, { room: "lobby", user: "stubborn" });
  const flood = setInterval(() => upTo(20).forEach((n) => stubborn.send("text", { data: n })), 5);
  t.after(() => clearInterval(flood));
  assert.equal((await stubborn.ended()).code, 4029);
  clearInterval(flood);

  const heedful = await peer(t, server, { room: "lobby", user: "heedful" });
  for (let round = 0; round < 3; round += 1) {
    await Promise.all(upTo(20).map((n) => heedful.ask("text", { data: n })));
    await eventually(async () => (await heedful.ask("text", { data: "later" })).type === "ack", "never allowed again");
  }
});

test("garbage counts as requests: a flood of it is closed with 4029", async (t) => {
  const server = await serve(t, { "limits-messages-per-second": 5, "limits-messages-burst": 10, "limits-backpressure": "500ms", "limits-refusals": 60 });
  const stubborn = await peer(t, server, { room: "lobby", user: "stubborn" });
  const flood = setInterval(() => upTo(20).forEach(() => stubborn.socket.send("rubbish")), 5);
  t.after(() => clearInterval(flood));
  assert.equal((await stubborn.ended()).code, 4029);
});

const BAD = {
  "of nobody": [undefined, "unauthorized"],
  "that is no token": ["garbage", "unauthorized"],
  "signed with another key": [sign({ sub: "alice" }, "another secret of thirty-two bytes!!"), "unauthorized"],
  expired: [sign({ sub: "alice", exp: at(-600) }), "token_expired"],
};

for (const [name, [token, code]] of Object.entries(BAD)) {
  test(`a token ${name} gets 401 before the upgrade`, async (t) => {
    const server = await serve(t, KEYED);
    const places = token === undefined
      ? [{}, { user: "alice" }]
      : [{ token }, { query: { token } }, { headers: { cookie: `session=${token}` } }];
    for (const place of places) {
      for (const room of [undefined, "lobby"]) isRefusal(await new Peer(t, server, { room, ...place }).ended(), 401, code);
    }
  });
}

test("a page of a foreign origin is refused with 403 before the upgrade, one of this machine is not", async (t) => {
  const server = await serve(t);
  isRefusal(await new Peer(t, server, { headers: { origin: "https://evil.example" } }).ended(), 403, "forbidden");
  await peer(t, server, { headers: { origin: "http://localhost:5173" } });
});

test("an address that cannot be is refused before the upgrade", async (t) => {
  const server = await serve(t);
  for (const options of [
    { room: "white space" },
    { rooms: ["lobby", "white space"] },
    { rooms: ["a", "b"], query: { since: "x:1" } },
    { room: "lobby", query: { since: "nonsense" } },
    { room: "lobby", query: { history: "many" } },
  ]) {
    isRefusal(await new Peer(t, server, options).ended(), 400, "bad_request", JSON.stringify(options));
  }
});

test("a connection beyond a limit is refused with 503, and possible again when one ends", async (t) => {
  for (const limit of ["limits-connections", "limits-connections-per-user"]) {
    const server = await serve(t, { [limit]: 2 });
    const first = await peer(t, server, { user: "alice" });
    await open(t, server, { user: "alice" });
    isRefusal(await new Peer(t, server, { user: "alice" }).ended(), 503, "limit_reached", limit);
    first.socket.close();
    await eventually(async () => {
      const again = new Peer(t, server, { user: "alice" });
      return Promise.race([again.next("system connected"), again.closed.then(() => false)]);
    }, `${limit}: the place was not free again`);
  }
});

test("a forbidden room in the URL is reported, and the connection closed with 4003", async (t) => {
  const server = await serve(t, KEYED);
  const token = sign({ sub: "alice", rooms: [{ match: "lobby", can: ["join"] }] });
  for (const where of [{ room: "secret" }, { room: "user:bob" }, { rooms: ["lobby", "secret"] }]) {
    const alice = new Peer(t, server, { token, ...where });
    assert.equal((await alice.ended()).code, 4003, JSON.stringify(where));
    const error = alice.of("error")[0];
    assert.deepEqual([error.room, error.data.code], [where.room ?? "secret", "forbidden"]);
  }
});

test("a client whose token expires gets an error, and is closed with 4001 after the grace time", async (t) => {
  const server = await serve(t, STRICT);
  const exp = at(2);
  const alice = await peer(t, server, { token: sign({ sub: "alice", exp }), room: "lobby" });
  const bob = await peer(t, server, { token: sign({ sub: "bob", exp }), room: "lobby" });
  for (const client of [alice, bob]) {
    assert.equal((await client.next("error")).data.code, "token_expired");
    assert.ok(Date.now() >= exp * 1000, "not before its time");
  }
  const later = at(600);
  const refreshed = await bob.ok("refresh", { data: { token: sign({ sub: "bob", exp: later }) } });
  assert.equal(refreshed.expires_at, later * 1000);
  assert.equal((await alice.ended()).code, 4001);
  assert.ok(Date.now() >= exp * 1000 + 900, "the grace time was kept");
  await bob.ok("text", { data: "still here" });
});

test("a frame larger than the payload limit closes with 4009, in one frame or in parts", async (t) => {
  const server = await serve(t, { "websocket-max-payload": "72KiB" });
  const alice = await peer(t, server, { room: "lobby" });
  await alice.ok("text", { data: "x".repeat(65_000) });
  await alice.refused("text", { data: "x".repeat(70_000) }, "too_large");
  alice.send("text", { data: "x".repeat(80_000) });
  assert.equal((await alice.ended()).code, 4009);
  const bob = await peer(t, server, { room: "lobby" });
  for (const n of upTo(100)) bob.socket.send("x".repeat(1_000), { fin: n === 100 });
  assert.equal((await bob.ended()).code, 4009);
});

test("a client that reads slowly is not closed and has everything", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "limits-outbox-bytes": "256KiB", "limits-stall": "2s" });
  const writer = await open(t, server, { user: "writer" });
  const reader = await peer(t, server, { user: "reader", room: "lobby" });
  reader.socket.on("message", () => reader.socket.pause());
  const sips = setInterval(() => reader.socket.resume(), 10);
  t.after(() => clearInterval(sips));
  const body = "x".repeat(60_000);
  await Promise.all(upTo(4).map(async () => {
    for (let n = 0; n < 50; n += 1) await writer.ok("message", { room: "lobby", data: body });
  }));
  await reader.frames.until(() => reader.of("text").length === 200, "all 200", 60_000);
  assert.deepEqual(reader.of("text").map(({ seq }) => seq), upTo(200));
});

test("a draining server says so, closes with 1001, and has stored everything", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "drain-over": "1s" });
  const clients = await Promise.all(upTo(5).map((n) => peer(t, server, { user: `u${n}`, room: "lobby" })));
  const { seq, epoch } = await clients[0].ok("text", { data: "before" });
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log);
  for (const client of clients) {
    const { data } = await client.next("system draining");
    assert.ok(Number.isInteger(data.reconnect_in_ms) && data.reconnect_in_ms >= 0);
    assert.equal((await client.ended()).code, 1001);
  }
  await server.start();
  const back = await peer(t, server, { user: "u1", room: "lobby", query: { since: `${epoch}:${seq - 1}` } });
  assert.deepEqual(back.joined[0].messages.map(({ data }) => data), ["before"]);
});

test("the server pings; a client that answers stays, a silent one is closed and leaves", async (t) => {
  const server = await serve(t, {
    "websocket-ping-interval": "200ms",
    "websocket-ping-timeout": "300ms",
    "presence-grace": "50ms",
  });
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  const silent = await peer(t, server, { user: "silent", room: "lobby", autoPong: false });
  await alice.next("presence", ({ data }) => data.event === "leave" && data.user === "silent");
  await silent.ended();
  await alice.pings.count(8);
  await alice.ok("text", { data: "still here" });
});

test("a client's ping gets a pong", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server);
  const pong = new Promise((resolve) => alice.socket.once("pong", (data) => resolve(data.toString())));
  alice.socket.ping("hello");
  assert.equal(await pong, "hello");
});

test("a client that closes gets a close frame, and leaves its rooms", async (t) => {
  const server = await serve(t, { "presence-grace": "50ms" });
  const alice = await peer(t, server, { user: "alice", room: "lobby" });
  const bob = await peer(t, server, { user: "bob", room: "lobby" });
  bob.socket.close(1000, "done");
  assert.equal((await bob.ended()).code, 1000);
  await alice.next("presence", ({ data }) => data.event === "leave" && data.user === "bob");
});

test("a client that reads nothing of the protocol does no harm", async (t) => {
  const server = await serve(t);
  const alice = await peer(t, server, { room: "lobby" });
  const odd = await peer(t, server, { room: "lobby" });
  // A frame with a reserved opcode, as no client of the protocol sends it.
  odd.socket._socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]));
  await odd.ended();
  await alice.ok("text", { data: "still here" });
});
