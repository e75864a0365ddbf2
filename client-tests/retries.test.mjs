// Events that stock clients send again (`retries`): a back end is called once, and whoever repeats an event has its first answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { acknowledged, open } from "./support/clients.mjs";
import { follow } from "./support/follow.mjs";
import { backend, Response, withHooks } from "./support/hooks.mjs";
import { redis } from "./support/redis.mjs";
import { eventually, Journal } from "./support/scope.mjs";

const IDEMPOTENT = { "socketio-idempotent": "order,cart:*" };

// A back end that numbers its replies, and gives none until it is told to.
async function desk(t) {
  let [count, open] = [0, () => {}];
  const opened = new Promise((resolve) => (open = resolve));
  const { url, calls } = await backend(t, async () => {
    await opened;
    return { ack: [{ number: (count += 1) }] };
  });
  return { url, calls, open };
}

const serveOrders = (t, url, options = {}) => withHooks(t, url, { events: ["order", "cart:*", "other"] }, { ...IDEMPOTENT, ...options });

// Patient with the back end, and soon tired of waiting for an ack.
const RETRIES = { retries: 1_000, ackTimeout: 100 };

// Sends an event, and tells how often `name` was sent altogether and what the ack is.
function retried(client, name, ...args) {
  const sends = new Journal(`sends of ${name}`);
  const watch = () => client.socket.io.engine.on("packetCreate", ({ data }) => /^[25]/.test(data) && data.includes(`"${name}"`) && sends.add(data));
  watch();
  client.socket.io.on("open", watch);
  const acked = new Promise((resolve, reject) => client.socket.emit(name, ...args, (error, ack) => (error ? reject(error) : resolve(ack))));
  return { sends, acked };
}

for (const mode of ["polling", "websocket"]) {
  test(`over ${mode} a client that has no ack in time sends its event again, and the back end is called once`, async (t) => {
    const { url, calls, open: reply } = await desk(t);
    const server = await serveOrders(t, url);
    const client = await open(t, server, { mode, user: "alice", ...RETRIES });
    const { sends, acked } = retried(client, "order", { id: "a1", file: Buffer.from("x") });
    await sends.count(4);
    reply();
    assert.deepEqual(await acked, { number: 1 });
    assert.deepEqual(await retried(client, "order", { id: "a2", file: Buffer.from("x") }).acked, { number: 2 });
    assert.equal(calls.items.length, 2);
  });
}

for (const [what, lose] of [["is lost without a word", "lose"], ["is cut", "cut"], ["brings no ack any more", "mute"]]) {
  test(`a client whose connection ${what} while its event is answered has that answer when it comes back`, async (t) => {
    const { url, calls, open: reply } = await desk(t);
    const server = await serveOrders(t, url);
    const client = await follow(t, server, { user: "alice", ...RETRIES, ackTimeout: 1_000 });
    const { sends, acked } = retried(client, "order", { id: "a1" });
    await calls.count(1);
    client.network[lose]();
    reply();
    if (lose === "mute") await sends.count(2);
    client.network.mend();
    assert.deepEqual(await acked, { number: 1 });
    assert.equal(calls.items.length, 1);
  });
}

test("another node has the answer of the one that the client has lost, also while that is still waiting for it", async (t) => {
  const { url, calls, open: reply } = await desk(t);
  const store = { store: "redis", "redis-url": (await redis(t)).url };
  const [a, b] = await Promise.all(["a", "b"].map((node) => serveOrders(t, url, { ...store, node })));
  const client = await follow(t, a, { user: "alice", ...RETRIES, ackTimeout: 1_000 });
  const { sends, acked } = retried(client, "order", { id: "a1" });
  await calls.count(1);
  client.network.server = b;
  client.network.lose();
  client.network.mend();
  await sends.count(2);
  reply();
  assert.deepEqual(await acked, { number: 1 });
  assert.deepEqual(calls.items.map(({ node }) => node), ["a"]);
  assert.deepEqual(await retried(client, "order", { id: "a2" }).acked, { number: 2 });
  assert.equal(calls.items[1].node, "b");
});

test("only the same event of the same user with the same arguments is the same, and only where the server says so", async (t) => {
  const { url, calls, open: reply } = await desk(t);
  const server = await serveOrders(t, url, { "socketio-namespaces": "/,/shop" });
  reply();
  const [alice, again, shop, bob] = await Promise.all(
    [["alice"], ["alice"], ["alice", "/shop"], ["bob"]].map(([user, namespace]) => open(t, server, { user, namespace })),
  );
  const answers = async (client, ...args) => (await acknowledged(client, ...args))[0]?.number;
  assert.equal(await answers(alice, "order", { id: 1 }), 1);
  assert.equal(await answers(alice, "order", { id: 1 }), 1);
  assert.equal(await answers(again, "order", { id: 1 }), 1);
  assert.equal(await answers(shop, "order", { id: 1 }), 2);
  assert.equal(await answers(bob, "order", { id: 1 }), 3);
  assert.equal(await answers(alice, "order", { id: 1 }, 2), 4);
  assert.equal(await answers(alice, "cart:add", { id: 1 }), 5);
  assert.equal(await answers(alice, "cart:add", Buffer.from("a")), 6);
  assert.equal(await answers(alice, "cart:add", Buffer.from("b")), 7);
  assert.equal(await answers(alice, "cart:add", Buffer.from("a")), 6);
  assert.equal(await answers(alice, "other", { id: 1 }), 8);
  assert.equal(await answers(alice, "other", { id: 1 }), 9);
  // Without an ack nobody waits for an answer.
  for (let n = 0; n < 2; n += 1) alice.socket.emit("order", "without ack");
  await calls.count(11);
});

test("an error is no answer: the back end is called again", async (t) => {
  const replies = [new Response(500), { deny: { code: "sold_out", message: "none is left" } }, { ack: ["bought"] }];
  const { url, calls } = await backend(t, () => replies.shift());
  const server = await withHooks(t, url, { events: ["order"] }, IDEMPOTENT);
  const alice = await open(t, server, { user: "alice" });
  const ask = async () => {
    const [ack] = await acknowledged(alice, "order", { id: 1 });
    return ack.error?.code ?? ack;
  };
  assert.equal(await ask(), "unavailable");
  assert.equal(await ask(), "sold_out");
  assert.equal(await ask(), "bought");
  assert.equal(await ask(), "bought");
  assert.equal(calls.items.length, 3);
});

test("an answer is kept for as long as the server says", async (t) => {
  const { url, open: reply } = await desk(t);
  const server = await serveOrders(t, url, { "history-idempotency": "1s" });
  reply();
  const alice = await open(t, server, { user: "alice" });
  const began = Date.now();
  assert.deepEqual(await acknowledged(alice, "order", 1), [{ number: 1 }]);
  const [{ number }] = await eventually(async () => {
    const ack = await acknowledged(alice, "order", 1);
    return ack[0].number === 1 ? null : ack;
  }, "the answer is not forgotten");
  assert.equal(number, 2);
  assert.ok(Date.now() - began > 950);
});
