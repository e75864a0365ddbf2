// Server-Sent Events: what a stream begins with, what it tells, and how it ends, at the very lines and by EventSource.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { h2, h2stream, listening, Source, source, stream } from "./support/events.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { h2OverTls } from "./support/tls.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";
import { Caller, isRefusal } from "./support/web.mjs";

const KEYED = { "auth-hmac-secret": SECRET, "auth-cookie": "session" };
const all = ["join", "publish", "history", "presence"];
const keys = (object) => Object.keys(object).sort();

for (const [protocol, opened] of [["HTTP/1.1", stream], ["HTTP/2", h2stream]]) {
  test(`over ${protocol} a stream begins with session, followed by events`, async (t) => {
    const server = await serve(t, { node: "north" });
    const before = Date.now();
    const alice = await listening(t, server, { room: "lobby", user: "alice" }, opened);
    assert.match(alice.headers.get("content-type"), /^text\/event-stream(;|$)/);
    assert.match(alice.headers.get("cache-control"), /no-store|no-cache/);
    assert.equal(alice.headers.get("x-accel-buffering"), "no");
    assert.ok(alice.headers.get("x-request-id"), "it can be found in the log");
    assert.ok(alice.retry >= 1_000 && alice.retry <= 3_000, `retry: ${alice.retry}`);

    const { data, id } = alice.session;
    assert.equal(alice.events.items[0].event, "session");
    assert.deepEqual([data.user, data.node, [...data.rooms].sort()], ["alice", "north", ["lobby", "user:alice"]]);
    assert.ok(data.ts >= before && data.ts <= Date.now());
    assert.equal(data.cursor, id, "the session has the cursor of the stream's beginning");
    const socket = await open(t, server, { user: "bob" });
    for (const name of keys(socket.me).filter((each) => each !== "expires_at")) assert.ok(name in data, name);

    await socket.ok("join", "lobby");
    await alice.nth("presence");
    const body = { text: "hällo 🦀", lines: "one\ntwo\r\nthree", nested: { deep: [{}] } };
    const ack = await socket.ok("message", { room: "lobby", data: body });
    const said = await alice.nth("message");
    assert.deepEqual(said.data, {
      room: "lobby",
      id: ack.id,
      seq: 1,
      event: "message",
      from: { user: "bob" },
      data: body,
      ts: ack.ts,
    });
    assert.ok(said.id.length > 0 && !/[\0\r\n]/.test(said.id));
    assert.equal(said.lines.filter((line) => line.startsWith("data:")).length, 1, "one line");
  });
}

