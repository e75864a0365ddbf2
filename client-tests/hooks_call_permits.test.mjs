// What a back end permits over HTTP (`on = ["connect", "join", "publish"]`), the same on every transport: identities, rooms, data,
// refusals, and that its silence refuses.

import assert from "node:assert/strict";
import { test } from "node:test";
import { acknowledged, MATRIX, open, refusal, start } from "./support/clients.mjs";
import { source, Source } from "./support/events.mjs";
import { away, follow } from "./support/follow.mjs";
import { backend, Response, SILENCE, withHooks } from "./support/hooks.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";
import { call, Caller } from "./support/web.mjs";
import { Peer } from "./support/websocket.mjs";

const KEY = "an-api-key-of-enough-characters";

// A server whose back end is asked about everything, and the calls that it gets.
async function asked(t, answer, table = {}, options = {}) {
  const { url, calls } = await backend(t, answer);
  const server = await withHooks(t, url, { on: ["connect", "join", "publish"], timeout: "1s", ...table }, { "auth-api-keys": KEY, ...options });
  return { server, calls, of: (type) => calls.items.filter((each) => each.type === type) };
}

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode}: a back end says who a client is, what it may, and where it begins`, async (t) => {
    const { server, of } = await asked(
      t,
      ({ type, auth }) =>
        type === "connect"
          ? { user: `u-${auth.session}`, name: "Alice A.", info: { role: "cook" }, rooms: [{ match: "team-*", can: ["join", "publish", "presence"] }], join: ["kitchen"], state: { n: 1 } }
          : {},
      { headers: ["user-agent", "x-shop", "cookie"] },
    );
    const put = v === 2 ? "query" : "auth";
    const alice = await open(t, server, { v, mode, user: "somebody", [put]: { session: "7" } });
    assert.deepEqual([alice.me.user, alice.me.name], ["u-7", "Alice A."]);
    const [{ request, headers, ip, ...connect }] = of("connect");
    assert.deepEqual([connect.user, connect.auth.session, ip, connect.connection], ["somebody", "7", "127.0.0.1", alice.me.connection]);
    assert.deepEqual(Object.keys(headers).filter((name) => name !== "user-agent"), []);
    await alice.refused("join", "lobby", "forbidden");
    const { members } = await alice.ok("join", "team-1");
    assert.deepEqual(members.users.map(({ user, info }) => [user, info]), [["u-7", { role: "cook" }]]);
    const [join] = of("join");
    assert.deepEqual([join.room, join.user, join.rooms, join.state], ["team-1", "u-7", ["kitchen"], { n: 1 }]);
    const seen = alice.on("message");
    await new Caller(server, { key: KEY }).ok(201, "POST", "/v1/rooms/kitchen/messages", { body: { data: 1 } });
    await seen.count(1);
  });

  test(`client ${v} over ${mode}: a refused connection is told the back end's code and message`, async (t) => {
    const { server } = await asked(t, () => ({ deny: { code: "no_plan", message: "Buy one." } }));
    const client = start(t, server, { v, mode, user: "alice" });
    const error = await refusal(client);
    const shown = v === 2 ? error : error;
    assert.match(JSON.stringify(shown.message ?? shown), /no_plan/);
    if (v > 2) assert.deepEqual(error.data, { code: "no_plan", message: "Buy one." });
  });
}

test("the same holds for WebSockets, event streams, polls and REST with a user's token", async (t) => {
  const { server, calls, of } = await asked(t, ({ type, user, room, data }) => {
    if (type === "connect") return user === "mallory" ? new Response(403) : { user: `u-${user}` };
    if (room === "closed") return { deny: { message: "closed" } };
    return type === "publish" ? { data: { said: data } } : {};
  });
  // WebSocket.
  const peer = new Peer(t, server, { room: "lobby", user: "alice" });
  assert.equal((await peer.next("system connected")).data.user, "u-alice");
  await peer.next("system joined");
  peer.raw({ type: "text", id: "m1", data: "hi" });
  await peer.next("ack");
  assert.deepEqual((await peer.next("text")).data, { said: "hi" });
  peer.raw({ type: "join", id: "2", room: "closed" });
  assert.equal((await peer.next("error")).data.code, "forbidden");
  const refused = await new Peer(t, server, { user: "mallory" }).closed;
  assert.deepEqual([refused.status, refused.body.code], [403, "forbidden"]);
  // Server-Sent Events.
  const stream = await source(t, server, { room: "lobby", user: "bob" });
  assert.equal(stream.of("session")[0].user, "u-bob");
  peer.raw({ type: "text", id: "m2", data: "again" });
  assert.deepEqual((await stream.nth("message")).data, { said: "again" });
  for (const options of [{ room: "closed", user: "bob" }, { room: "lobby", user: "mallory" }]) {
    const { failures } = new Source(t, server, options);
    await failures.count(1);
    assert.equal(failures.items[0].code, 403);
  }
  // Polls.
  const poll = (user, room) => call(server, "GET", `/poll/${room}`, { user });
  assert.equal((await poll("carol", "lobby")).status, 200);
  assert.deepEqual([(await poll("carol", "closed")).status, (await poll("mallory", "lobby")).status], [403, 403]);
  // REST.
  const send = (user, room) => call(server, "POST", `/v1/rooms/${room}/messages`, { user, body: { data: 3 } });
  assert.deepEqual([(await send("dave", "lobby")).status, (await send("dave", "closed")).status, (await send("mallory", "lobby")).status], [201, 403, 403]);
  const { messages } = (await call(server, "GET", "/v1/rooms/lobby/messages", { user: "dave" })).body;
  assert.deepEqual(messages.map(({ from, data }) => [from.user, data.said]), [["u-alice", "hi"], ["u-alice", "again"], ["u-dave", 3]]);
  assert.ok(of("publish").every(({ room, event }) => room && event === "message"));
  assert.ok(of("connect").some(({ user, connection }) => user === "dave" && connection === undefined));
  // A back end with a key is not asked about.
  const before = calls.items.length;
  assert.equal((await call(server, "POST", "/v1/rooms/closed/messages", { key: KEY, body: { data: 1 } })).status, 201);
  assert.equal(calls.items.length, before);
});

