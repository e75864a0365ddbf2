// The forms of requests by clients, back ends, monitors and pages, and of errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { open } from "./support/clients.mjs";
import { stream } from "./support/events.mjs";
import { serve } from "./support/server.mjs";
import { call, isRefusal } from "./support/web.mjs";
import { peer } from "./support/websocket.mjs";

const KEY = "a-key-of-a-back-end-long-enough";

test("rooms, users and message ids may be numbers, and fields of the application's own are passed over", async (t) => {
  const server = await serve(t, { "auth-api-keys": KEY });
  const alice = await open(t, server, { user: "7" });
  const messages = alice.on("message");
  assert.equal((await alice.ok("join", 42)).room, "42");
  assert.equal((await alice.ok("message", { room: 42, id: 12345, data: 1, trace: { of: "ours" } })).id, "12345");
  assert.equal((await alice.ok("history", { room: 42, limit: 1, shown: true })).messages[0].id, "12345");
  await alice.ok("status", { status: "away", since: "noon" });

  const bob = await peer(t, server, { user: "bob" });
  bob.raw({ type: "text", room: 42, id: 9, data: 2, client: "ours" });
  assert.equal((await bob.next("ack")).id, "9");
  const body = { data: 3, id: 10, from: { user: 7, name: "Seven", avatar: "a.png" }, trace: "x" };
  const sent = await call(server, "POST", "/v1/rooms/42/messages", { key: KEY, body, query: { of: "ours" } });
  assert.deepEqual([sent.status, sent.body.id], [201, "10"]);
  await messages.count(3);
  assert.deepEqual(messages.items.map(([message]) => message.from.user), ["7", "bob", "7"]);
});

test("errors name the field and what is expected, on every transport", async (t) => {
  const server = await serve(t, { "auth-api-keys": KEY });
  const alice = await open(t, server, { user: "alice" });
  for (const [event, payload, message] of [
    ["join", { room: true }, "room: a string or a whole number is expected, not a truth value"],
    ["join", { room: "r", history: "10" }, "history: a whole number, 0 or more, is expected, not a string"],
    ["read", { room: "r", seq: "1" }, "seq: a whole number, 0 or more, is expected, not a string"],
    ["message", { room: "r" }, "data: is missing"],
    ["message", { data: 1 }, "room: is missing"],
  ]) {
    assert.equal((await alice.refused(event, payload, "bad_request")).message, message);
  }
  const refused = async (options, path = "/v1/rooms/r/messages", method = "POST") => {
    const answer = await call(server, method, path, { key: KEY, ...options });
    isRefusal(answer, 400, "bad_request");
    return answer.body.message;
  };
  assert.equal(await refused({ body: { data: 1, ephemeral: 1 } }), "ephemeral: true or false is expected, not 1");
  assert.equal(await refused({ body: { event: "e" } }), "data: is missing");
  assert.equal(await refused({ query: { limit: "many" } }, "/v1/rooms", "GET"), "limit: a whole number is expected");
});

test("an error without an ack names a room only if the event takes one", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  for (const [event, payload, room] of [
    ["chat message", "hello", undefined],
    ["chat message", { room: "lobby" }, undefined],
    ["message", "hello", undefined],
    ["leave", "lobby", "lobby"],
    ["message", { room: "lobby" }, "lobby"],
  ]) {
    const before = alice.errors.items.length;
    alice.socket.emit(event, payload);
    await alice.errors.count(before + 1);
    const [error] = alice.errors.items[before];
    assert.deepEqual([error.event, error.room], [event, room]);
  }
});

test("a body that is not plain JSON is refused with 415, and JSON of any kind is taken", async (t) => {
  const server = await serve(t, { "auth-api-keys": KEY });
  const post = (type, raw, headers) =>
    call(server, "POST", "/v1/rooms/r/messages", { key: KEY, raw, headers: { "content-type": type, ...headers } });
  for (const type of ["application/json; charset=utf-8", "application/vnd.api+json", "text/json", 'application/json;charset="UTF-8"']) {
    assert.equal((await post(type, '{"data":1}')).status, 201, type);
  }
  assert.equal((await post("application/json", '\ufeff{"data":1}')).status, 201, "a byte order mark");
  for (const [type, raw, headers] of [
    ["application/json", gzipSync('{"data":1}'), { "content-encoding": "gzip" }],
    ["application/json; charset=utf-16", Buffer.from('{"data":1}', "utf16le")],
    ["text/plain", '{"data":1}'],
  ]) {
    isRefusal(await post(type, raw, headers), 415, "bad_request", type);
  }
});

