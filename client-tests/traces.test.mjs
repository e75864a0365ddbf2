// Traces: which spans a collector is sent, and that they have the right parents, from the client over the server to a hook and back.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { acknowledged, MATRIX, open, upTo } from "./support/clients.mjs";
import { collector } from "./support/collector.mjs";
import { stream } from "./support/events.mjs";
import { backend, withHooks } from "./support/hooks.mjs";
import { caller, KEY, withNotify } from "./support/notify.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { call, Caller } from "./support/web.mjs";
import { peer } from "./support/websocket.mjs";

// The standard's variables are for every program: servers of these tests send what they have five times a second.
process.env.OTEL_BSP_SCHEDULE_DELAY = "200";

const hex = (bytes) => randomBytes(bytes).toString("hex");
// A span of somebody else's, and the header that says so.
const parent = (flags = "01") => {
  const [trace, id] = [hex(16), hex(8)];
  return { trace, id, headers: { traceparent: `00-${trace}-${id}-${flags}` } };
};
const parsed = (traceparent) => {
  const [, trace, id, flags] = traceparent.match(/^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/);
  return { trace, id, flags };
};
// The one span that `fits`, once there is one.
const one = (spans, name, fits = () => true) =>
  spans.until((items) => items.find((span) => span.name === name && fits(span)), `a span ${name}`);
const childOf = (span, { trace, id }, what) => assert.deepEqual({ trace: span.trace, parent: span.parent }, { trace, parent: id }, what);

// A message over REST is a span of its own that the server has sent when this returns, so that what was before it has been sent, too.
async function flushed(spans, server, who) {
  const last = parent();
  await call(server, "GET", "/v1/rooms/last/messages", { ...who, headers: last.headers });
  await spans.until((items) => items.some(({ trace }) => trace === last.trace), "the last span");
}

test("a message over REST is a span with the caller's for a parent, and storing it is one below", async (t) => {
  const { spans, requests, url } = await collector(t);
  const server = await serve(t, { "traces-endpoint": url, "auth-api-keys": KEY, node: "n1" });
  const back = new Caller(server, { key: KEY });
  const asked = parent();
  const stored = await back.say("lobby", "hello", {});
  await back.ok(201, "POST", "/v1/rooms/lobby/messages", { body: { data: 2 }, headers: { ...asked.headers, tracestate: "vendor=1" } });
  const request = await one(spans, "POST /v1/rooms/{room}/messages", ({ trace }) => trace === asked.trace);
  childOf(request, asked);
  assert.equal(request.kind, "server");
  assert.equal(request.state, "vendor=1");
  assert.deepEqual(request.resource, { "service.name": "switchboard", "service.version": request.resource["service.version"], "service.instance.id": "n1" });
  const { "switchboard.request_id": id, ...attributes } = request.attributes;
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(attributes, {
    "http.request.method": "POST", "http.route": "/v1/rooms/{room}/messages", "url.path": "/v1/rooms/lobby/messages", "http.response.status_code": 201,
  });
  const append = await one(spans, "append", ({ trace }) => trace === asked.trace);
  childOf(append, request);
  assert.deepEqual(append.attributes, { "switchboard.room": "lobby", "switchboard.seq": 2, "switchboard.duplicate": false });
  assert.ok(request.from <= append.from && append.to <= request.to, "an append is within its request");
  // Without a parent it begins a trace of its own.
  const first = await one(spans, "append", (span) => span.attributes["switchboard.seq"] === stored.seq);
  const root = spans.items.find((span) => span.id === first.parent);
  assert.deepEqual([root.name, root.parent], [request.name, ""]);
  assert.deepEqual([requests.items[0].url, requests.items[0].headers["content-type"]], ["/v1/traces", "application/x-protobuf"]);
});