test("published events come under their own names, ephemeral ones without number and cursor", async (t) => {
  const server = await serve(t);
  const alice = await listening(t, server, { room: "lobby", user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  const kept = await bob.ok("publish", { room: "lobby", event: "move", data: { x: 1 } });
  await bob.ok("publish", { room: "lobby", event: "cursor", data: 2, ephemeral: true });
  const move = await alice.nth("move");
  assert.deepEqual(move.data, {
    room: "lobby",
    id: kept.id,
    seq: 1,
    event: "move",
    from: { user: "bob" },
    data: { x: 1 },
    ts: kept.ts,
  });
  assert.ok(move.id);
  const cursor = await alice.nth("cursor");
  assert.deepEqual(keys(cursor.data), ["data", "event", "from", "room", "ts"]);
  assert.deepEqual([cursor.data.room, cursor.data.event, cursor.data.data, cursor.data.from], ["lobby", "cursor", 2, { user: "bob" }]);
  assert.equal(cursor.id, undefined);
});

test("presence, typing and read events are streamed, and a stream counts as presence while it is open", async (t) => {
  const server = await serve(t, { "presence-grace": "100ms" });
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "lobby");
  const atBob = bob.on("presence");
  const alice = await listening(t, server, { room: "lobby", user: "alice" });
  await atBob.until((items) => items.some(([event]) => event.event === "join" && event.user === "alice"));
  const { count, users } = await bob.ok("presence", "lobby");
  assert.deepEqual([count, users.map(({ user }) => user).sort()], [2, ["alice", "bob"]]);

  const carol = await open(t, server, { user: "carol" });
  await carol.ok("join", "lobby");
  await carol.ok("typing", { room: "lobby", typing: true });
  const { seq } = await carol.ok("message", { room: "lobby", data: 1 });
  await carol.ok("read", { room: "lobby", seq });
  await carol.ok("leave", "lobby");
  await alice.events.until(() => alice.of("presence").some(({ data }) => data.event === "leave"), "a leave");
  const [joined] = alice.of("presence").filter(({ data }) => data.event === "join" && data.user === "carol");
  assert.deepEqual({ ...joined.data, ts: 0 }, { room: "lobby", event: "join", user: "carol", status: "online", count: 3, ts: 0 });
  const typing = await alice.nth("typing");
  assert.deepEqual([typing.data.room, typing.data.user, typing.data.typing], ["lobby", "carol", true]);
  assert.deepEqual((await alice.nth("read")).data, { room: "lobby", user: "carol", seq: 1 });
  for (const each of alice.of("presence", "typing", "read")) assert.equal(each.id, undefined, each.event);

  alice.close();
  const [gone] = await atBob.until((items) => items.find(([event]) => event.event === "leave" && event.user === "alice"));
  assert.equal(gone.count, 1);
});

test("a stream receives its own user's notifications only", async (t) => {
  const server = await serve(t, KEYED);
  const notifier = new Caller(server, { key: sign({ sub: "alice", rooms: [{ match: "user:*", can: ["publish"] }] }) });
  const streams = await Promise.all(
    ["bob", "bob", "carol"].map((sub) => listening(t, server, { room: "lobby", token: sign({ sub }) })),
  );
  const { id, seq, ts } = await notifier.ok(201, "POST", "/v1/users/bob/notifications", { body: { data: { title: "hello" } } });
  await notifier.ok(201, "POST", "/v1/users/carol/notifications", { body: { data: "end" } });
  for (const bob of streams.slice(0, 2)) {
    const told = await bob.nth("notification");
    assert.deepEqual(told.data, {
      room: "user:bob",
      id,
      seq,
      event: "notification",
      from: { user: "alice" },
      data: { title: "hello" },
      ts,
    });
    assert.ok(told.id, "it can be missed, so it has a cursor");
  }
  assert.equal((await streams[2].nth("notification")).data.data, "end");
});

test("JSON that was sent over several lines is whole again at EventSource", async (t) => {
  const server = await serve(t);
  const alice = await source(t, server, { room: "lobby", user: "alice" });
  const lines = await listening(t, server, { room: "lobby", user: "bob" });
  const bob = new Caller(server, { user: "bob" });
  for (const [i, gap] of ["\n", "\r\n", "\r", "\n\n", "\n\t"].entries()) {
    const raw = `{"data":${gap}{${gap}"n":${i},${gap}${gap}"text": "a\\nb"${gap}}}`;
    const { status, text } = await bob.call("POST", "/v1/rooms/lobby/messages", {
      raw,
      headers: { "content-type": "application/json" },
    });
    assert.equal(status, 201, text);
    assert.deepEqual((await alice.nth("message", i + 1)).data, { n: i, text: "a\nb" });
    assert.deepEqual((await lines.nth("message", i + 1)).data.data, { n: i, text: "a\nb" });
  }
});

test("several rooms come in one stream and one order", async (t) => {
  const server = await serve(t);
  const alice = await listening(t, server, { rooms: ["a", "b", "c"], user: "alice" });
  assert.deepEqual([...alice.session.data.rooms].sort(), ["a", "b", "c", "user:alice"]);
  const bob = await open(t, server, { user: "bob" });
  for (const n of upTo(12)) await bob.ok("message", { room: "abc"[n % 3], data: n });
  await bob.ok("message", { room: "d", data: "elsewhere" });
  await alice.nth("message", 12);
  assert.deepEqual(alice.of("message").map(({ data }) => data.data), upTo(12));
  assert.equal(new Set(alice.of("message").map(({ id }) => id)).size, 12);
});

test("history returns the last messages of each room in one order, followed by new ones", async (t) => {
  const server = await serve(t);
  const bob = await open(t, server, { user: "bob" });
  for (const n of upTo(12)) await bob.ok("message", { room: "abc"[n % 3], data: n });
  const alice = await listening(t, server, { rooms: ["a", "b"], history: 2, user: "alice" });
  await bob.ok("message", { room: "a", data: "new" });
  await alice.events.until(() => alice.of("message").at(-1)?.data.data === "new", "the new one");
  // In a are 3, 6, 9, 12, in b 1, 4, 7, 10.
  assert.deepEqual(alice.of("message").map(({ data }) => data.data), [7, 9, 10, 12, "new"]);
  assert.deepEqual(alice.of("message").map(({ data }) => data.room), ["b", "a", "b", "a", "a"]);
});

test("a quiet stream is kept alive by comments", async (t) => {
  const server = await serve(t, { "events-heartbeat": "100ms" });
  const alice = await listening(t, server, { room: "lobby" });
  await alice.comments.count(5);
  assert.deepEqual(alice.events.items.filter(({ event }) => !["session", "presence"].includes(event)), []);
});

test("clients get different retry times, around the configured one", async (t) => {
  const server = await serve(t, { "events-retry": "10s" });
  const streams = await Promise.all(upTo(12).map(() => listening(t, server, { room: "lobby" })));
  const told = streams.map(({ retry }) => retry);
  for (const retry of told) assert.ok(retry >= 5_000 && retry <= 15_000, `${retry}`);
  assert.ok(new Set(told).size > 1, `${told}`);
});

test("a token may come in the header, a cookie or the address; without one or with a bad one it is 401", async (t) => {
  const server = await serve(t, KEYED);
  const token = sign({ sub: "alice" });
  for (const place of [{ bearer: token }, { token }, { headers: { cookie: `session=${token}` } }]) {
    assert.equal((await listening(t, server, { room: "lobby", ...place })).session.data.user, "alice");
  }
  for (const [bad, code] of [
    [{}, "unauthorized"],
    [{ user: "alice" }, "unauthorized"],
    [{ token: "garbage" }, "unauthorized"],
    [{ bearer: sign({ sub: "alice" }, "another secret of thirty-two bytes!!") }, "unauthorized"],
    [{ bearer: sign({ sub: "alice", exp: at(-600) }) }, "token_expired"],
  ]) {
    isRefusal(await stream(t, server, { room: "lobby", ...bad }), 401, code);
  }
});

test("a stream of a room that may not be joined, or by a page that may not connect, is 403", async (t) => {
  const server = await serve(t, KEYED);
  const token = sign({ sub: "alice", rooms: [{ match: "lobby", can: ["join"] }] });
  for (const where of [{ room: "secret" }, { rooms: ["lobby", "secret"] }, { room: "user:bob" }]) {
    isRefusal(await stream(t, server, { ...where, bearer: token }), 403, "forbidden", JSON.stringify(where));
  }
  isRefusal(await stream(t, server, { room: "lobby", history: 5, bearer: token }), 403, "forbidden", "without the history grant");
  const foreign = { origin: "https://evil.example" };
  isRefusal(await stream(t, server, { room: "lobby", token, headers: foreign }), 403, "forbidden");
  const own = await listening(t, server, { room: "lobby", token, headers: { origin: server.url } });
  assert.equal(own.headers.get("access-control-allow-origin"), server.url);
});

test("a stream of no room, of a name that cannot be, or from a position that is none is 400", async (t) => {
  const server = await serve(t);
  for (const wrong of [
    {},
    { rooms: [] },
    { room: "white space" },
    { rooms: ["lobby", ""] },
    { room: "lobby", history: "many" },
    { room: "lobby", since: "nonsense" },
    { rooms: ["a", "b"], since: "epoch:3" },
    { room: "lobby", user: "white\tspace" },
  ]) {
    isRefusal(await stream(t, server, wrong), 400, "bad_request", JSON.stringify(wrong));
  }
});

test("a stream beyond a limit is 503, and possible again when another ends", async (t) => {
  for (const limit of ["limits-connections", "limits-connections-per-user"]) {
    const server = await serve(t, { [limit]: 2 });
    const first = await listening(t, server, { room: "lobby", user: "alice" });
    await open(t, server, { user: "alice" });
    isRefusal(await stream(t, server, { room: "lobby", user: "alice" }), 503, "limit_reached", limit);
    first.close();
    await eventually(async () => {
      const again = await stream(t, server, { room: "lobby", user: "alice" });
      return again.status === 200;
    }, `${limit}: the place was not free again`);
  }
});

test("a stream ends with an error when its token expires", async (t) => {
  const server = await serve(t, { ...KEYED, "auth-leeway": "0s" });
  const exp = at(2);
  const alice = await listening(t, server, { room: "lobby", token: sign({ sub: "alice", exp }) });
  assert.equal(alice.session.data.expires_at, exp * 1000);
  const error = await alice.nth("error");
  assert.equal(error.data.code, "token_expired");
  assert.equal(error.id, undefined);
  assert.equal(await alice.ended(), "end");
  assert.ok(Date.now() >= exp * 1000, "not before its time");
});

test("a kicked user's stream receives kicked, and no more events of the room", async (t) => {
  const key = "an-api-key-of-enough-characters";
  const server = await serve(t, { "auth-api-keys": key, ...KEYED });
  const backEnd = new Caller(server, { key });
  const alice = await listening(t, server, { rooms: ["lobby", "kitchen"], token: sign({ sub: "alice", rooms: [{ match: "*", can: all }] }) });
  await backEnd.say("lobby", 1);
  await backEnd.ok(200, "DELETE", "/v1/rooms/lobby/members/alice");
  const kicked = await alice.nth("kicked");
  assert.deepEqual(kicked.data, { room: "lobby", reason: "removed" });
  await backEnd.say("lobby", 2);
  await backEnd.say("kitchen", 3);
  await alice.nth("message", 2);
  assert.deepEqual(alice.of("message").map(({ data }) => data.data), [1, 3]);
});

test("a draining server ends its streams; EventSource reconnects to the next one and misses nothing", async (t) => {
  const server = await serve(t, { "drain-over": "1s", "events-retry": "100ms" });
  const streams = [
    await listening(t, server, { room: "lobby", user: "alice" }),
    await listening(t, server, { room: "lobby", user: "alice" }, h2stream),
  ];
  const stock = await source(t, server, { room: "lobby", user: "bob" });
  const carol = new Caller(server, { user: "carol" });
  await carol.say("lobby", "before");
  await stock.nth("message");
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log);
  for (const lines of streams) {
    const { data } = await lines.nth("draining");
    assert.ok(Number.isInteger(data.reconnect_in_ms) && data.reconnect_in_ms >= 0);
    assert.equal(await lines.ended(), "end");
  }
  await server.start();
  await carol.say("lobby", "after");
  await stock.nth("message", 2);
  assert.deepEqual(stock.of("message").map((message) => message.data), ["before", "after"]);
  assert.equal(stock.es.readyState, 1, "it was never told to stay away");
});

