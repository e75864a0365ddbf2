// REST: each call on its good path, as a back end with a key and as a user, and its errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { listening } from "./support/events.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { call, Caller, isRefusal } from "./support/web.mjs";
import { peer } from "./support/websocket.mjs";

const KEY = "an-api-key-of-enough-characters";
const KEYED = { "auth-hmac-secret": SECRET, "auth-api-keys": KEY, "presence-grace": "100ms" };
const keys = (object) => Object.keys(object).sort();
const data = ({ messages }) => messages.map((message) => message.data);
const MESSAGES = "/v1/rooms/lobby/messages";

// A server with keys, its back end, and how a user calls it.
async function api(t, options = {}) {
  const server = await serve(t, { ...KEYED, ...options });
  const as = (sub, claims) => new Caller(server, { key: sign({ sub, ...claims }) });
  return { server, backEnd: new Caller(server, { key: KEY }), as };
}

test("a message is stored, numbered and delivered; its id again is the same message", async (t) => {
  const { server, backEnd, as } = await api(t);
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  const heard = bob.on("message");
  await bob.ok("join", "lobby");

  const body = { text: "hällo 🦀", nested: { deep: [{}] } };
  const first = await backEnd.say("lobby", body);
  assert.deepEqual(keys(first), ["epoch", "id", "room", "seq", "ts"]);
  assert.deepEqual([first.room, first.seq], ["lobby", 1]);
  const [[message]] = await heard.count(1);
  const { id, ts } = first;
  assert.deepEqual(message, { room: "lobby", id, seq: 1, event: "message", from: null, data: body, ts });

  const chosen = await backEnd.say("lobby", 2, { id: "order-7" });
  assert.equal(chosen.id, "order-7");
  const again = await backEnd.ok(200, "POST", MESSAGES, { body: { data: "other", id: "order-7" } });
  assert.deepEqual(again, { ...chosen, duplicate: true });
  assert.equal((await bob.ok("message", { room: "lobby", data: 3, id: "order-7" })).duplicate, true);

  const alice = as("alice", { name: "Alice" });
  await alice.say("lobby", 3);
  const [third] = await heard.until((items) => items[2]);
  assert.deepEqual([third.seq, third.from], [3, { user: "alice", name: "Alice" }]);
  assert.equal(heard.items.length, 3);
});

test("a back end says whom a message is from, in a word or with a name; a user cannot", async (t) => {
  const { backEnd, as } = await api(t);
  for (const from of ["carol", { user: "carol" }, { user: "carol", name: "Carol" }]) await backEnd.say("lobby", 1, { from });
  const { messages } = await backEnd.get(MESSAGES);
  assert.deepEqual(messages.map(({ from }) => from), [{ user: "carol" }, { user: "carol" }, { user: "carol", name: "Carol" }]);
  for (const from of ["alice", "carol", { user: "alice" }]) {
    await as("alice").refused(403, "forbidden", "POST", MESSAGES, { body: { data: 1, from } });
  }
  for (const from of [7.5, {}, "", { user: "white space" }, { name: "Carol" }]) {
    await backEnd.refused(400, "bad_request", "POST", MESSAGES, { body: { data: 1, from } });
  }
  assert.equal((await backEnd.get(MESSAGES)).seq, 3);
});

test("events have names of their own, and ephemeral ones are passed on and not kept", async (t) => {
  const { server, backEnd } = await api(t);
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  const [moves, cursors] = ["move", "cursor"].map((event) => bob.on(event));
  await bob.ok("join", "lobby");
  const kept = await backEnd.say("lobby", { x: 1 }, { event: "move" });
  const passing = await backEnd.ok(202, "POST", MESSAGES, { body: { data: 2, event: "cursor", ephemeral: true } });
  assert.deepEqual(passing, { room: "lobby" });
  const [[x, meta]] = await moves.count(1);
  assert.deepEqual([x, meta.id, meta.seq, meta.from], [{ x: 1 }, kept.id, 1, null]);
  assert.equal((await cursors.count(1))[0][0], 2);
  assert.deepEqual(data(await backEnd.get(MESSAGES)), [{ x: 1 }]);
});

