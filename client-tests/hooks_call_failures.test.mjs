// Back ends that are slow, dead, flapping, wrong or hostile: what clients are told, what is never repeated, and what stays bounded.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { acknowledged, open, upTo } from "./support/clients.mjs";
import { follow } from "./support/follow.mjs";
import { backend, CUT, Response, SILENCE, withHooks } from "./support/hooks.mjs";
import { nodes } from "./support/nodes.mjs";
import { freePorts } from "./support/ports.mjs";
import { redis } from "./support/redis.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { call, Caller } from "./support/web.mjs";

const KEY = "an-api-key-of-enough-characters";
const KEYED = { "auth-api-keys": KEY };

// The failure that an ack is, which says when to try again.
async function unavailable(client, event, ...args) {
  const [ack] = await acknowledged(client, event, ...args);
  assert.equal(ack?.ok, false, JSON.stringify(ack));
  assert.equal(ack.error.code, "unavailable", JSON.stringify(ack));
  assert.ok(ack.error.retry_after_ms > 0, JSON.stringify(ack));
  return ack.error;
}

const endpoint = async (server) => (await new Caller(server, { key: KEY }).get("/v1/hooks")).call[0];

const WRONG = {
  "an error of the server": [new Response(500, "{}"), "status"],
  "a page": [new Response(200, "<html>"), "reply"],
  "an array": ["[]", "reply"],
  "an empty body": [new Response(200, ""), "reply"],
  "another status": [new Response(204, ""), "status"],
  "an ack that is no array": ['{"ack":1}', "reply"],
  "an action that there is not": ['{"do":[{"shout":"a"}]}', "reply"],
  "too many actions": [{ do: Array.from({ length: 101 }, () => ({ join: "a" })) }, "reply"],
  "a state that is too large": [{ state: { text: "x".repeat(9000) } }, "reply"],
  "a reply that is too large": [`{"ack":["${"x".repeat(20_000)}"]}`, "too_large"],
  "a redirect": [new Response(302, "", { location: "/elsewhere" }), "status"],
  "a connection that is cut": [CUT, "broken"],
  "silence": [SILENCE, "timeout"],
};

for (const [what, [reply, kind]] of Object.entries(WRONG)) {
  test(`${what}: the client is told that it is unavailable, nothing is done, and nothing is asked again`, async (t) => {
    const { url, calls } = await backend(t, ({ event }) => (event === "fine" ? { ack: ["fine"] } : reply));
    const server = await withHooks(t, url, { events: ["bad", "fine"], timeout: "500ms" }, { ...KEYED, "hooks-response-bytes": "16 KiB" });
    const alice = await open(t, server, { user: "alice" });
    await unavailable(alice, "bad");
    alice.socket.emit("bad");
    await alice.errors.count(1);
    assert.deepEqual([alice.errors.items[0][0].event, alice.errors.items[0][0].code], ["bad", "unavailable"]);
    assert.deepEqual(await acknowledged(alice, "fine"), ["fine"]);
    assert.deepEqual(calls.items.map(({ event }) => event), ["bad", "bad", "fine"]);
    const { failures, calls: counted, last_failure: last, state } = await endpoint(server);
    assert.deepEqual([failures, counted, last.kind, state], [2, 3, kind, "ok"]);
  });
}

test("a back end that is not there fails at once, and answers when it is there", async (t) => {
  const [port] = await freePorts(1);
  const server = await withHooks(t, `http://127.0.0.1:${port}/`, { events: ["a"] });
  const alice = await open(t, server, { user: "alice" });
  await unavailable(alice, "a");
  await backend(t, () => ({ ack: ["here"] }), port);
  assert.deepEqual(await acknowledged(alice, "a"), ["here"]);
});

test("a connection that the back end has closed while it was idle is not used again, and one that is reused is", async (t) => {
  const { url, server: http } = await backend(t, () => ({ ack: [1] }));
  http.keepAliveTimeout = 60_000;
  let connections = 0;
  http.on("connection", () => (connections += 1));
  const server = await withHooks(t, url, { events: ["a"] });
  const alice = await open(t, server, { user: "alice" });
  for (let n = 0; n < 20; n += 1) await acknowledged(alice, "a");
  // The next call may come before the connection of the last is known to be idle.
  assert.ok(connections < 5, `${connections} connections for 20 calls`);
  http.closeIdleConnections();
  await eventually(() => new Promise((resolve) => http.getConnections((_, open) => resolve(open === 0))), "a connection is still open");
  const before = connections;
  assert.deepEqual(await acknowledged(alice, "a"), [1]);
  assert.equal(connections, before + 1);
});