test("an EventSource that reconnects while the server still drains is told to come back later, and misses nothing", async (t) => {
  const server = await serve(t, { "drain-over": "2s", "events-retry": "20ms" });
  const sources = await Promise.all(upTo(5).map(() => source(t, server, { room: "lobby", user: "bob" })));
  // They are closed one after another, so that the server drains for two seconds.
  const session = h2(t, server);
  await Promise.all(upTo(95).map(() => listening(t, server, { room: "lobby", user: "alice", session }, h2stream)));
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log);
  await server.start();
  const carol = new Caller(server, { user: "carol" });
  await carol.say("lobby", "after");
  for (const each of sources) {
    await each.nth("message");
    assert.equal(each.es.readyState, 1);
  }
  assert.ok(sources.some((each) => each.of("error").some(({ code }) => code === "draining")), "none came back early");
});

test("an EventSource whose request can never succeed gets a status", async (t) => {
  const server = await serve(t, { "limits-rooms-per-connection": 2 });
  const rooms = ["a", "b", "c", "d"];
  for (const accept of ["text/event-stream", "*/*"]) {
    const refused = await stream(t, server, { rooms, user: "alice", headers: { accept } });
    assert.deepEqual([refused.status, refused.body?.code], [503, "limit_reached"], accept);
  }
});