test("data is stored byte for byte", async (t) => {
  const { backEnd } = await api(t);
  const body = '{"b":12345678901234567890,"a":1.0,"e":1E+2,"u":"\\u0000\\u00e4\\/"}';
  const headers = { "content-type": "application/json; charset=utf-8" };
  await backEnd.ok(201, "POST", MESSAGES, { raw: `{"data":${body}}`, headers });
  const { text } = await backEnd.call("GET", MESSAGES);
  assert.ok(text.includes(`"data":${body}`), text);
});

test("history pages both ways, and says where to go on", async (t) => {
  const { backEnd, as } = await api(t);
  for (const n of upTo(10)) await backEnd.say("lobby", n, { id: `m${n}` });
  const last = await backEnd.get(MESSAGES, { limit: 3 });
  assert.deepEqual([last.room, last.seq, last.more, data(last)], ["lobby", 10, true, [8, 9, 10]]);
  assert.deepEqual(keys(last.messages[0]), ["data", "event", "from", "id", "room", "seq", "ts"]);
  const before = await as("alice").get(MESSAGES, { before: last.next, limit: 3 });
  assert.deepEqual([before.more, data(before)], [true, [5, 6, 7]]);
  const first = await backEnd.get(MESSAGES, { before: 3 });
  assert.deepEqual([first.more, data(first), first.next], [false, [1, 2], undefined]);

  const seen = [];
  for (let after = 0; after !== undefined; ) {
    const page = await backEnd.get(MESSAGES, { after, limit: 4 });
    seen.push(...data(page));
    assert.equal(page.more, page.next !== undefined);
    after = page.next;
  }
  assert.deepEqual(seen, upTo(10));
  const none = await backEnd.get("/v1/rooms/nobody/messages");
  assert.deepEqual([none.room, none.seq, none.messages, none.more], ["nobody", 0, [], false]);
});

test("live rooms are listed by name with their counts, page by page", async (t) => {
  const { server, backEnd, as } = await api(t);
  assert.deepEqual(await backEnd.get("/v1/rooms"), { rooms: [] });
  const names = upTo(25).map((n) => `room-${String(n).padStart(2, "0")}`);
  const socket = await open(t, server, { token: sign({ sub: "alice" }) });
  for (const room of [...names, "other"]) await socket.ok("join", room);
  const tab = await peer(t, server, { token: sign({ sub: "alice" }), room: "room-01" });
  await listening(t, server, { token: sign({ sub: "bob" }), room: "room-01" });
  assert.ok(tab.joined);

  const all = await backEnd.get("/v1/rooms");
  assert.deepEqual(all.rooms.map(({ room }) => room), ["other", ...names]);
  assert.deepEqual(all.rooms[1], { room: "room-01", users: 2, connections: 3 });
  assert.equal(all.next, undefined);
  const listed = [];
  for (let cursor; ; ) {
    const page = await backEnd.get("/v1/rooms", { prefix: "room-", limit: 10, cursor });
    assert.ok(page.rooms.length <= 10);
    listed.push(...page.rooms.map(({ room }) => room));
    cursor = page.next;
    if (cursor === undefined) break;
  }
  assert.deepEqual(listed, names);
  assert.deepEqual((await backEnd.get("/v1/rooms", { prefix: "nothing" })).rooms, []);
  assert.deepEqual((await backEnd.get("/v1/rooms", { prefix: "user:" })).rooms.map(({ room }) => room), ["user:alice", "user:bob"]);

  const rooms = [{ match: "room-1*", can: ["join"] }];
  const seen = await as("carol", { rooms }).get("/v1/rooms");
  assert.deepEqual(seen.rooms.map(({ room }) => room), names.slice(9, 19), "those that the user may join");
});

test("one room is described: its log, and who is there to those who may see it", async (t) => {
  const { server, backEnd, as } = await api(t);
  const { epoch } = await backEnd.say("lobby", 1);
  assert.deepEqual(await backEnd.get("/v1/rooms/lobby"), { room: "lobby", epoch, seq: 1, users: 0, connections: 0 });
  for (const sub of ["alice", "alice", "bob"]) {
    const socket = await open(t, server, { token: sign({ sub }) });
    await socket.ok("join", "lobby");
  }
  assert.deepEqual(await as("carol").get("/v1/rooms/lobby"), { room: "lobby", epoch, seq: 1, users: 2, connections: 3 });
  const blind = as("carol", { rooms: [{ match: "lobby", can: ["join"] }] });
  assert.deepEqual(await blind.get("/v1/rooms/lobby"), { room: "lobby", epoch, seq: 1 });
  await blind.refused(403, "forbidden", "GET", "/v1/rooms/kitchen");
  const empty = await backEnd.get("/v1/rooms/nobody");
  assert.deepEqual([empty.seq, empty.users, empty.connections], [0, 0, 0]);
});