test("after ten calls of which eight fail the endpoint is not asked for five seconds, and then again", async (t) => {
  let healthy = false;
  const { url, calls } = await backend(t, () => (healthy ? { ack: [1] } : new Response(503)));
  const server = await withHooks(t, url, { events: ["a"] }, KEYED);
  const alice = await open(t, server, { user: "alice" });
  for (let n = 0; n < 10; n += 1) await unavailable(alice, "a");
  const began = Date.now();
  healthy = true;
  const { retry_after_ms: wait } = await unavailable(alice, "a");
  assert.ok(wait > 3000 && wait <= 5000, `${wait}`);
  assert.equal(calls.items.length, 10);
  const { state, opened, asked_again_in_ms: again } = await endpoint(server);
  assert.deepEqual([state, opened], ["open", 1]);
  assert.ok(again > 0 && again <= 5000);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, new RegExp(`switchboard_hook_breaker_open{endpoint="${url}"} 1`));
  assert.match(metrics, new RegExp(`switchboard_hook_calls_total{endpoint="${url}",outcome="status"} 10`));
  await eventually(async () => (await acknowledged(alice, "a"))[0] === 1, "it is not asked again");
  assert.ok(Date.now() - began > 4500, "it was asked too early");
  assert.equal((await endpoint(server)).state, "ok");
});

test("what one user sends that is refused or answered wrongly does not close the endpoint for others; what many send does", async (t) => {
  const replies = { 400: new Response(400), page: "<html>", large: `{"ack":["${"x".repeat(20_000)}"]}` };
  const { url } = await backend(t, ({ event, args }) => (event === "bad" ? replies[args[0]] : { ack: ["fine"] }));
  const server = await withHooks(t, url, { events: ["bad", "fine"] }, { ...KEYED, "auth-hmac-secret": SECRET, "hooks-response-bytes": "16 KiB" });
  const login = (user) => open(t, server, { token: sign({ sub: user }) });
  const mallory = await Promise.all([login("mallory"), login("mallory")]);
  for (const client of mallory) for (const kind of Object.keys(replies)) for (let n = 0; n < 8; n += 1) await unavailable(client, "bad", kind);
  assert.deepEqual(await acknowledged(await login("alice"), "fine"), ["fine"]);
  assert.deepEqual([(await endpoint(server)).opened, (await endpoint(server)).failures], [0, 48]);
  const others = await Promise.all(upTo(12).map((n) => login(`u${n}`)));
  await Promise.all(others.map((client) => unavailable(client, "bad", 400)));
  assert.equal((await endpoint(server)).opened, 1);
});

test("in open mode, where names are free, an address counts as one user, unless the back end says who its clients are", async (t) => {
  const { url } = await backend(t, () => new Response(404));
  const verifying = await backend(t, ({ user }) => ({ user: `verified-${user}` }));
  for (const [tables, opened] of [[[], 0], [[{ url: verifying.url, on: ["connect"] }], 1]]) {
    const server = await withHooks(t, url, [{ events: ["a"] }, ...tables], KEYED);
    const clients = await Promise.all(upTo(12).map((n) => open(t, server, { user: `u${n}` })));
    await Promise.all(clients.map((client) => unavailable(client, "a")));
    assert.equal((await endpoint(server)).opened, opened);
  }
});