test("a refused request is a failed span that says why", async (t) => {
  const { spans, url } = await collector(t);
  const server = await serve(t, { "traces-endpoint": url, "limits-message-bytes": "100 B" });
  const alice = await open(t, server, { user: "alice" });
  await alice.refused("message", { room: "lobby", data: "x".repeat(200) }, "too_large");
  await alice.refused("join", { room: {} }, "bad_request");
  const publish = await one(spans, "publish");
  assert.deepEqual([publish.failed, publish.attributes["error.type"]], [true, "too_large"]);
  const invalid = await one(spans, "invalid");
  assert.deepEqual([invalid.failed, invalid.attributes["error.type"]], [true, "bad_request"]);
});

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode}: what its handshake began goes on over hooks, and in what the back end does next`, async (t) => {
    const { spans, url: endpoint } = await collector(t);
    let server;
    const { url, calls } = await backend(t, async ({ type }, request) => {
      if (type !== "publish") return { ack: [] };
      // As a traced back end does: it calls the server in the same trace.
      const { traceparent } = request.headers;
      await call(server, "POST", "/v1/rooms/audit/messages", { key: KEY, headers: { traceparent }, body: { data: "seen" } });
      return {};
    });
    const hooks = [{ on: ["connect", "join", "publish"] }, { events: ["order"] }];
    server = await withHooks(t, url, hooks, { "traces-endpoint": endpoint, "auth-api-keys": KEY });
    const handshake = parent();
    const alice = await open(t, server, { v, mode, user: "alice", extraHeaders: handshake.headers });
    await alice.ok("join", "lobby");
    await alice.ok("message", { room: "lobby", data: 1 });
    await acknowledged(alice, "order", 1);

    const connect = await one(spans, "connect");
    childOf(connect, handshake, "connect");
    assert.deepEqual(connect.attributes, { "switchboard.namespace": "/", "switchboard.connection": alice.me.connection });
    const told = Object.fromEntries(calls.items.map(({ type, request }) => [type, parsed(request.headers.traceparent)]));
    for (const [type, name] of [["connect", "connect"], ["join", "join"], ["publish", "publish"], ["event", "event"]]) {
      const hook = await one(spans, `hook ${type}`);
      const above = name === "connect" ? connect : await one(spans, name);
      childOf(hook, above, type);
      if (above !== connect) childOf(above, connect, name);
      assert.deepEqual(told[type], { trace: handshake.trace, id: hook.id, flags: "01" }, type);
      assert.deepEqual([hook.kind, hook.attributes["http.response.status_code"]], ["client", 200]);
      assert.ok(hook.attributes["switchboard.endpoint"].startsWith(url));
    }
    const request = await one(spans, "POST /v1/rooms/{room}/messages");
    childOf(request, told.publish, "the back end's request");
    childOf(await one(spans, "append", (span) => span.attributes["switchboard.room"] === "audit"), request);
    childOf(await one(spans, "append", (span) => span.attributes["switchboard.room"] === "lobby"), await one(spans, "publish"));
  });
}

test("a client whose handshake says nothing begins a trace with each event", async (t) => {
  const { spans, url } = await collector(t);
  const server = await serve(t, { "traces-endpoint": url });
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  for (const data of upTo(3)) await alice.ok("message", { room: "lobby", data });
  await flushed(spans, server);
  const roots = spans.items.filter(({ parent }) => parent === "").map(({ name }) => name);
  assert.deepEqual(roots, ["connect", "join", "publish", "publish", "publish"]);
  assert.equal(new Set(spans.items.map(({ trace }) => trace)).size, 6);
  const events = spans.items.filter(({ name }) => name === "publish");
  for (const { attributes } of events) {
    assert.deepEqual(attributes, { "switchboard.connection": alice.me.connection, "switchboard.event": "message", "switchboard.room": "lobby" });
  }
});

test("a plain WebSocket, a stream of events and a poll have their request's span above them", async (t) => {
  const { spans, url } = await collector(t);
  const server = await serve(t, { "traces-endpoint": url });
  const [ws, sse, poll] = upTo(3).map(() => parent());
  const bob = await peer(t, server, { user: "bob", room: "lobby", headers: ws.headers });
  await bob.ok("text", { room: "lobby", data: 1 });
  await stream(t, server, { user: "carol", room: "lobby", headers: sse.headers });
  await call(server, "GET", "/poll/lobby", { user: "dan", headers: poll.headers });
  for (const [name, above] of [["GET /ws/{room}", ws], ["GET /events/{room}", sse]]) {
    const request = await one(spans, name);
    childOf(request, above, name);
    const connect = await one(spans, "connect", ({ parent }) => parent === request.id);
    if (above === ws) childOf(await one(spans, "publish"), connect, "its events");
  }
  childOf(await one(spans, "GET /poll/{room}"), poll);
});

test("a message to a room of twenty is one append: deliveries have no spans", async (t) => {
  const { spans, url } = await collector(t);
  const server = await serve(t, { "traces-endpoint": url });
  const members = await Promise.all(upTo(20).map((n) => open(t, server, { user: `user-${n}` })));
  const seen = members.map((member) => member.on("message"));
  for (const member of members) await member.ok("join", "lobby");
  await members[0].ok("message", { room: "lobby", data: "to all" });
  for (const journal of seen) await journal.count(1);
  await flushed(spans, server);
  const counts = {};
  for (const { name } of spans.items) counts[name] = (counts[name] ?? 0) + 1;
  assert.deepEqual(counts, { connect: 20, join: 20, publish: 1, append: 1, "GET /v1/rooms/{room}/messages": 1 });
});

test("who gives a parent decides whether a trace is exported, and traces.sample for all others", async (t) => {
  const { spans, url: endpoint } = await collector(t);
  const { url, calls } = await backend(t);
  for (const [sample, unasked] of [["0", "00"], ["1", "01"]]) {
    const server = await withHooks(t, url, { on: ["connect"] }, { "traces-endpoint": endpoint, "traces-sample": sample });
    for (const flags of ["01", "00"]) {
      const handshake = parent(flags);
      await open(t, server, { user: "alice", extraHeaders: handshake.headers });
      const { trace, flags: told } = parsed(calls.items.at(-1).request.headers.traceparent);
      assert.deepEqual([trace, told], [handshake.trace, flags], "a hook is told the same");
      await flushed(spans, server);
      assert.equal(spans.items.some(({ trace }) => trace === handshake.trace), flags === "01", `sample ${sample}, flags ${flags}`);
    }
    await open(t, server, { user: "bob" });
    const { trace, flags } = parsed(calls.items.at(-1).request.headers.traceparent);
    assert.equal(flags, unasked);
    await flushed(spans, server);
    assert.equal(spans.items.some((span) => span.trace === trace), unasked === "01");
  }
});

test("a back end that is told what happened gets a span of each attempt", async (t) => {
  const { spans, url: endpoint } = await collector(t);
  const back = await backend(t);
  const server = await withNotify(t, back.url, ["message"], { "traces-endpoint": endpoint });
  await caller(server).say("lobby", "hello");
  const [{ request }] = await back.calls.count(1);
  const hook = await one(spans, "hook notify");
  assert.deepEqual([hook.parent, hook.attributes["http.response.status_code"]], ["", 200]);
  assert.deepEqual(parsed(request.headers.traceparent), { trace: hook.trace, id: hook.id, flags: "01" });
});

test("without a collector nothing is traced: hooks get no traceparent, even if a client sends one", async (t) => {
  const { url, calls } = await backend(t);
  const server = await withHooks(t, url, { on: ["connect"] });
  await open(t, server, { user: "alice", extraHeaders: parent().headers });
  assert.equal(calls.items[0].request.headers.traceparent, undefined);
});

test("the standard's variables name collector, service and headers", async (t) => {
  const { spans, requests, url } = await collector(t);
  const variables = {
    OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SERVICE_NAME: "chat", OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test", OTEL_EXPORTER_OTLP_HEADERS: "x-key=secret",
  };
  Object.assign(process.env, variables);
  t.after(() => Object.keys(variables).forEach((name) => delete process.env[name]));
  const server = await serve(t, {});
  await open(t, server, { user: "alice" });
  const { resource } = await one(spans, "connect");
  assert.deepEqual([resource["service.name"], resource["deployment.environment.name"]], ["chat", "test"]);
  assert.deepEqual([requests.items[0].url, requests.items[0].headers["x-key"]], ["/v1/traces", "secret"]);
});

test("a collector that fails costs clients nothing, is logged once, and again when it takes traces", async (t) => {
  let status = 503;
  const { spans, requests, url } = await collector(t, { status: () => status });
  const server = await serve(t, { "traces-endpoint": url });
  const alice = await open(t, server, { user: "alice" });
  for (const data of upTo(20)) await alice.ok("message", { room: "lobby", data });
  await requests.count(1);
  await eventually(() => server.log.includes("sending traces failed"), "the line of the log");
  status = 200;
  await eventually(async () => {
    await alice.ok("message", { room: "lobby", data: "again" });
    return server.log.includes("traces are sent again");
  }, "the other line of the log");
  assert.equal(server.log.match(/sending traces failed/g).length, 1);
  assert.ok(spans.items.length > 0);
});

test("a server that is stopped has sent what it did last, and stops although its collector is silent", async (t) => {
  const { spans, url } = await collector(t);
  const delay = process.env.OTEL_BSP_SCHEDULE_DELAY;
  process.env.OTEL_BSP_SCHEDULE_DELAY = "60000";
  t.after(() => (process.env.OTEL_BSP_SCHEDULE_DELAY = delay));
  const server = await serve(t, { "traces-endpoint": url });
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("message", { room: "lobby", data: "last" });
  assert.equal(spans.items.length, 0);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.ok(spans.items.some(({ name }) => name === "append"));

  const silent = await collector(t, { status: () => new Promise(() => {}) });
  const other = await serve(t, { "traces-endpoint": silent.url });
  await open(t, other, { user: "alice" });
  const began = Date.now();
  assert.deepEqual(await other.stop(), { code: 0, signal: null });
  assert.ok(Date.now() - began < 8000, `${Date.now() - began} ms`);
});

test("whatever a client says its trace is, it is served, and nothing of it is kept that is wrong or long", async (t) => {
  const { spans, url: endpoint } = await collector(t);
  const { url, calls } = await backend(t);
  const server = await withHooks(t, url, { on: ["connect"] }, { "traces-endpoint": endpoint });
  const { trace, id } = parent();
  const wrong = ["", "x", "00", `00-${"0".repeat(32)}-${id}-01`, `00-${trace}-${"0".repeat(16)}-01`, `ff-${trace}-${id}-01`, `00-${trace.toUpperCase()}-${id}-01`, "-".repeat(2000), "é".repeat(50)];
  for (const traceparent of wrong) {
    await open(t, server, { user: "mallory", extraHeaders: { traceparent: Buffer.from(traceparent).toString("latin1") } });
    const told = parsed(calls.items.at(-1).request.headers.traceparent);
    assert.notEqual(told.trace, trace, traceparent);
  }
  const long = parent();
  await open(t, server, { user: "mallory", extraHeaders: { ...long.headers, tracestate: upTo(32).map((n) => `v${n}=${"x".repeat(100)}`).join(",") } });
  const { request } = calls.items.at(-1);
  assert.equal(parsed(request.headers.traceparent).trace, long.trace);
  assert.equal(request.headers.tracestate ?? "", "");
  await flushed(spans, server);
  assert.equal((await one(spans, "connect", (span) => span.trace === long.trace)).state, "");
});