test("an event that EventSource fires by itself cannot be published, by any way in", async (t) => {
  const server = await serve(t, { "auth-api-keys": KEY });
  const alice = await open(t, server, { user: "alice" });
  const bob = await peer(t, server, { user: "bob" });
  for (const event of ["open", "error"]) {
    for (const ephemeral of [true, false]) {
      const body = { event, data: 1, ephemeral };
      const error = await alice.refused("publish", { room: "r", ...body }, "bad_request");
      assert.match(error.message, /reserved/);
      bob.raw({ type: "event", room: "r", id: event, data: body });
      assert.match((await bob.next("error")).data.message, /reserved/);
      isRefusal(await call(server, "POST", "/v1/rooms/r/messages", { key: KEY, body }), 400, "bad_request");
    }
  }
});

test("a stream resumes from the cursor in its URL, in every spelling, and from the newest of several", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("message", { room: "news", data: 1 });
  const first = await stream(t, server, { room: "news", user: "bob", query: { history: 1 } });
  const { id: start } = await first.nth("session");
  await alice.ok("message", { room: "news", data: 2 });
  const { id: middle } = await first.nth("message", 2);
  await alice.ok("message", { room: "news", data: 3 });
  for (const [query, headers, data] of [
    [{ since: middle }, {}, 3],
    ...["lastEventId", "Last-Event-ID", "last-event-id", "lastEventID"].map((name) => [{ [name]: middle }, {}, 3]),
    [{ since: start, lastEventId: middle }, {}, 3],
    [{ since: start, lastEventId: start }, { "last-event-id": middle }, 3],
  ]) {
    const back = await stream(t, server, { room: "news", user: "bob", query, headers });
    assert.equal((await back.nth("message")).data.data, data, JSON.stringify([query, headers]));
  }
  const lost = await stream(t, server, { room: "news", user: "bob", query: { lastEventId: "of another server" } });
  await lost.nth("reset");
});

test("a polyfill's request from a listed page may have its headers, and gets a readable response", async (t) => {
  const server = await serve(t, { "http-origins": "https://app.example" });
  const origin = "https://app.example";
  const headers = { origin, "access-control-request-method": "GET", "access-control-request-headers": "authorization,cache-control,last-event-id" };
  const preflight = await call(server, "OPTIONS", "/events/news", { headers });
  assert.equal(preflight.headers.get("access-control-allow-origin"), origin);
  const allowed = preflight.headers.get("access-control-allow-headers").toLowerCase();
  for (const name of ["authorization", "cache-control", "last-event-id"]) assert.ok(allowed.includes(name), allowed);
  const head = await fetch(`${server.url}/events/news?user=alice`, { method: "HEAD", headers: { origin } });
  assert.deepEqual(
    ["content-type", "x-accel-buffering", "access-control-allow-origin"].map((name) => head.headers.get(name)),
    ["text/event-stream", "no", origin],
  );
  const polled = await fetch(`${server.url}/poll/news?user=alice`, { method: "HEAD", signal: AbortSignal.timeout(10_000) });
  assert.equal(polled.status, 200, "without a wait");
});

test("monitors and load balancers get responses in the form they request", async (t) => {
  const server = await serve(t);
  for (const path of ["/healthz", "/healthz/", "/readyz", "/readyz/", "/metrics", "/metrics/", "/"]) {
    for (const method of ["GET", "HEAD"]) {
      const answer = await fetch(server.url + path, { method });
      assert.equal(answer.status, 200, `${method} ${path}`);
      await answer.text();
    }
  }
  assert.equal((await call(server, "POST", "/")).status, 404);
});