test("calls whose callers have gone are counted, and are failures if they had run for half of the time", async (t) => {
  const { url, calls } = await backend(t, () => SILENCE);
  const patient = await withHooks(t, url, { on: ["connect"], timeout: "30s" }, { ...KEYED, "auth-hmac-secret": SECRET });
  // A request of each of ten users, which go `ms` after the back end was called.
  const leave = async (server, ms) => {
    const before = calls.items.length;
    const gone = new AbortController();
    const asking = upTo(10).map((n) => call(server, "GET", "/v1/rooms/lobby", { key: sign({ sub: `u${n}` }), signal: gone.signal }));
    await calls.count(before + 10);
    await new Promise((resolve) => setTimeout(resolve, ms));
    gone.abort();
    for (const { status, reason } of await Promise.allSettled(asking)) assert.deepEqual([status, reason?.name], ["rejected", "AbortError"]);
    await eventually(async () => (await endpoint(server)).in_flight === 0, "calls are under way");
  };
  await leave(patient, 0);
  const { calls: counted, failures, opened } = await endpoint(patient);
  assert.deepEqual([counted, failures, opened], [10, 0, 0]);
  const impatient = await withHooks(t, url, { on: ["connect"], timeout: "6s" }, { ...KEYED, "auth-hmac-secret": SECRET });
  await leave(impatient, 3500);
  await eventually(async () => (await endpoint(impatient)).opened === 1, "the endpoint is still asked");
  assert.equal((await endpoint(impatient)).calls, 10);
});

test("requests of one user have an eighth of the places, at least four, and do not keep out others", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { url, calls } = await backend(t, () => held);
  const server = await withHooks(t, url, { on: ["connect"], timeout: "20s", concurrency: 16 }, { ...KEYED, "auth-hmac-secret": SECRET });
  const ask = (sub) => call(server, "GET", "/v1/rooms/lobby", { key: sign({ sub }), ms: 30_000 });
  const asking = upTo(12).map(() => ask("alice"));
  await eventually(async () => (await endpoint(server)).waiting === 8, "not all wait that have no place");
  assert.equal((await endpoint(server)).in_flight, 4);
  asking.push(ask("bob"));
  await calls.until((items) => items.some(({ user }) => user === "bob"), "bob's call");
  assert.equal(calls.items.filter(({ user }) => user === "alice").length, 4);
  release({});
  assert.deepEqual(new Set((await Promise.all(asking)).map(({ status }) => status)), new Set([200]));
});

test("endpoints are listed for those who have an API key alone, without what is secret in them", async (t) => {
  const { url } = await backend(t);
  const server = await withHooks(t, `${url}?key=hush`, { events: ["a", "b:*"], on: ["join"], rooms: "team-*", secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }, KEYED);
  await new Caller(server, { user: "alice" }).refused(403, "forbidden", "GET", "/v1/hooks");
  assert.deepEqual(await endpoint(server), {
    url: `${url}?***`, events: ["a", "b:*"], on: ["join"], rooms: "team-*", timeout_ms: 3000, concurrency: 64, signed: true,
    state: "ok", in_flight: 0, waiting: 0, calls: 0, denied: 0, failures: 0, opened: 0,
  });
});

test("with a hundred calls at once each has its reply, and no more than configured are under way", async (t) => {
  let [now, most] = [0, 0];
  const { url } = await backend(t, async ({ args }) => {
    most = Math.max(most, (now += 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    now -= 1;
    return { ack: args };
  });
  const server = await withHooks(t, url, { events: ["a"], concurrency: 8 }, KEYED);
  const clients = await Promise.all(upTo(100).map((n) => open(t, server, { user: `u${n}` })));
  const acks = await Promise.all(clients.map((client, n) => acknowledged(client, "a", n)));
  assert.deepEqual(acks, upTo(100).map((n) => [n - 1]));
  assert.ok(most <= 8 && most >= 4, `${most} at once`);
  const { in_flight: inFlight, waiting, calls } = await endpoint(server);
  assert.deepEqual([inFlight, waiting, calls], [0, 0, 100]);
});

test("calls that find no place in time are not sent, and their clients are told", async (t) => {
  const { url, calls } = await backend(t, () => SILENCE);
  const server = await withHooks(t, url, { events: ["a"], concurrency: 2, timeout: "300ms" }, KEYED);
  const clients = await Promise.all(upTo(12).map((n) => open(t, server, { user: `u${n}` })));
  await Promise.all(clients.map((client) => unavailable(client, "a")));
  assert.ok(calls.items.length < 10, `${calls.items.length}`);
  assert.equal((await endpoint(server)).failures, 12);
});

test("while a call is under way its client is read no further than its inbox allows", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { url, calls } = await backend(t, ({ event }) => (event === "hold" ? held : {}));
  const server = await withHooks(t, url, { events: ["hold", "n"] , timeout: "20s" }, { "limits-inbox": 64, "limits-inbox-bytes": "1 MiB" });
  const alice = await open(t, server, { user: "alice" });
  const before = await server.memory();
  alice.socket.emit("hold", () => {});
  await calls.count(1);
  const text = "x".repeat(60_000);
  for (let n = 0; n < 1000; n += 1) alice.socket.emit("n", n, text);
  const { engine } = alice.socket.io;
  await eventually(() => engine.transport.ws.bufferedAmount > 10_000_000, "everything was read");
  assert.ok((await server.memory()) - before < 60, "the server holds what it has not handled");
  release({ ack: [] });
  await calls.count(1001, 60_000);
  assert.deepEqual(calls.items.slice(1).map(({ args }) => args[0]), upTo(1000).map((n) => n - 1));
});

test("what is no HTTP, or never ends, is a failure within its time", async (t) => {
  const replies = [
    "nonsense\r\n\r\n",
    `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(20_000)}`,
    "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
  ];
  for (const reply of replies) {
    const hostile = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.write(reply));
    }).listen(0, "127.0.0.1");
    await once(hostile, "listening");
    defer(t, () => hostile.close());
    const server = await withHooks(t, `http://127.0.0.1:${hostile.address().port}/`, { events: ["a"], timeout: "500ms" });
    const alice = await open(t, server, { user: "alice" });
    const began = Date.now();
    await unavailable(alice, "a");
    assert.ok(Date.now() - began < 3000, reply.slice(0, 40));
  }
});