test("presence pages through all users of a room, also for callers outside of it", async (t) => {
  const { server, backEnd, as } = await api(t, UNLIMITED);
  const socket = (sub) => open(t, server, { token: sign({ sub, name: sub.toUpperCase() }) });
  for (const n of upTo(12)) await (await socket(`u${String(n).padStart(2, "0")}`)).ok("join", "lobby");
  await (await socket("u01")).ok("join", "lobby");
  for (const who of [backEnd, as("outside")]) {
    const users = [];
    for (let after; ; ) {
      const page = await who.get("/v1/rooms/lobby/presence", { limit: 5, after });
      assert.deepEqual([page.room, page.count], ["lobby", 12]);
      users.push(...page.users);
      after = page.next;
      if (after === undefined) break;
    }
    assert.equal(new Set(users.map(({ user }) => user)).size, 12);
    const first = users.find(({ user }) => user === "u01");
    assert.deepEqual({ ...first, since: 0 }, { user: "u01", name: "U01", status: "online", connections: 2, since: 0 });
  }
  const blind = as("carol", { rooms: [{ match: "lobby", can: ["join"] }] });
  await blind.refused(403, "forbidden", "GET", "/v1/rooms/lobby/presence");
  const nobody = await backEnd.get("/v1/rooms/nobody/presence");
  assert.deepEqual([nobody.count, nobody.users], [0, []]);
});

test("a kicked user receives it on every connection, is out of the room, and can join again", async (t) => {
  const { server, backEnd, as } = await api(t);
  const token = sign({ sub: "bob" });
  const alice = await open(t, server, { token: sign({ sub: "alice" }) });
  await alice.ok("join", "lobby");
  const atAlice = alice.on("presence");
  const sockets = await Promise.all([2, 3, 4].map((v) => open(t, server, { v, query: { token } })));
  const kicks = sockets.map((socket) => socket.on("kicked"));
  const heard = sockets.map((socket) => socket.on("message"));
  for (const socket of sockets) await socket.ok("join", "lobby");
  const tab = await peer(t, server, { token, room: "lobby" });

  await as("alice").refused(403, "forbidden", "DELETE", "/v1/rooms/lobby/members/bob");
  const out = await backEnd.ok(200, "DELETE", "/v1/rooms/lobby/members/bob");
  assert.deepEqual(out, { room: "lobby", user: "bob", connections: 4 });
  for (const journal of kicks) assert.deepEqual((await journal.count(1))[0], [{ room: "lobby", reason: "removed" }]);
  assert.deepEqual((await tab.next("system kicked")).data, { event: "kicked", room: "lobby", reason: "removed" });
  await atAlice.until((items) => items.some(([event]) => event.event === "leave" && event.user === "bob"));
  await backEnd.say("lobby", "while out");

  assert.equal((await sockets[0].ok("join", "lobby")).members.count, 2);
  await backEnd.say("lobby", "back");
  await heard[0].count(1);
  assert.deepEqual(heard.map((journal) => journal.items.map(([{ data: each }]) => each)), [["back"], [], []]);
  const because = await backEnd.ok(200, "DELETE", "/v1/rooms/lobby/members/bob", { query: { reason: "spam" } });
  assert.equal(because.connections, 1);
  assert.deepEqual((await kicks[0].count(2))[1], [{ room: "lobby", reason: "spam" }]);
  const nobody = await backEnd.ok(200, "DELETE", "/v1/rooms/lobby/members/nobody");
  assert.deepEqual(nobody, { room: "lobby", user: "nobody", connections: 0 });
});

