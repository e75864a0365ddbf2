// API keys: which are accepted, how they are configured, and that they are in no response and no log.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { serve, Server } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { call, Caller, isRefusal } from "./support/web.mjs";

const PLAIN = "a-plain-key-of-enough-characters";
const HASHED = "a-hashed-key-of-enough-characters";
const sha256 = (key) => `sha256:${createHash("sha256").update(key).digest("hex")}`;
const KICK = "/v1/rooms/lobby/members/bob";

test("each of several keys may do everything, in plain text or by its hash", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET, "auth-api-keys": `${PLAIN}, ${sha256(HASHED)}` });
  for (const key of [PLAIN, HASHED]) {
    const backEnd = new Caller(server, { key });
    await backEnd.say("lobby", 1);
    await backEnd.say("user:bob", 1, { event: "notification" });
    await backEnd.get("/v1/rooms/user:bob/messages");
    await backEnd.ok(200, "DELETE", KICK);
    await backEnd.ok(200, "DELETE", "/v1/users/bob/connections");
  }
});

test("a key that is none of them is 401, however near it comes", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET, "auth-api-keys": `${PLAIN},${sha256(HASHED)}` });
  for (const key of [
    undefined,
    "x",
    PLAIN.slice(0, -1),
    `${PLAIN}x`,
    PLAIN.toUpperCase(),
    sha256(HASHED),
    sha256(PLAIN),
    sha256(HASHED).slice("sha256:".length),
    `${PLAIN},${sha256(HASHED)}`,
    sign({ sub: "alice" }, PLAIN),
  ]) {
    isRefusal(await call(server, "DELETE", KICK, { key }), 401, "unauthorized", key);
    isRefusal(await call(server, "GET", "/v1/rooms", { key }), 401, "unauthorized", key);
  }
  isRefusal(await call(server, "DELETE", KICK, { headers: { authorization: `Basic ${btoa(`x:${PLAIN}`)}` } }), 401, "unauthorized");
});

test("a key comes in the Authorization header and nowhere else", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET, "auth-api-keys": PLAIN, "auth-cookie": "session" });
  isRefusal(await call(server, "DELETE", KICK, { query: { token: PLAIN } }), 401, "unauthorized");
  isRefusal(await call(server, "DELETE", KICK, { headers: { cookie: `session=${PLAIN}` } }), 401, "unauthorized");
  assert.equal((await call(server, "DELETE", KICK, { headers: { authorization: `bearer ${PLAIN}` } })).status, 200);
});

test("a key is a back end's and opens no connection", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET, "auth-api-keys": PLAIN });
  isRefusal(await call(server, "GET", "/events/lobby", { key: PLAIN }), 401, "unauthorized");
});

test("without configured keys no caller is a back end", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET });
  isRefusal(await call(server, "DELETE", KICK, { key: PLAIN }), 401, "unauthorized");
  isRefusal(await call(server, "DELETE", KICK, { key: sign({ sub: "alice" }) }), 403, "forbidden");
});

test("in open mode a key makes a back end, and a wrong one does not", async (t) => {
  const server = await serve(t, { "auth-api-keys": PLAIN });
  const sent = await new Caller(server, { key: PLAIN }).say("lobby", 1, { from: "bob" });
  assert.equal(sent.seq, 1);
  const wrong = await call(server, "DELETE", KICK, { key: `${PLAIN}x` });
  assert.ok([401, 403].includes(wrong.status), `${wrong.status}`);
  await new Caller(server, { user: "alice" }).say("lobby", 2);
});

for (const [what, keys] of [
  ["shorter than twenty characters", "short"],
  ["no hash although it says so", "sha256:abc"],
  ["a good one beside a bad one", `${PLAIN},short`],
]) {
  test(`a server whose key is ${what} does not start, and does not say the key`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "switchboard-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await assert.rejects(new Server({ "auth-api-keys": keys }, folder).start(), (error) => {
      assert.match(error.message, /auth\.api_keys/);
      assert.ok(!error.message.includes(PLAIN), "the key is in the complaint");
      return true;
    });
  });
}

test("an API key is in no response and no log line", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET, "auth-api-keys": PLAIN, "log-filter": "trace" });
  const token = sign({ sub: "alice" });
  const answers = [
    await call(server, "GET", "/v1/rooms", { key: PLAIN }),
    await call(server, "DELETE", KICK, { key: PLAIN }),
    await call(server, "GET", "/v1/rooms", { key: `${PLAIN}x` }),
    await call(server, "GET", "/v1/nothing", { key: PLAIN }),
    await call(server, "GET", "/poll/lobby", { query: { token } }),
    await call(server, "GET", "/metrics"),
  ];
  for (const { text } of answers) assert.ok(!text.includes(PLAIN));
  assert.ok(!server.log.includes(PLAIN), "the key is in the log");
  assert.ok(!server.log.includes(token), "a token of an address is in the log");
});
