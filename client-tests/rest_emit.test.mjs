// Events that a back end emits over REST, `POST /v1/emit`: to whom, with which arguments, and what is refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MATRIX, open } from "./support/clients.mjs";
import { nodes } from "./support/nodes.mjs";
import { redis } from "./support/redis.mjs";
import { serve } from "./support/server.mjs";
import { Caller } from "./support/web.mjs";

const KEY = "the-key-of-a-back-end";
const OPTIONS = { "auth-api-keys": KEY };

const emits = (server) => {
  const back = new Caller(server, { key: KEY });
  return (emit, to) => back.ok(202, "POST", "/v1/emit", { body: { emit, to } });
};

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode} gets the arguments as they are`, async (t) => {
    const server = await serve(t, OPTIONS);
    const alice = await open(t, server, { v, mode, user: "alice" });
    const got = alice.on("any");
    const args = [1.5, { a: [null, "é🦀"] }, { $binary: "AQID" }, { nested: [{ $binary: "" }] }, true];
    await emits(server)(["any", ...args], "all");
    const [items] = await got.count(1);
    assert.deepEqual(items, [1.5, { a: [null, "é🦀"] }, Buffer.from([1, 2, 3]), { nested: [Buffer.alloc(0)] }, true]);
  });
}

test("a room's members get it, a user's connections, or everybody, on every node", async (t) => {
  const servers = await nodes(t, await redis(t), 2, OPTIONS);
  const clients = [];
  for (const [n, user] of ["alice", "bob", "alice", "carol"].entries()) clients.push(await open(t, servers[n % 2], { user }));
  for (const n of [0, 1]) await clients[n].ok("join", "lobby");
  const seen = clients.map((client) => client.on("told"));
  const emit = emits(servers[0]);
  await emit(["told", "lobby"], "lobby");
  await emit(["told", "alice"], { user: "alice" });
  await emit(["told", "all"], "all");
  await emit(["told", "nobody"], "elsewhere");
  await emit(["told", "end"], "all");
  const expected = [["lobby", "alice", "all", "end"], ["lobby", "all", "end"], ["alice", "all", "end"], ["all", "end"]];
  for (const [n, journal] of seen.entries()) {
    const items = await journal.until((all) => all.some(([first]) => first === "end") && all, "the end");
    // An event of a room and one of all take different ways between nodes.
    assert.deepEqual(items.map(([first]) => first).toSorted(), expected[n].toSorted(), `client ${n}`);
  }
});

test("wrong calls are refused, and so is everybody without a key", async (t) => {
  const server = await serve(t, OPTIONS);
  const back = new Caller(server, { key: KEY });
  for (const body of [{}, { emit: ["a"] }, { emit: [], to: "all" }, { emit: "a", to: "all" }, { emit: [1], to: "all" }, { emit: ["connect"], to: "all" }, { emit: ["a", { $binary: "?" }], to: "all" }, { emit: ["a"], to: "a b" }, { emit: ["a"], to: 1 }, { emit: ["a"], to: { users: "a" } }, []]) {
    await back.refused(400, "bad_request", "POST", "/v1/emit", { body });
  }
  await new Caller(server, { user: "alice" }).refused(403, "forbidden", "POST", "/v1/emit", { body: { emit: ["a"], to: "all" } });
});