test("a disconnected user is gone from every transport, and does not reconnect by itself", async (t) => {
  const { server, backEnd, as } = await api(t);
  const token = sign({ sub: "bob" });
  const sockets = await Promise.all(
    [[2, "websocket"], [3, "polling"], [4, "upgrade"]].map(([v, mode]) => open(t, server, { v, mode, query: { token } })),
  );
  const gone = sockets.map((socket) => socket.on("disconnect"));
  const plain = await peer(t, server, { token, room: "lobby" });
  const stream = await listening(t, server, { token, room: "lobby" });
  const carol = await open(t, server, { token: sign({ sub: "carol" }) });
  await sockets[2].ok("join", "lobby");

  await as("bob").refused(403, "forbidden", "DELETE", "/v1/users/bob/connections");
  assert.deepEqual(await backEnd.ok(200, "DELETE", "/v1/users/bob/connections"), { user: "bob", connections: 5 });
  for (const journal of gone) assert.equal((await journal.count(1))[0][0], "io server disconnect");
  assert.equal((await plain.ended()).code, 4003);
  await stream.ended();
  await eventually(async () => !(await backEnd.get("/v1/users/bob")).online, "bob is still there");
  await carol.ok("join", "lobby");

  sockets[2].socket.connect();
  await sockets[2].session(2);
  assert.equal(sockets[2].socket.recovered, false, "the old session is no more");
  assert.deepEqual(await backEnd.ok(200, "DELETE", "/v1/users/nobody/connections"), { user: "nobody", connections: 0 });
});

test("a user's state says whether and where it is, and when it was last seen", async (t) => {
  const { server, backEnd, as } = await api(t);
  const never = await backEnd.get("/v1/users/bob");
  assert.deepEqual([never.user, never.online, never.connections, never.rooms], ["bob", false, 0, []]);
  const before = Date.now();
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  await bob.ok("join", "lobby");
  await bob.ok("status", { status: "busy" });
  const plain = await peer(t, server, { token: sign({ sub: "bob" }), room: "kitchen" });
  const here = await backEnd.get("/v1/users/bob");
  assert.deepEqual([here.user, here.online, here.connections, here.status], ["bob", true, 2, "busy"]);
  assert.deepEqual([...here.rooms].sort(), ["kitchen", "lobby", "user:bob"]);
  assert.deepEqual(keys(here), ["connections", "last_seen", "online", "rooms", "status", "user"]);
  assert.equal((await as("bob").get("/v1/users/bob")).online, true, "the user itself may ask");
  await as("alice").refused(403, "forbidden", "GET", "/v1/users/bob");

  plain.socket.close();
  bob.close();
  const away = await eventually(async () => {
    const state = await backEnd.get("/v1/users/bob");
    return state.online ? null : state;
  }, "bob is still there");
  assert.ok(away.last_seen >= before && away.last_seen <= Date.now(), `${away.last_seen}`);
  assert.deepEqual([away.connections, away.rooms], [0, []]);
});

test("a notification waits for an absent user, and reaches every tab of one that is there", async (t) => {
  const { server, backEnd, as } = await api(t);
  const NOTIFY = "/v1/users/bob/notifications";
  const first = await backEnd.ok(201, "POST", NOTIFY, { body: { data: { n: 1 }, id: "n-1" } });
  assert.deepEqual([first.room, first.id, first.seq], ["user:bob", "n-1", 1]);
  const again = await backEnd.ok(200, "POST", NOTIFY, { body: { data: 0, id: "n-1" } });
  assert.equal(again.duplicate, true);
  await backEnd.ok(201, "POST", NOTIFY, { body: { data: { n: 2 }, from: { user: "carol", name: "Carol" } } });
  await server.kill();
  await server.start();

  const token = sign({ sub: "bob" });
  const bob = await open(t, server, { token });
  const told = bob.on("notification");
  const { messages } = await bob.ok("join", { room: "user:bob", since: `${first.epoch}:0` });
  assert.deepEqual(messages.map(({ event, from, data: { n } }) => [event, from, n]), [
    ["notification", null, 1],
    ["notification", { user: "carol", name: "Carol" }, 2],
  ]);
  const stream = await listening(t, server, { room: "lobby", token });
  await as("alice", { rooms: [{ match: "user:*", can: ["publish"] }] }).ok(201, "POST", NOTIFY, { body: { data: 3 } });
  const [[message]] = await told.count(1);
  assert.deepEqual([message.data, message.from], [3, { user: "alice" }]);
  assert.equal((await stream.nth("notification")).data.id, message.id);
  await as("alice").refused(403, "forbidden", "POST", NOTIFY, { body: { data: 1 } });
  await as("alice", { rooms: [{ match: "*", can: ["join", "publish"] }] }).refused(403, "forbidden", "POST", NOTIFY, { body: { data: 1 } });
});

