// Arguments of an application's own events arrive as they were sent, whether the event is relayed by configuration or handled by a
// handler (examples/own_events.rs), between stock clients of every version; and acks return what a handler gives them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ARGUMENTS, withoutOffset } from "./support/arguments.mjs";
import { acknowledged, MATRIX, open } from "./support/clients.mjs";
import { rawClient } from "./support/raw.mjs";
import { example, serve, UNLIMITED } from "./support/server.mjs";

const handled = (t) => serve(t, { ...UNLIMITED }, example("own_events"));

// Servers that pass the same events on to everybody, their sender included.
const KINDS = {
  "a relay": (t) => serve(t, { ...UNLIMITED, "socketio-relay": "*=all" }),
  "a handler": handled,
};

const NAMES = ["any", "5", "näme 🦀", 'quo"te', "back\\slash", "separated\u2028lines", "with blank", "new\nline", ""];

for (const [kind, start] of Object.entries(KINDS)) {
  for (const { v, mode } of MATRIX) {
    test(`client ${v} over ${mode}: what it sends through ${kind} arrives as it is at clients 2, 3 and 4`, async (t) => {
      const server = await start(t);
      const sender = await open(t, server, { v, mode, user: "sender" });
      const receivers = await Promise.all([2, 3, 4].map((of) => open(t, server, { v: of, mode, user: `receiver-${of}` })));
      const seen = [sender, ...receivers].map((client) => client.on("any"));
      const cases = Object.entries(ARGUMENTS);
      for (const [, [sent]] of cases) sender.socket.emit("any", ...sent);
      for (const journal of seen) {
        await journal.count(cases.length);
        for (const [n, [what, [sent, arrives = sent]]] of cases.entries()) {
          assert.deepStrictEqual(withoutOffset(journal.items[n]), arrives, `${what}, ${journal.name}`);
        }
      }
    });
  }

  for (const v of [2, 3, 4]) {
    test(`client ${v}: an event of any name passes ${kind}`, async (t) => {
      const server = await start(t);
      const client = await open(t, server, { v, user: "alice" });
      for (const name of NAMES) {
        const seen = client.on(name);
        // All versions send a number as a number, and listen to it as to its digits.
        client.socket.emit(/^\d+$/.test(name) ? Number(name) : name, 1, Buffer.from(name));
        await seen.count(1);
        assert.deepStrictEqual(seen.items, [[1, Buffer.from(name)]], name);
      }
    });
  }
}

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode}: an ack of a handler has as many values as it gives, of any kind`, async (t) => {
    const client = await open(t, await handled(t), { v, mode, user: "alice" });
    assert.deepStrictEqual(await acknowledged(client, "silent", 1, 2), []);
    assert.deepStrictEqual(await acknowledged(client, "message-with-ack", 1, "2", { 3: [false] }), [1, "2", { 3: [false] }]);
    for (const [what, [sent, arrives = sent]] of Object.entries(ARGUMENTS)) {
      assert.deepStrictEqual(await acknowledged(client, "message-with-ack", ...sent), arrives, what);
    }
  });

  test(`client ${v} over ${mode}: of twenty acks at once each comes to its own call`, async (t) => {
    const client = await open(t, await handled(t), { v, mode, user: "alice" });
    const calls = Array.from({ length: 20 }, (_, n) => [n, { n }, ...(n % 3 === 0 ? [Buffer.from([n])] : [])]);
    const acks = await Promise.all(calls.map((args) => acknowledged(client, "message-with-ack", ...args)));
    assert.deepStrictEqual(acks, calls);
  });
}

// Frames by hand, to a handler that acknowledges with its arguments: what it was given.
async function attach(raw, id, text, buffers) {
  raw.send(`45${buffers.length}-${id}["message-with-ack",${text}]`);
  for (const buffer of buffers) raw.send(buffer);
}

test("placeholders may name their buffers in any order, with any spelling", async (t) => {
  const raw = await rawClient(t, await handled(t), { user: "alice" });
  await raw.frame('42["auth"');
  const buffers = [Buffer.from("zero"), Buffer.from("one")];
  for (const [n, text] of [
    '{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}',
    '{"num":1,"_placeholder":true},{"num":0,"_placeholder":true}',
    '{"\\u005fplaceholder":true,"num":1},{"_placeholder":true,"n\\u0075m":0}',
    // As JavaScript reads them: of a repeated field the last counts, and more fields do not matter.
    '{"_placeholder":true,"num":0,"num":1},{"_placeholder":true,"num":0,"more":1}',
  ].entries()) {
    const start = raw.frames.items.length;
    await attach(raw, n, text, buffers);
    await raw.frames.until((frames) => frames.length >= start + 3, text);
    const [ack, ...given] = raw.frames.items.slice(start);
    assert.equal(ack, `462-${n}[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, text);
    assert.deepEqual(given, buffers.toReversed(), text);
  }
});

test("placeholders that no stock client sends are refused, and the handler is not called", async (t) => {
  const raw = await rawClient(t, await handled(t), { user: "alice" });
  const buffers = [Buffer.from("zero"), Buffer.from("one")];
  for (const [n, text] of [
    '{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}',
    '{"_placeholder":true,"num":2}',
    '{"_placeholder":true,"num":-1}',
    '{"_placeholder":true,"num":0.5}',
    '{"_placeholder":true,"num":"0"}',
    '{"_placeholder":true,"num":null}',
    '{"_placeholder":true}',
    '[[{"deep":{"_placeholder":true,"num":99}}]]',
  ].entries()) {
    await attach(raw, n, text, buffers);
    const ack = await raw.frame(`43${n}[`);
    const [{ ok, error }] = JSON.parse(ack.slice(3));
    assert.deepEqual([ok, error.code], [false, "bad_request"], text);
  }
});

test("a buffer that no placeholder names is left out, and a placeholder without buffers is an object", async (t) => {
  const raw = await rawClient(t, await handled(t), { user: "alice" });
  await attach(raw, 1, '{"_placeholder":true,"num":1}', [Buffer.from("zero"), Buffer.from("one")]);
  assert.equal(await raw.frame("46"), '461-1[{"_placeholder":true,"num":0}]');
  await raw.frames.until((frames) => frames.some((frame) => Buffer.isBuffer(frame) && frame.equals(Buffer.from("one"))));
  raw.send('422["message-with-ack",{"_placeholder":true,"num":0}]');
  assert.equal(await raw.frame("432"), '432[{"_placeholder":true,"num":0}]');
});
