// A Redis that answers and takes no writes: clients are told when to come back, the node says that it is not ready and why, its
// log and its Redis stay quiet, and once writes are taken again all goes on.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { open } from "./support/clients.mjs";
import { nodes } from "./support/nodes.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { call } from "./support/web.mjs";

const OUTAGES = [
  {
    how: "out of memory",
    code: "OOM",
    begin: (store) => store.cli("CONFIG", "SET", "maxmemory", 1),
    end: (store) => store.cli("CONFIG", "SET", "maxmemory", 0),
  },
  {
    how: "a replica",
    code: "READONLY",
    begin: (store) => store.cli("REPLICAOF", "127.0.0.1", 1),
    end: (store) => store.cli("REPLICAOF", "NO", "ONE"),
  },
];

const lines = (node) => node.log.split("\n").length;

async function health(node) {
  const asked = promisify(execFile)(node.program, ["health", `--listen=${node.address}`]);
  return asked.then(
    ({ stdout }) => [0, stdout],
    ({ code, stderr }) => [code, stderr],
  );
}

for (const { how, code, begin, end } of OUTAGES) {
  test(`while Redis is ${how} the node is not ready, says why, and is quiet`, async (t) => {
    const store = await redis(t);
    const [node] = await nodes(t, store, 1);
    const [alice, bob] = await Promise.all([open(t, node, { user: "alice" }), open(t, node, { user: "bob" })]);
    for (const client of [alice, bob]) await client.ok("join", "lobby");
    const heard = bob.on("message");
    for (let i = 1; i <= 20; i += 1) await alice.ok("message", { room: "lobby", id: `before-${i}`, data: i });
    assert.equal((await health(node))[0], 0);

    await begin(store);
    const readiness = () => call(node, "GET", "/readyz");
    await eventually(async () => (await readiness()).status === 503, "it is still ready", 8_000);
    const said = await readiness();
    assert.equal(said.body.code, "unavailable");
    assert.match(said.body.message, new RegExp(`write fails.*${code}`));
    const asked = await health(node);
    assert.equal(asked[0], 1);
    assert.match(asked[1], new RegExp(code));
    const refused = await alice.ask("message", { room: "lobby", id: "kept", data: "kept" });
    assert.equal(refused.error.code, "unavailable");
    assert.ok(refused.error.retry_after_ms > 0, JSON.stringify(refused));
    assert.match((await call(node, "GET", "/metrics")).text, /switchboard_ready\{check="write"\} 0/);

    await store.cli("CLIENT", "KILL", "TYPE", "pubsub");
    const before = lines(node);
    for (let i = 0; i < 100; i += 1) {
      assert.equal((await alice.ask("message", { room: "lobby", id: "kept", data: "kept" })).ok, false);
      await pause(20);
    }
    assert.ok(lines(node) - before <= 10, node.log.split("\n").slice(before).join("\n"));

    await end(store);
    await eventually(async () => (await readiness()).status === 200, "it is not ready again", 3_000);
    await eventually(async () => (await alice.ask("message", { room: "lobby", id: "kept", data: "kept" })).ok, "still refused", 3_000);
    await heard.until((items) => items.length === 21, "all messages");
    const { ok, messages } = await bob.ask("history", { room: "lobby", limit: 100 });
    assert.ok(ok);
    assert.deepEqual(messages.map(({ id }) => id), [...Array.from({ length: 20 }, (_, i) => `before-${i + 1}`), "kept"]);
    assert.match((await call(node, "GET", "/metrics")).text, /switchboard_ready\{check="write"\} 1/);
    assert.match(node.log, /storage fails.*write/);
    assert.match(node.log, /storage works again.*write/);
  });
}