test("what a user's token does not grant is forbidden", async (t) => {
  const { as } = await api(t);
  const alice = as("alice", { rooms: [{ match: "news", can: ["join"] }, { match: "box", can: ["publish"] }] });
  await alice.say("box", 1);
  for (const [method, path, body] of [
    ["POST", "/v1/rooms/news/messages", { data: 1 }],
    ["POST", "/v1/rooms/news/messages", { data: 1, event: "e", ephemeral: true }],
    ["GET", "/v1/rooms/news/messages"],
    ["GET", "/v1/rooms/box/messages"],
    ["GET", "/v1/rooms/box"],
    ["GET", "/v1/rooms/user:bob"],
    ["GET", "/v1/rooms/user:bob/messages"],
    ["POST", "/v1/rooms/user:bob/messages", { data: 1, event: "notification" }],
    ["GET", "/v1/rooms/news/presence"],
    ["DELETE", "/v1/rooms/news/members/alice"],
    ["DELETE", "/v1/users/alice/connections"],
  ]) {
    await alice.refused(403, "forbidden", method, path, { body });
  }
});

test("a request that makes no sense is 400, and says why", async (t) => {
  const { backEnd } = await api(t);
  for (const body of [
    {},
    [],
    7,
    "text",
    null,
    { data: 1, id: "" },
    { data: 1, id: "x".repeat(65) },
    { data: 1, id: 7.5 },
    { data: 1, event: "" },
    { data: 1, event: 7 },
    { data: 1, event: "notification" },
    { data: 1, ephemeral: "yes" },
  ]) {
    await backEnd.refused(400, "bad_request", "POST", MESSAGES, { body });
  }
  for (const [method, path] of [
    ["GET", "/v1/rooms/white%20space"],
    ["GET", "/v1/rooms/%ff"],
    ["GET", `/v1/rooms/${"x".repeat(129)}`],
    ["GET", `${MESSAGES}?after=x`],
    ["GET", `${MESSAGES}?after=-1`],
    ["GET", `${MESSAGES}?after=1&before=3`],
    ["GET", `${MESSAGES}?limit=all`],
    ["GET", "/v1/rooms?limit=all"],
    ["GET", "/v1/rooms/lobby/presence?limit=all"],
    ["GET", "/v1/users/white%20space"],
    ["DELETE", "/v1/rooms/lobby/members/white%20space"],
    ["DELETE", "/v1/users/white%20space/connections"],
  ]) {
    await backEnd.refused(400, "bad_request", method, path);
  }
  const json = { "content-type": "application/json" };
  for (const raw of ["", "{", '{"data":}', '{"data":1}x', "\xff"]) {
    await backEnd.refused(400, "bad_request", "POST", MESSAGES, { raw, headers: json });
  }
  const deep = `{"data":${"[".repeat(500)}${"]".repeat(500)}}`;
  const { status, body } = await backEnd.call("POST", MESSAGES, { raw: deep, headers: json });
  assert.ok([400, 413].includes(status) && ["bad_request", "too_large"].includes(body.code), `${status}`);
  assert.equal((await backEnd.get(MESSAGES)).seq, 0);
});

test("names with signs of their own are one name in every path", async (t) => {
  const { backEnd } = await api(t);
  for (const room of ["team-7:general", "a/b", "größe", "🦀", "100%", "a+b", "a?b#c", "messages"]) {
    const sent = await backEnd.say(room, 1);
    assert.equal(sent.room, room);
    const page = await backEnd.get(`/v1/rooms/${encodeURIComponent(room)}/messages`);
    assert.deepEqual([page.room, data(page)], [room, [1]]);
  }
});

