// Bursts: ten thousand messages, sent as fast as possible, reach every client that keeps reading, each once, in order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, start, upgrade, upTo } from "./support/clients.mjs";
import { eventually, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const MESSAGES = 10_000;
const IN_FLIGHT = 500;
const OPTIONS = { ...UNLIMITED, "history-messages": 100_000 };
const LIMIT = 60_000;

// Sends 1 to `n`, with as many in flight as the server takes, and calls `onAck` with how many are stored.
async function burst(client, n, onAck = () => {}) {
  let [sent, stored] = [0, 0];
  const lane = async () => {
    while (sent < n) {
      sent += 1;
      await client.ok("message", { room: "lobby", data: sent, echo: false });
      onAck((stored += 1));
    }
  };
  await Promise.all(upTo(IN_FLIGHT).map(lane));
}

// The numbers of the messages that `client` hears.
function listen(client) {
  const heard = [];
  client.socket.on("message", ({ data }) => heard.push(data));
  return heard;
}

const inOrder = (heard) => heard.every((n, i) => i === 0 || n === heard[i - 1] + 1);

for (const mode of ["websocket", "polling"]) {
  test(`${MESSAGES} messages in one burst reach five ${mode} clients, each once and in order`, async (t) => {
    const server = await serve(t, OPTIONS);
    const writer = await open(t, server, { user: "writer" });
    const readers = await Promise.all(upTo(5).map((i) => open(t, server, { mode, user: `reader${i}` })));
    const heard = readers.map(listen);
    const gone = readers.map((reader) => reader.on("disconnect"));
    const returns = [];
    for (const reader of readers) {
      await reader.ok("join", "lobby");
      reader.socket.on("connect", () => returns.push(reader.socket.recovered));
    }
    const writing = burst(writer, MESSAGES);
    for (const [i, numbers] of heard.entries()) {
      await eventually(() => numbers.length >= MESSAGES, `reader ${i} did not hear all`, LIMIT).catch((error) => {
        throw new Error(`${error.message}: ${numbers.length}, in order ${inOrder(numbers)}, ${returns}`);
      });
      assert.ok(numbers.length === MESSAGES && numbers[0] === 1 && inOrder(numbers), `reader ${i}`);
    }
    await writing;
    if (mode === "websocket") assert.deepEqual(gone.flatMap((journal) => journal.items), [], "nobody was closed");
    assert.ok(returns.every((recovered) => recovered === true), `${returns}`);
  });
}

test("clients that connect, upgrade and join during a burst hear everything from their join on", async (t) => {
  const server = await serve(t, OPTIONS);
  const writer = await open(t, server, { user: "writer" });
  const { epoch } = await writer.ok("join", "lobby");
  const last = MESSAGES / 2;
  const latecomers = [];
  const come = async (i, stored) => {
    const client = start(t, server, { mode: "upgrade", user: `late${i}` });
    const upgraded = upgrade(client.socket);
    const heard = [];
    const returns = client.on("connect");
    await client.session();
    const since = i % 2 ? { since: { epoch, seq: stored } } : { history: 20 };
    const joined = new Promise((resolve) => {
      client.socket.emit("join", { room: "lobby", ...since }, (ack) => {
        // In the order in which the client hears of them.
        heard.push(...(ack.messages ?? []).map((message) => message.data));
        resolve(ack);
      });
    });
    client.socket.on("message", ({ data }) => heard.push(data));
    const ack = await within(joined, () => `late${i} was not answered`, LIMIT);
    assert.equal(ack.ok, true, JSON.stringify(ack));
    if (ack.messages.length > 0) assert.equal(heard[0], ack.messages[0].data, "nothing comes before the answer");
    if (i % 2 && ack.recovered) assert.equal(ack.messages[0]?.data ?? stored + 1, stored + 1);
    await within(upgraded, () => `late${i} did not upgrade`, LIMIT);
    await eventually(() => heard.at(-1) >= last, `late${i} did not hear the last, but ${heard.at(-1)}`, LIMIT);
    assert.ok(inOrder(heard), `late${i} has a gap: ${heard.find((n, at) => at > 0 && n !== heard[at - 1] + 1)}`);
    assert.equal(returns.items.length, 1, `late${i} had to come back`);
  };
  await burst(writer, last, (stored) => {
    // Ten of them, at equal distances.
    if (stored % (last / 10) === 100) latecomers.push(come(latecomers.length, stored));
  });
  assert.equal(latecomers.length, 10);
  await Promise.all(latecomers);
});
