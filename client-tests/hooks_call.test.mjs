// Events that a back end answers over HTTP (`hooks.call`): arguments, acks, state, what a reply does, and in which order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { ARGUMENTS, withoutOffset } from "./support/arguments.mjs";
import { acknowledged, MATRIX, open, upTo } from "./support/clients.mjs";
import { away, follow } from "./support/follow.mjs";
import { backend, Response, withHooks } from "./support/hooks.mjs";
import { rawClient } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

// What a call's arguments were, with their binary values as buffers.
const opened = (value) => {
  if (Array.isArray(value)) return value.map(opened);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$binary === "string") return Buffer.from(value.$binary, "base64");
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, opened(each)]));
};

// The text of the arguments as they came, without the parsing of JavaScript.
const written = ({ request }) => request.text.slice(request.text.indexOf(',"args":') + 8, -1);

// Passes every event on to everybody, and acknowledges it with its arguments.
const echo = (call) => {
  const args = written(call);
  const name = JSON.stringify(call.event);
  return `{"ack":${args},"do":[{"emit":[${name}${args === "[]" ? "" : ","}${args.slice(1)},"to":"all"}]}`;
};

// In a call a binary value is written as an object.
const CASES = { ...ARGUMENTS, "what looks like a binary value": [[{ $binary: 1 }, { $binary: "AQI=", more: 1 }, "$binary"]] };

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode}: a back end gets arguments as they are, and its ack and its events arrive as they are`, async (t) => {
    const { url, calls } = await backend(t, echo);
    const server = await withHooks(t, url, { events: ["any"] });
    const sender = await open(t, server, { v, mode, user: "sender" });
    const receivers = await Promise.all([2, 3, 4].map((of) => open(t, server, { v: of, mode, user: `receiver-${of}` })));
    const seen = [sender, ...receivers].map((client) => client.on("any"));
    const cases = Object.entries(CASES);
    for (const [n, [what, [sent, arrives = sent]]] of cases.entries()) {
      assert.deepStrictEqual(await acknowledged(sender, "any", ...sent), arrives, what);
      if (!what.includes("binary value")) assert.deepStrictEqual(opened(calls.items[n].args), arrives, what);
    }
    for (const journal of seen) {
      await journal.count(cases.length);
      for (const [n, [what, [sent, arrives = sent]]] of cases.entries()) {
        assert.deepStrictEqual(withoutOffset(journal.items[n]), arrives, `${what}, ${journal.name}`);
      }
    }
  });

  test(`client ${v} over ${mode}: of twenty acks at once each comes to its own call, and no ack is one without values`, async (t) => {
    const { url } = await backend(t, (call) => (call.event === "silent" ? {} : { ack: call.args }));
    const server = await withHooks(t, url, { events: ["echo", "silent"] });
    const client = await open(t, server, { v, mode, user: "alice" });
    const sent = upTo(20).map((n) => [n, { n }]);
    assert.deepStrictEqual(await Promise.all(sent.map((args) => acknowledged(client, "echo", ...args))), sent);
    assert.deepStrictEqual(await acknowledged(client, "silent", 1), []);
  });
}

test("a call says who has sent what, from where, and is signed as Standard Webhooks says", async (t) => {
  const { url, calls } = await backend(t, () => ({ ack: [] }));
  const server = await withHooks(t, url, { events: ["createOrder", "cart:*"], secret: SECRET }, { node: "n1", "socketio-namespaces": "/,/shop" });
  const alice = await open(t, server, { user: "alice", namespace: "/shop" });
  await alice.ok("join", "lobby");
  await acknowledged(alice, "cart:add", { sku: 7 }, 2);
  const [{ request, ...call }] = calls.items;
  const { id, ts } = call;
  assert.deepEqual(call, {
    type: "event", id, ts, namespace: "/shop", connection: alice.me.connection, node: "n1", user: "alice", rooms: ["lobby"],
    event: "cart:add", args: [{ sku: 7 }, 2],
  });
  assert.ok(Math.abs(ts - Date.now()) < 60_000);
  assert.equal(request.method, "POST");
  assert.match(request.headers["content-type"], /^application\/json/);
  assert.equal(request.headers["webhook-id"], id);
  assert.equal(new Webhook(SECRET).verify(request.text, request.headers).id, id);
  assert.throws(() => new Webhook(SECRET).verify(`${request.text} `, request.headers));
  assert.throws(() => new Webhook("whsec_" + Buffer.alloc(32).toString("base64")).verify(request.text, request.headers));
});

test("names that hooks claim are theirs, whatever the contract says, and patterns take none from it", async (t) => {
  const { url, calls } = await backend(t, (call) => ({ ack: [call.event] }));
  const server = await withHooks(t, url, [{ events: ["message", "typing"] }, { events: ["*"] }]);
  const client = await open(t, server, { user: "alice" });
  for (const name of ["message", "typing", "5", "näme 🦀", 'quo"te', "back\\slash", "with blank", ""]) {
    assert.deepEqual(await acknowledged(client, /^\d+$/.test(name) ? Number(name) : name, 1), [name], name);
  }
  await client.ok("join", "lobby");
  assert.equal(calls.items.at(-1).event, "");
});

test("a state is kept with the connection, told in the next call, and survives a recovery", async (t) => {
  const { url, calls } = await backend(t, ({ state, args }) => ({ state: { n: (state?.n ?? 0) + args[0] }, ack: [state ?? null] }));
  const server = await withHooks(t, url, { events: ["add"] });
  const client = await follow(t, server, { user: "alice" });
  assert.deepEqual(await acknowledged(client, "add", 1), [null]);
  assert.deepEqual(await acknowledged(client, "add", 2), [{ n: 1 }]);
  assert.equal(await away(client, "cut"), true);
  assert.deepEqual(await acknowledged(client, "add", 3), [{ n: 3 }]);
  assert.equal(calls.items.length, 3);
});

test("a reply acts in order: before the ack or after it, as it is written", async (t) => {
  const reply = {
    first: '{"ack":["ack"],"do":[{"emit":["x",1]},{"emit":["x",2]}]}',
    last: '{"do":[{"emit":["x",3]},{"emit":["x",4]}],"ack":["ack"]}',
  };
  const { url } = await backend(t, ({ event }) => reply[event]);
  const server = await withHooks(t, url, { events: ["first", "last"] });
  const raw = await rawClient(t, server, { user: "alice" });
  raw.send('421["first"]');
  raw.send('422["last"]');
  await raw.frame("432");
  const told = raw.frames.items.filter((frame) => /^42\["x"|^43/.test(frame)).map((frame) => frame.replace(/,"\d+~"/, ""));
  assert.deepEqual(told, ['431["ack"]', '42["x",1]', '42["x",2]', '42["x",3]', '42["x",4]', '432["ack"]']);
});

test("a reply joins, leaves, emits to rooms, users and all, publishes and disconnects", async (t) => {
  const { url } = await backend(t, ({ args }) => ({ do: args }));
  const server = await withHooks(t, url, { events: ["do"] });
  const [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((user) => open(t, server, { user })));
  const seen = Object.fromEntries([alice, bob, carol].map((client) => [client.me.user, client.on("x")]));
  const numbersOf = (user) => seen[user].items.map(([n]) => n);
  await acknowledged(bob, "do", { join: "team" });
  await acknowledged(alice, "do",
    { join: "team" }, { emit: ["x", 1] }, { emit: ["x", 2], to: "team" }, { emit: ["x", 3], to: "team", except: "caller" },
    { emit: ["x", 4], to: { user: "carol" } }, { emit: ["x", 5], to: "all" }, { emit: ["x", 6], to: "all", except: "caller" },
    { publish: { room: "team", data: { n: 7 }, id: "seven" } }, { publish: { room: "team", event: "moved", data: 8 } }, { leave: "team" },
  );
  await seen.bob.count(4);
  await seen.carol.count(3);
  await eventually(() => numbersOf("alice").length === 3, "alice has not received what is hers");
  assert.deepEqual([numbersOf("bob"), numbersOf("carol")], [[2, 3, 5, 6], [4, 5, 6]]);
  assert.deepEqual(numbersOf("alice").toSorted(), [1, 2, 5]);
  const history = await bob.history("team");
  assert.deepEqual(history.map(({ id, event, data, from }) => [id.slice(0, 5), event, data, from.user]).map(([id, ...rest]) => [id === "seven" ? id : "", ...rest]),
    [["seven", "message", { n: 7 }, "alice"], ["", "moved", 8, "alice"]]);
  await alice.refused("history", { room: "team b" }, "bad_request");
  const ended = alice.on("disconnect");
  alice.socket.emit("do", { disconnect: "enough" });
  await ended.count(1);
  assert.deepEqual(ended.items[0][0], "io server disconnect");
  assert.deepEqual([alice.errors.items[0][0].code, alice.errors.items[0][0].message], ["forbidden", "enough"]);
});

test("an action that fails ends the list, and the client is told by the ack, or by an error where the ack has gone", async (t) => {
  const { url } = await backend(t, ({ event }) =>
    event === "first"
      ? '{"ack":[1],"do":[{"join":"user:bob"},{"emit":["x"]}]}'
      : '{"do":[{"publish":{"room":"r","event":"notification","data":1}},{"emit":["x"]}],"ack":[1]}',
  );
  const server = await withHooks(t, url, { events: ["first", "last"] });
  const alice = await open(t, server, { user: "alice" });
  const seen = alice.on("x");
  assert.deepEqual(await acknowledged(alice, "first"), [1]);
  await alice.errors.count(1);
  assert.equal(alice.errors.items[0][0].code, "forbidden");
  await alice.refused("last", 1, "bad_request");
  assert.deepEqual(seen.items, []);
});

test("a refusal reaches the client with the back end's own code and message, in the ack or as an error", async (t) => {
  const { url } = await backend(t, ({ event }) =>
    event === "deny" ? { deny: { code: "no_plan", message: "Buy one." } } : new Response(403, event === "bare" ? "" : '{"message":"no"}'),
  );
  const server = await withHooks(t, url, { events: ["deny", "forbid", "bare"] });
  const alice = await open(t, server, { user: "alice" });
  assert.deepEqual(await acknowledged(alice, "deny"), [{ ok: false, error: { code: "no_plan", message: "Buy one." } }]);
  assert.deepEqual(await acknowledged(alice, "forbid"), [{ ok: false, error: { code: "forbidden", message: "no" } }]);
  await alice.refused("bare", 1, "forbidden");
  alice.socket.emit("deny");
  await alice.errors.count(1);
  assert.deepEqual(alice.errors.items[0], [{ event: "deny", code: "no_plan", message: "Buy one." }]);
});

test("calls of one connection are made one at a time, in the order of its events, and those of many at once", async (t) => {
  const under = new Map();
  let most = 0;
  const { url, calls } = await backend(t, async ({ connection, args }) => {
    assert.ok(!under.has(connection), "two calls of one connection at once");
    under.set(connection, true);
    most = Math.max(most, under.size);
    await new Promise((resolve) => setTimeout(resolve, args[0] % 7));
    under.delete(connection);
    return { ack: args };
  });
  const server = await withHooks(t, url, { events: ["n"] });
  const clients = await Promise.all(upTo(10).map((n) => open(t, server, { user: `u${n}` })));
  const acks = clients.map(() => []);
  for (let n = 0; n < 100; n += 1) clients.forEach((client, i) => client.socket.emit("n", n, (value) => acks[i].push(value)));
  await eventually(() => acks.every((values) => values.length >= 100), "not every call was acknowledged");
  for (const client of clients) {
    const own = calls.items.filter(({ connection }) => connection === client.me.connection).map(({ args }) => args[0]);
    assert.deepEqual(own, upTo(100).map((n) => n - 1));
  }
  for (const values of acks) assert.deepEqual(values, upTo(100).map((n) => n - 1));
  assert.ok(most > 3, `at most ${most} at once`);
});

test("an event of the contract behind a call waits for it, and one before it is done first", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { url, calls } = await backend(t, () => held);
  const server = await withHooks(t, url, { events: ["slow"] });
  const alice = await open(t, server, { user: "alice" });
  const order = [];
  alice.socket.emit("join", "a", () => order.push("join"));
  alice.socket.emit("message", { room: "a", data: 1 }, () => order.push("message"));
  alice.socket.emit("slow", () => order.push("slow"));
  alice.socket.emit("message", { room: "a", data: 2 }, () => order.push("behind"));
  await calls.count(1);
  await eventually(() => order.length === 2, "what came before is not done");
  assert.deepEqual(order, ["join", "message"]);
  assert.deepEqual(calls.items[0].rooms, ["a"]);
  release({ ack: [] });
  await eventually(() => order.length === 4, "what came behind is not done");
  assert.deepEqual(order, ["join", "message", "slow", "behind"]);
});

for (const how of ["cut", "lose"]) {
  test(`a client that comes back (${how}) while its call is under way gets what the reply does, and its next call is made after that`, async (t) => {
    let release;
    const held = new Promise((resolve) => (release = resolve));
    let under = 0;
    const { url, calls } = await backend(t, async ({ event, state }) => {
      under += 1;
      assert.equal(under, 1, "two calls of one connection at once");
      if (event === "slow") await held;
      under -= 1;
      return event === "slow" ? { state: { slow: true }, do: [{ join: "team" }, { emit: ["done", 1] }] } : { ack: [state] };
    });
    const server = await withHooks(t, url, { events: ["slow", "next"], timeout: "10s" });
    const client = await follow(t, server, { user: "alice" });
    const done = client.on("done");
    client.socket.emit("slow");
    await calls.count(1);
    assert.equal(await away(client, how), true);
    const next = acknowledged(client, "next");
    setTimeout(release, 200);
    assert.deepEqual(await next, [{ slow: true }]);
    await done.count(1);
    const { members } = await client.ok("join", "team");
    assert.equal(members.count, 1);
    assert.deepEqual(calls.items.map(({ event, rooms }) => [event, rooms]), [["slow", []], ["next", ["team"]]]);
  });
}
