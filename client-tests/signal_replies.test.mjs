// What clients pass to a signal's ack: nothing, one value, several, something binary, too much, twice, too late.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MATRIX, open } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { nodes } from "./support/nodes.mjs";
import { rawClient } from "./support/raw.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

// How a client answers, and what the asker reads beside who it was.
const ANSWERS = [
  ["nothing", (ack) => ack(), {}],
  ["undefined", (ack) => ack(undefined), { data: null }],
  ["null", (ack) => ack(null), { data: null }],
  ["a list", (ack) => ack([1, 2]), { data: [1, 2] }],
  ["several values", (ack) => ack(1, "two", { three: 3 }), { data: [1, "two", { three: 3 }], arguments: 3 }],
  ["no error, and a value", (ack) => ack(null, "data"), { data: [null, "data"], arguments: 2 }],
  ["an error", (ack) => ack(new Error("x")), { data: {} }],
  ["twice", (ack) => (ack("first"), ack("second")), { data: "first" }],
];
const BINARY = [
  ["a buffer", (ack) => ack(Buffer.from([1, 2, 3]))],
  ["a buffer in a value", (ack) => ack(1, { list: [{ bytes: Buffer.from([1, 2, 3]) }] })],
];

// Has `client` answer the next signal by `answer`.
function answering(client, answer) {
  client.socket.removeAllListeners("signal");
  client.socket.once("signal", (_, ack) => answer(ack));
}

const question = { to: { user: "bob" }, event: "question", data: 1, timeout_ms: 5000 };

// What bob's only connection has replied, without who it was.
const replyOf = async (asker, bob, answer) => {
  answering(bob, answer);
  const { replies, missing } = await asker.ok("signal", question);
  assert.deepEqual([replies.length, missing], [1, 0]);
  const { user, connection, ...rest } = replies[0];
  assert.deepEqual([user, connection], ["bob", bob.me.connection]);
  return rest;
};

async function everyAnswerArrives(asker, bob) {
  for (const [what, answer, expected] of ANSWERS) {
    assert.deepEqual(await replyOf(asker, bob, answer), expected, what);
  }
  const errors = bob.errors.items.length;
  for (const [i, [what, answer]] of BINARY.entries()) {
    const { error, ...rest } = await replyOf(asker, bob, answer);
    assert.deepEqual([error.code, rest], ["bad_request", {}], what);
    assert.match(error.message, /binary/);
    const told = (await bob.errors.count(errors + i + 1)).at(-1)[0];
    assert.deepEqual(told, { event: "signal", ...error }, "who answered reads the same");
  }
  assert.deepEqual(await replyOf(asker, bob, (ack) => ack("still here")), { data: "still here" });
}

for (const { v, mode } of MATRIX) {
  test(`whatever client ${v} over ${mode} passes to an ack arrives, or is refused with a reason`, async (t) => {
    const server = await serve(t);
    const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { v, mode, user })));
    for (const client of [alice, bob]) await client.ok("join", "lobby");
    await everyAnswerArrives(alice, bob);
  });
}

test("replies come from another node unchanged", async (t) => {
  const [a, b] = await nodes(t, await redis(t), 2);
  const alice = await open(t, a, { user: "alice" });
  const bob = await open(t, b, { user: "bob", v: 3, mode: "polling" });
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  await eventually(async () => {
    answering(bob, (ack) => ack("here"));
    return (await alice.ask("signal", question)).replies?.length === 1;
  }, "bob cannot be reached");
  await everyAnswerArrives(alice, bob);
});

test("a reply larger or deeper than data may be is refused, and both sides get an error", async (t) => {
  const server = await serve(t, { "limits-message-bytes": 1000, "limits-nesting": 8 });
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { user })));
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const deep = JSON.parse("[".repeat(9) + "]".repeat(9));
  for (const answer of [(ack) => ack("x".repeat(1000)), (ack) => ack("x".repeat(500), "x".repeat(500)), (ack) => ack(deep)]) {
    const { error, ...rest } = await replyOf(alice, bob, answer);
    assert.deepEqual([error.code, rest], ["too_large", {}]);
  }
  await bob.errors.count(3);
  assert.deepEqual(await replyOf(alice, bob, (ack) => ack("x".repeat(998))), { data: "x".repeat(998) });
});

test("an ack that is not an array is refused, and a late one is dropped", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  const bob = await rawClient(t, server, { user: "bob" });
  bob.send('421["join",{"room":"lobby"}]');
  await bob.frame("431");
  const asked = async (n) => {
    const start = (frames) => frames.filter((frame) => frame.includes('["signal",'))[n];
    return (await bob.frames.until(start, `signal ${n}`)).match(/^42(\d+)\[/)[1];
  };
  for (const [n, text] of ["[1,", "[1,]", "[1 2]"].entries()) {
    const replies = alice.ok("signal", question);
    bob.send(`43${await asked(n)}${text}`);
    const [{ error }] = (await replies).replies;
    assert.equal(error.code, "bad_request", text);
    await bob.frames.until((frames) => frames.filter((frame) => frame.startsWith('42["error"'))[n], "the error");
  }
  const late = await alice.ok("signal", { ...question, timeout_ms: 50 });
  assert.deepEqual([late.replies, late.missing], [[], 1]);
  const id = await asked(3);
  for (const text of ['["late"]', '["later"]', "[,]"]) bob.send(`43${id}${text}`);
  const literal = alice.ok("signal", question);
  bob.send(`43${await asked(4)}["a",{"_placeholder":true,"num":0}]`);
  assert.equal((await literal).replies[0].error.code, "bad_request", "a client would take it for an attachment");
  await settled(alice, [alice]);
  assert.deepEqual(alice.errors.items, []);
});