test("when the server is killed with calls under way, clients come back and no call is made again", async (t) => {
  let silent = true;
  const { url, calls } = await backend(t, () => (silent ? SILENCE : { ack: ["again"] }));
  const server = await withHooks(t, url, { events: ["a"] });
  const alice = await open(t, server, { user: "alice" });
  alice.socket.emit("a", 1, () => assert.fail("it was acknowledged"));
  await calls.count(1);
  await server.kill();
  await server.start();
  await alice.session(2);
  silent = false;
  assert.deepEqual(await acknowledged(alice, "a", 2), ["again"]);
  assert.deepEqual(calls.items.map(({ args }) => args[0]), [1, 2]);
});

test("a client whose node is killed with its call under way continues on another one, with its state and its identity, and no call is made again", async (t) => {
  const { url, calls } = await backend(t, ({ type, event, args }) => {
    if (type === "connect") return { user: "u-1", state: { n: 1 } };
    if (event === "hold") return SILENCE;
    return { state: { n: args[0] }, ack: ["done"] };
  });
  const hooks = JSON.stringify([{ url, events: ["hold", "set"], on: ["connect"] }]);
  const [a, b] = await nodes(t, await redis(t), 2, { "hooks-call": hooks });
  const client = await follow(t, a, { user: "alice" });
  assert.deepEqual(await acknowledged(client, "set", 7), ["done"]);
  client.socket.emit("hold", () => assert.fail("it was acknowledged"));
  await calls.count(3);
  client.network.server = b;
  await a.kill();
  assert.deepEqual(await client.returns.count(1), [true]);
  await client.session(2);
  assert.deepEqual(await acknowledged(client, "set", 8), ["done"]);
  assert.deepEqual(calls.items.map(({ type, event, user, state }) => [type, event, user, state?.n]), [
    ["connect", undefined, "alice", undefined],
    ["event", "set", "u-1", 1],
    ["event", "hold", "u-1", 7],
    ["event", "set", "u-1", 7],
  ]);
});

test("a client that goes while its call is under way is a member until the reply is carried out, and its other calls share one time", async (t) => {
  const { url, calls } = await backend(t, async ({ args }) => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    return { do: [{ publish: { room: "log", data: args[0] } }] };
  });
  const server = await withHooks(t, url, { events: ["a"], timeout: "1s" });
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { user })));
  await bob.ok("join", "log");
  const seen = bob.on("message");
  for (const n of upTo(40)) alice.socket.emit("a", n);
  await calls.count(1);
  alice.socket.disconnect();
  await seen.count(2);
  assert.deepEqual(seen.items.map(([{ data }]) => data).slice(0, 2), [1, 2]);
  await eventually(async () => !(await bob.ask("presence", "log")).users?.some(({ user }) => user === "alice"), "alice is still there");
  assert.ok(calls.items.length < 20, `${calls.items.length} calls for a client that has gone`);
});