test("a body that is not JSON by its content type gets 415, one that is too large 413", async (t) => {
  const { backEnd } = await api(t, { "limits-message-bytes": 1000, "http-body-bytes": "16KiB" });
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png"]) {
    await backEnd.refused(415, "bad_request", "POST", MESSAGES, { raw: '{"data":1}', headers: { "content-type": type } });
  }
  for (const type of ["application/json", "application/vnd.example+json", "APPLICATION/JSON; charset=utf-8"]) {
    await backEnd.ok(201, "POST", MESSAGES, { raw: '{"data":1}', headers: { "content-type": type } });
  }
  await backEnd.refused(413, "too_large", "POST", MESSAGES, { body: { data: "x".repeat(999) } });
  await backEnd.ok(201, "POST", MESSAGES, { body: { data: "x".repeat(998) } });
  await backEnd.refused(413, "too_large", "POST", MESSAGES, { body: { data: "x".repeat(20_000) } });
  const chunks = new ReadableStream({
    start(control) {
      control.enqueue(new TextEncoder().encode(`{"data":"${"x".repeat(40_000)}"}`));
      control.close();
    },
  });
  const headers = { "content-type": "application/json" };
  await backEnd.refused(413, "too_large", "POST", MESSAGES, { raw: chunks, headers });
});

test("an unknown path gets 404, an unsupported method 405 with Allow", async (t) => {
  const { server, backEnd } = await api(t);
  for (const path of ["/v1", "/v1/", "/v1/nothing", "/v1/rooms/lobby/nothing", "/v2/rooms", "/v1/nodes", "/nothing"]) {
    isRefusal(await backEnd.call("GET", path), 404, "not_found", path);
  }
  for (const [method, path, allowed] of [
    ["DELETE", "/v1/rooms", ["GET"]],
    ["PUT", MESSAGES, ["GET", "POST"]],
    ["POST", "/v1/rooms/lobby", ["GET"]],
    ["GET", "/v1/rooms/lobby/members/bob", ["DELETE"]],
    ["GET", "/v1/users/bob/notifications", ["POST"]],
    ["PUT", "/v1/users/bob/connections", ["DELETE", "GET"]],
    ["GET", "/v1/batch", ["POST"]],
    ["POST", "/poll/lobby", ["GET"]],
    ["POST", "/events/lobby", ["GET"]],
  ]) {
    const answer = await backEnd.call(method, path);
    isRefusal(answer, 405, "bad_request", `${method} ${path}`);
    const allow = answer.headers.get("allow")?.split(/, ?/).filter((each) => !["HEAD", "OPTIONS"].includes(each));
    assert.deepEqual(allow?.sort(), allowed, path);
  }
  // Without a key nothing is learnt of what there is, or the same is said.
  const nobody = await call(server, "GET", "/v1/nothing");
  assert.ok([401, 404].includes(nobody.status), `${nobody.status}`);
});

test("a user that sends too fast gets 429 with a time to retry", async (t) => {
  const { as, backEnd } = await api(t, { "limits-user-messages-per-second": 5, "limits-user-messages-burst": 10 });
  const alice = as("alice");
  const answers = await Promise.all(upTo(40).map((n) => alice.call("POST", MESSAGES, { body: { data: n } })));
  const refused = answers.filter(({ status }) => status !== 201);
  assert.ok(refused.length >= 20, `${refused.length} of 40 were refused`);
  for (const answer of refused) {
    isRefusal(answer, 429, "rate_limited");
    assert.ok(answer.body.retry_after_ms > 0 && Number(answer.headers.get("retry-after")) >= 1);
  }
  await as("bob").say("lobby", "not bob's fault");
  for (const n of upTo(50)) await backEnd.say("lobby", n);
});

test("in open mode a caller is whom it says, without the powers of a back end", async (t) => {
  const server = await serve(t);
  const alice = new Caller(server, { user: "alice" });
  await alice.say("lobby", 1);
  await new Caller(server).say("lobby", 2);
  const { messages } = await alice.get(MESSAGES);
  assert.deepEqual(messages[0].from, { user: "alice" });
  assert.match(messages[1].from.user, /^guest-/);
  for (const [method, path] of [
    ["DELETE", "/v1/rooms/lobby/members/bob"],
    ["DELETE", "/v1/users/alice/connections"],
    ["GET", "/v1/users/bob"],
  ]) {
    await alice.refused(403, "forbidden", method, path);
  }
  await alice.refused(403, "forbidden", "POST", MESSAGES, { body: { data: 1, from: "bob" } });
  assert.equal((await alice.get("/v1/users/alice")).user, "alice");
});