test("rooms narrows joining and publishing, the first endpoint that matches is asked, and what a reply does is not asked about", async (t) => {
  const first = await backend(t, ({ type }) => (type === "event" ? { do: [{ join: "team-9" }, { publish: { room: "team-9", data: 1 } }] } : {}));
  const second = await backend(t, () => ({ deny: { message: "second" } }));
  const server = await withHooks(t, first.url, [
    { on: ["join", "publish"], rooms: "team-*", events: ["enter"] },
    { url: second.url, on: ["join"] },
  ]);
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "team-1");
  await alice.refused("join", "lobby", "forbidden");
  await alice.ok("message", { room: "team-1", data: 1 });
  await alice.ok("message", { room: "lobby", data: 1 });
  await acknowledged(alice, "enter");
  assert.deepEqual(first.calls.items.map(({ type, room }) => [type, room]), [["join", "team-1"], ["publish", "team-1"], ["event", undefined]]);
  assert.deepEqual(second.calls.items.map(({ type, room }) => [type, room]), [["join", "lobby"]]);
});

test("messages keep their order while a back end is asked about each, ephemeral ones too", async (t) => {
  const { server } = await asked(t, async ({ type, data }) => {
    if (type === "publish") await new Promise((resolve) => setTimeout(resolve, data.n % 5));
    return {};
  });
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { user })));
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const seen = bob.on("n");
  for (let n = 0; n < 60; n += 1) alice.socket.emit("publish", { room: "lobby", event: "n", data: { n }, ephemeral: n % 3 === 0 });
  await seen.count(60);
  assert.deepEqual(seen.items.map(([{ n }]) => n), Array.from({ length: 60 }, (_, n) => n));
});

test("silence refuses joining and publishing, and a client that cannot connect for it comes back by itself", async (t) => {
  let silent = true;
  const { server, calls, of } = await asked(t, () => (silent ? SILENCE : {}));
  const alice = start(t, server, { user: "alice" });
  await calls.count(2);
  assert.equal(alice.sessions.items.length, 0);
  assert.notEqual(of("connect")[0].id, of("connect")[1].id);
  silent = false;
  await alice.session();
  silent = true;
  await alice.refused("join", "lobby", "unavailable");
  await alice.refused("message", { room: "lobby", data: 1 }, "unavailable");
  silent = false;
  await alice.ok("join", "lobby");
});

test("a recovered client makes no connect call, and has the identity, the grants and the state that its reply gave it", async (t) => {
  for (const [options, credentials] of [
    [{}, { user: "shown" }],
    [{}, {}], // a guest
    [{ "auth-hmac-secret": SECRET }, { auth: { token: sign({ sub: "shown" }) } }],
  ]) {
    const { server, of } = await asked(
      t,
      ({ type, state }) =>
        type === "connect"
          ? { user: "u-1", rooms: [{ match: "team-*", can: ["join", "publish"] }], state: { a: 1 } }
          : type === "event" ? { ack: [state] } : {},
      { events: ["state"] },
      options,
    );
    const client = await follow(t, server, credentials);
    assert.equal(client.me.user, "u-1");
    await client.ok("join", "team-1");
    for (const how of ["cut", "lose"]) {
      assert.equal(await away(client, how), true, JSON.stringify(credentials));
      assert.equal(client.sessions.items.at(-1)[0].user, "u-1");
      assert.deepEqual(await acknowledged(client, "state"), [{ a: 1 }]);
      await client.refused("join", "lobby", "forbidden");
    }
    assert.equal(await away(client, "cut", async () => { await server.kill(); await server.start(); }), true);
    assert.equal(of("connect").length, 1);
  }
});

