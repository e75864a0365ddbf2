// Order: what one connection sends is stored in the order it was sent, and all members see one order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, start, upgrade, upTo } from "./support/clients.mjs";
import { eventually, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

test("twenty connections send 2,000 messages each without waiting: each one's order is kept, all members see one order", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-messages": 100_000 });
  const [connections, each] = [20, 2000];
  const total = connections * each;

  const members = await Promise.all([2, 3, 4].map((v) => open(t, server, { v, user: `member${v}` })));
  const seen = members.map((member) => {
    const messages = [];
    member.socket.on("message", ({ seq, data }) => messages.push([seq, ...data]));
    return messages;
  });
  for (const member of members) await member.ok("join", "lobby");

  const senders = await Promise.all(
    upTo(connections).map((i) =>
      // A polling client of version 4 divides its batches by the size the server tells it; older ones do not.
      open(t, server, i % 5 === 0 ? { v: 4, mode: "polling" } : { v: 2 + (i % 3), mode: "websocket" }),
    ),
  );
  const acks = senders.map(() => []);
  senders.forEach((sender, s) => {
    for (let i = 0; i < each; i += 1) {
      sender.socket.emit("message", { room: "lobby", data: [s, i], echo: false }, (ack) => acks[s].push(ack));
    }
  });
  const acked = () => acks.reduce((sum, list) => sum + list.length, 0);
  await eventually(() => acked() === total, "not every message was acknowledged", 100_000).catch((error) => {
    throw new Error(`${acked()} of ${total} were acknowledged`, { cause: error });
  });

  for (const list of acks) {
    const bad = list.find((ack) => !ack.ok);
    assert.equal(bad, undefined, JSON.stringify(bad));
    for (let i = 1; i < each; i += 1) assert.ok(list[i].seq > list[i - 1].seq, "acks come in the order of sending");
  }

  const stored = await members[2].history("lobby", 1000);
  assert.deepEqual(
    stored.map((message) => message.seq),
    upTo(total),
  );
  const next = senders.map(() => 0);
  for (const { data } of stored) {
    const [s, i] = data;
    assert.equal(i, next[s], `connection ${s} sent ${next[s]} before ${i}`);
    next[s] += 1;
  }

  const order = stored.map(({ seq, data }) => [seq, ...data]);
  for (const [m, messages] of seen.entries()) {
    await eventually(() => messages.length >= total, `member ${m} did not get all`, 60_000);
    assert.deepEqual(messages, order, `client ${members[m].v} sees the order of the log`);
  }
});

test("acks and events of one connection come in the order of what caused them", async (t) => {
  const server = await serve(t, UNLIMITED);
  for (const [v, mode] of [[2, "websocket"], [3, "polling"], [4, "websocket"]]) {
    const room = `room${v}`;
    const client = await open(t, server, { v, mode, user: "alice" });
    const log = [];
    client.socket.on("message", ({ data }) => log.push(data));
    await client.ok("join", room);
    const answers = [];
    for (let i = 0; i < 50; i += 1) {
      answers.push(client.ok("message", { room, data: i }));
      if (i === 24) answers.push(client.ok("leave", room).then(() => log.push("left")));
    }
    answers.push(client.ok("join", { room, history: 50 }).then(({ messages }) => log.push(messages.length)));
    await Promise.all(answers);
    assert.deepEqual(log, [...upTo(25).map((i) => i - 1), "left", 50], `client ${v}`);
  }
});

for (const v of [2, 3, 4]) {
  test(`what client ${v} sends and receives while it upgrades from polling comes once and in order`, async (t) => {
    const server = await serve(t, UNLIMITED);
    const writer = await open(t, server, { user: "writer" });
    for (let round = 0; round < 10; round += 1) {
      const room = `room${round}`;
      const client = start(t, server, { v, mode: "upgrade", user: "alice" });
      const received = client.on("message");
      const upgraded = upgrade(client.socket);
      let sent = 0;
      let over = false;
      upgraded.then(() => (over = true));
      await client.session();
      await client.ok("join", room);
      const acks = [];
      // Both sides write before, during and after the upgrade.
      while (!over || sent < 40) {
        acks.push(client.ok("message", { room, data: ["own", sent] }));
        await writer.ok("message", { room, data: ["other", sent] });
        sent += 1;
      }
      await within(upgraded, () => "the client did not upgrade");
      await Promise.all(acks);
      await received.count(2 * sent);
      const messages = received.items.map(([message]) => message);
      assert.deepEqual(
        messages.map((message) => message.seq),
        upTo(2 * sent),
      );
      for (const who of ["own", "other"]) {
        assert.deepEqual(
          messages.filter((message) => message.data[0] === who).map((message) => message.data[1]),
          upTo(sent).map((i) => i - 1),
          who,
        );
      }
      client.close();
    }
  });
}
