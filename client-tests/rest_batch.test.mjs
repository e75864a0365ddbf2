// Batches: many calls in one request, in order, each with a response.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { call, Caller, isRefusal } from "./support/web.mjs";

const KEY = "an-api-key-of-enough-characters";
const KEYED = { ...UNLIMITED, "auth-hmac-secret": SECRET, "auth-api-keys": KEY };
const MESSAGES = "/v1/rooms/lobby/messages";
const say = (data, more) => ({ method: "POST", path: MESSAGES, body: { data, ...more } });

async function batch(caller, requests) {
  const { responses } = await caller.ok(200, "POST", "/v1/batch", { body: { requests } });
  return responses;
}

test("a batch is executed in order, and its responses are in order", async (t) => {
  const server = await serve(t, KEYED);
  const backEnd = new Caller(server, { key: KEY });
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  const heard = bob.on("message");
  await bob.ok("join", "lobby");
  const responses = await batch(backEnd, [...upTo(99).map((n) => say(n)), { method: "GET", path: `${MESSAGES}?limit=1000` }]);
  assert.equal(responses.length, 100);
  assert.deepEqual(responses.slice(0, 99).map(({ status, body }) => [status, body.seq]), upTo(99).map((seq) => [201, seq]));
  const last = responses.at(-1);
  assert.deepEqual([last.status, last.body.messages.map(({ data }) => data)], [200, upTo(99)], "what went before is seen");
  await heard.count(99);
  assert.deepEqual(heard.items.map(([{ data }]) => data), upTo(99));
});

test("one call that fails has its own error, and the others go on", async (t) => {
  const server = await serve(t, { ...KEYED, "limits-message-bytes": 1000 });
  const backEnd = new Caller(server, { key: KEY });
  const responses = await batch(backEnd, [
    say(1, { id: "one" }),
    say(2, { id: "one" }),
    { method: "POST", path: MESSAGES, body: {} },
    say("x".repeat(1000)),
    { method: "GET", path: "/v1/nothing" },
    { method: "DELETE", path: MESSAGES },
    { method: "GET", path: "/v1/rooms/white%20space" },
    { method: "POST", path: "/v1/batch", body: { requests: [] } },
    { method: "GET", path: "/healthz" },
    { method: "GET", path: "https://elsewhere.example/v1/rooms" },
    { method: "GET", path: "" },
    { method: "DELETE", path: "/v1/rooms/lobby/members/bob" },
    say("last", { event: "e", ephemeral: true }),
    say("last"),
  ]);
  assert.deepEqual(responses.map(({ status, body }) => [status, body.code]).slice(0, 7), [
    [201, undefined],
    [200, undefined],
    [400, "bad_request"],
    [413, "too_large"],
    [404, "not_found"],
    [405, "bad_request"],
    [400, "bad_request"],
  ]);
  assert.equal(responses[1].body.duplicate, true);
  assert.deepEqual([responses[7].status, responses[7].body.code], [400, "bad_request"], "a batch in a batch");
  for (const { status } of responses.slice(8, 11)) assert.ok([400, 404].includes(status), `${status}`);
  assert.deepEqual(responses.slice(11).map(({ status }) => status), [200, 202, 201]);
  for (const { status, body } of responses.filter((each) => each.status >= 400)) {
    assert.equal(typeof body.message, "string", `${status}`);
  }
  assert.equal(responses.at(-1).body.seq, 2);
});

test("each call of a user's batch may do what the user may", async (t) => {
  const server = await serve(t, KEYED);
  const alice = new Caller(server, { key: sign({ sub: "alice", rooms: [{ match: "lobby", can: ["publish"] }] }) });
  const responses = await batch(alice, [
    say(1),
    say(2, { from: "bob" }),
    { method: "GET", path: MESSAGES },
    { method: "DELETE", path: "/v1/users/alice/connections" },
    { method: "GET", path: "/v1/users/alice" },
  ]);
  assert.deepEqual(responses.map(({ status }) => status), [201, 403, 403, 403, 200]);
});

test("a batch that is none is refused as a whole, and nothing of it is done", async (t) => {
  const server = await serve(t, KEYED);
  const backEnd = new Caller(server, { key: KEY });
  for (const body of [
    {},
    [],
    { requests: 7 },
    { requests: upTo(101).map((n) => say(n)) },
    { requests: [say(1), {}] },
    { requests: [say(1), { method: "GET" }] },
    { requests: [say(1), { method: 7, path: "/v1/rooms" }] },
    { requests: [say(1), { method: "BREW", path: "/v1/rooms" }] },
  ]) {
    const { status, body: answer, text } = await backEnd.call("POST", "/v1/batch", { body });
    // One that has too many may also be too large.
    assert.ok([400, 413].includes(status), `${JSON.stringify(body).slice(0, 100)} → ${status} ${text.slice(0, 200)}`);
    assert.ok(["bad_request", "too_large", "limit_reached"].includes(answer.code), answer.code);
  }
  assert.equal((await backEnd.get(MESSAGES)).seq, 0);
  assert.deepEqual(await batch(backEnd, []), []);
  isRefusal(await call(server, "POST", "/v1/batch", { body: { requests: [] } }), 401, "unauthorized");
});