test("an identity ends when the reply says, its client comes back, and the back end is asked again", async (t) => {
  let seconds = 1;
  const { server, of } = await asked(t, ({ type }) => (type === "connect" ? { expires_at: Date.now() + 1000 * seconds } : {}), {}, { "auth-grace": "200ms" });
  const client = await follow(t, server, { user: "alice" });
  assert.ok(client.me.expires_at - Date.now() < 2000);
  seconds = 100;
  await client.session(2);
  assert.equal(of("connect").length, 2);
  assert.equal(client.returns.items[0], false);
});

test("an identity that a reply has ended ends polls, requests and event streams as an expired token does", async (t) => {
  let [lasts, slow] = [60_000, 0];
  const { server } = await asked(t, async ({ type }) => {
    if (type === "connect") return { expires_at: Date.now() + lasts };
    await new Promise((resolve) => setTimeout(resolve, slow));
    return {};
  }, { timeout: "10s" });
  const alice = new Caller(server, { user: "alice" });
  const { cursor } = await alice.get("/poll/lobby");
  // A poll that begins before the end, and one whose permit to read takes until then.
  for ([lasts, slow] of [[1500, 0], [1000, 1500]]) {
    const began = Date.now();
    const { messages } = await alice.get("/poll/lobby", { since: cursor, wait: 60 });
    assert.deepEqual(messages, []);
    assert.ok(Date.now() - began < 20_000, `after ${Date.now() - began} ms`);
  }
  [lasts, slow] = [1000, 0];
  assert.match((await call(server, "GET", "/events/lobby", { user: "alice" })).text, /event: error\ndata: .*token_expired/);
  lasts = -1;
  await alice.refused(401, "token_expired", "GET", "/poll/lobby");
  await alice.refused(401, "token_expired", "GET", "/v1/rooms/lobby");
});

test("a new token does not undo what the back end has decided, and one of another user is refused", async (t) => {
  const { server } = await asked(t, ({ type }) => (type === "connect" ? { user: "u-1", rooms: [{ match: "a", can: ["join"] }] } : {}), {}, { "auth-hmac-secret": SECRET });
  const client = await open(t, server, { token: sign({ sub: "alice", exp: at(100) }) });
  await client.ok("refresh", { token: sign({ sub: "alice", exp: at(1000) }) });
  await client.ok("join", "a");
  await client.refused("join", "b", "forbidden");
  await client.refused("refresh", { token: sign({ sub: "u-1" }) }, "forbidden");
  await client.refused("refresh", { token: sign({ sub: "bob" }) }, "forbidden");
});

test("the headers that an endpoint is told are those that are configured, and none that may have been added for a foreign page", async (t) => {
  const { server, of } = await asked(t, () => ({}), { headers: ["cookie", "x-shop"] }, { "auth-hmac-secret": SECRET });
  const token = sign({ sub: "alice" });
  const own = await new Peer(t, server, { token, headers: { cookie: "a=1", "x-shop": "7", "x-other": "8" } }).next("system connected");
  assert.equal(own.data.user, "alice");
  await new Peer(t, server, { query: { token }, headers: { cookie: "a=1", "x-shop": "7", origin: "https://elsewhere.example" } }).next("system connected");
  assert.deepEqual(of("connect").map(({ headers }) => headers), [{ cookie: "a=1", "x-shop": "7" }, { "x-shop": "7" }]);
});

test("of events of which only the newest counts, one call is made at a time, and the newest arrives", async (t) => {
  let under = 0;
  const { server, of } = await asked(
    t,
    async ({ type }) => {
      if (type !== "publish") return {};
      under += 1;
      assert.equal(under, 1, "two calls of one connection at once");
      await new Promise((resolve) => setTimeout(resolve, 5));
      under -= 1;
      return {};
    },
    {},
    { "limits-newest": "cursor", "limits-messages-per-second": 20, "limits-messages-burst": 20, "limits-user-messages-per-second": 0 },
  );
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { user })));
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const seen = bob.on("cursor");
  const messages = bob.on("message");
  for (let n = 1; n <= 400; n += 1) alice.socket.emit("publish", { room: "lobby", event: "cursor", data: n, ephemeral: true });
  alice.socket.emit("message", { room: "lobby", data: "last" });
  await messages.count(1);
  await seen.until((items) => items.at(-1)?.[0] === 400, "the newest cursor");
  assert.ok(of("publish").length < 400, `${of("publish").length}`);
});

test("a room that a back end keeps a client out of cannot be read either; a member is not asked again", async (t) => {
  const { server, of } = await asked(t, ({ room }) => (room === "closed" ? { deny: { message: "closed" } } : {}), { on: ["join"] });
  await new Caller(server, { key: KEY }).say("closed", "secret");
  const alice = await open(t, server, { user: "alice" });
  await alice.refused("join", "closed", "forbidden");
  await alice.refused("history", { room: "closed" }, "forbidden");
  const rest = new Caller(server, { user: "alice" });
  for (const path of ["", "/messages", "/presence"]) await rest.refused(403, "forbidden", "GET", `/v1/rooms/closed${path}`);
  await alice.ok("join", "lobby");
  const before = of("join").length;
  await alice.ok("history", { room: "lobby" });
  assert.equal(of("join").length, before);
});