test("every response has an x-request-id; a valid one of the caller's is kept", async (t) => {
  const { server, backEnd } = await api(t);
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  const id = async (headers, path = "/v1/rooms") => (await backEnd.call("GET", path, { headers })).headers.get("x-request-id");
  assert.match(await id({}), uuid);
  assert.notEqual(await id({}), await id({}));
  assert.equal(await id({ "x-request-id": "Order_7.a-B" }), "Order_7.a-B");
  assert.equal(await id({ "x-request-id": "x".repeat(64) }), "x".repeat(64));
  for (const bad of ["x".repeat(65), "white space", "a/b", "ä", ""]) {
    assert.match(await id({ "x-request-id": bad }), uuid, bad);
  }
  assert.match(await id({}, "/v1/nothing"), uuid);
  const refused = await call(server, "GET", "/v1/rooms", { headers: { "x-request-id": "mine" } });
  assert.deepEqual([refused.status, refused.headers.get("x-request-id")], [401, "mine"]);
  assert.equal(await id({ "x-request-id": "mine" }, "/poll/lobby"), "mine");
});

test("a page of an allowed origin may call, one of a foreign origin may not", async (t) => {
  const { server } = await api(t, { "http-origins": "https://app.example" });
  const key = sign({ sub: "alice" });
  const origin = "https://app.example";
  const preflight = (from) =>
    call(server, "OPTIONS", MESSAGES, {
      headers: {
        origin: from,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-request-id",
      },
    });
  const allowed = await preflight(origin);
  assert.ok([200, 204].includes(allowed.status), `${allowed.status}`);
  assert.equal(allowed.headers.get("access-control-allow-origin"), origin);
  assert.match(allowed.headers.get("access-control-allow-methods"), /POST/);
  for (const name of ["authorization", "content-type"]) {
    assert.match(allowed.headers.get("access-control-allow-headers").toLowerCase(), new RegExp(name));
  }
  assert.match(allowed.headers.get("vary")?.toLowerCase() ?? "", /origin/);
  const answer = await call(server, "POST", MESSAGES, { key, headers: { origin }, body: { data: 1 } });
  assert.deepEqual([answer.status, answer.headers.get("access-control-allow-origin")], [201, origin]);
  const refused = await call(server, "POST", MESSAGES, { headers: { origin }, body: { data: 1 } });
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get("access-control-allow-origin"), origin, "the page can read why");

  const foreign = "https://evil.example";
  assert.equal((await preflight(foreign)).headers.get("access-control-allow-origin"), null);
  isRefusal(await call(server, "POST", MESSAGES, { key, headers: { origin: foreign }, body: { data: 1 } }), 403, "forbidden");
  assert.equal((await new Caller(server, { key }).get(MESSAGES)).seq, 1);
});

test("the description is OpenAPI that names every call, and the page to try them loads without the network", async (t) => {
  const { server } = await api(t);
  const description = await call(server, "GET", "/v1/openapi.json");
  assert.equal(description.status, 200);
  assert.match(description.body.openapi, /^3\./);
  const calls = Object.entries(description.body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).filter((name) => /^(get|post|delete)$/.test(name)).map((name) => `${name.toUpperCase()} ${path}`),
  );
  for (const each of [
    "POST /v1/rooms/{room}/messages",
    "GET /v1/rooms/{room}/messages",
    "GET /v1/rooms",
    "GET /v1/rooms/{room}",
    "GET /v1/rooms/{room}/presence",
    "DELETE /v1/rooms/{room}/members/{user}",
    "GET /v1/users/{user}",
    "GET /v1/hooks",
    "POST /v1/users/{user}/notifications",
    "DELETE /v1/users/{user}/connections",
    "POST /v1/batch",
  ]) {
    assert.ok(calls.includes(each), `${each} in ${calls.join(", ")}`);
  }
  const docs = await call(server, "GET", "/v1/docs");
  assert.equal(docs.status, 200);
  assert.match(docs.headers.get("content-type"), /^text\/html/);
  const base = new URL(docs.text.match(/<base href="([^"]+)"/)?.[1] ?? "", `${server.url}/v1/docs`);
  for (const [, address] of docs.text.matchAll(/<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"/g)) {
    const part = await fetch(new URL(address, base));
    assert.ok(part.url.startsWith(`${server.url}/v1/docs/`), `${address} is elsewhere`);
    assert.equal(part.status, 200, address);
    await part.arrayBuffer();
  }
});