test("an EventSource beyond a limit is told to come back later, and connects once another ends", async (t) => {
  const server = await serve(t, { "limits-connections-per-user": 1 });
  const first = await listening(t, server, { room: "lobby", user: "alice" });
  const second = new Source(t, server, { room: "lobby", user: "alice" });
  const refused = await second.nth("error");
  assert.equal(refused.code, "limit_reached");
  first.close();
  await second.nth("session");
});

test("behind a proxy that terminates TLS, HTTP/2 carries streams and publishes", async (t) => {
  const server = await serve(t);
  const session = await h2OverTls(t, server);
  const eve = await listening(t, server, { room: "lobby", user: "eve", session }, h2stream);
  assert.equal(session.alpnProtocol, "h2");
  const writer = new Caller(server, { user: "writer" });
  for (const n of upTo(50)) await writer.say("lobby", n);
  await eve.nth("message", 50);
  assert.deepEqual(eve.of("message").map(({ data }) => data.data), upTo(50));
});

test("many streams share one HTTP/2 connection, each with its own rooms", async (t) => {
  const server = await serve(t);
  const session = h2(t, server);
  const streams = await Promise.all(
    upTo(20).map((n) => listening(t, server, { room: `room${n % 4}`, user: `u${n}`, session }, h2stream)),
  );
  const writer = new Caller(server, { user: "writer" });
  for (const n of upTo(20)) await writer.say(`room${n % 4}`, n);
  for (const [i, each] of streams.entries()) {
    await each.nth("message", 5);
    assert.deepEqual(each.of("message").map(({ data }) => data.data), upTo(20).filter((n) => n % 4 === (i + 1) % 4));
  }
  streams[0].close();
  await streams[0].ended();
  await writer.say("room2", "goes on");
  await streams[1].nth("message", 6);
});
