// Notifications: kept messages in a user's personal room, sent by who may, found later by a user who was not there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MATRIX, open, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const KEYED = { "auth-hmac-secret": SECRET };
const NOTIFIER = [
  { match: "*", can: ["join", "publish", "history", "presence"] },
  { match: "user:*", can: ["publish"] },
];

const notifier = (t, server, options) =>
  open(t, server, { ...options, query: { token: sign({ sub: "alice", name: "Alice", rooms: NOTIFIER }) } });
const user = (t, server, sub, options) => open(t, server, { ...options, query: { token: sign({ sub }) } });
const notify = (data, more) => ({ room: "user:bob", event: "notification", data, ...more });
const data = (messages) => messages.map((message) => message.data);

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode} is notified in every tab`, async (t) => {
    const server = await serve(t, KEYED);
    const alice = await notifier(t, server, { v, mode });
    const tabs = await Promise.all(upTo(2).map(() => user(t, server, "bob", { v, mode })));
    const others = [alice, await user(t, server, "bobby", { v, mode })];
    const atTabs = tabs.map((tab) => tab.on("notification"));
    const elsewhere = others.map((client) => client.on("notification"));

    const ack = await alice.ok("publish", notify({ title: "hällo 🦀" }));
    assert.equal(ack.room, "user:bob");
    assert.equal(ack.seq, 1);
    for (const journal of atTabs) {
      const [[message, offset]] = await journal.count(1);
      assert.deepEqual(message, {
        room: "user:bob",
        id: ack.id,
        seq: 1,
        event: "notification",
        from: { user: "alice", name: "Alice" },
        data: { title: "hällo 🦀" },
        ts: ack.ts,
      });
      assert.equal(typeof offset, "string");
      assert.notEqual(offset, "");
    }

    for (const client of others) await client.ok("join", "lobby");
    await settled(alice, others);
    assert.deepEqual(elsewhere.map((journal) => journal.items), [[], []], "nobody else is told");
  });
}

test("a user who was not there finds what came, by join or by history, after a kill of the server too", async (t) => {
  const server = await serve(t, KEYED);
  const alice = await notifier(t, server, { reconnection: false });
  const { epoch } = await alice.ok("publish", notify(1));
  for (const n of [2, 3]) await alice.ok("publish", notify(n));
  await server.kill();
  await server.start();

  const bob = await user(t, server, "bob");
  const received = bob.on("notification");
  const all = await bob.ok("join", { room: "user:bob", since: `${epoch}:0` });
  assert.deepEqual(data(all.messages), [1, 2, 3]);
  assert.equal(all.recovered, true);
  for (const { event, room, from } of all.messages) {
    assert.deepEqual([event, room, from], ["notification", "user:bob", { user: "alice", name: "Alice" }]);
  }
  assert.deepEqual(data((await bob.ok("join", { room: "user:bob", since: `${epoch}:2` })).messages), [3]);
  assert.deepEqual(data((await bob.ok("history", "user:bob")).messages), [1, 2, 3]);

  const again = await notifier(t, server);
  await again.ok("publish", notify(4));
  const [[message]] = await received.count(1);
  assert.equal(message.seq, 4);
  assert.deepEqual(data(received.items.map(([each]) => each)), [4], "what was found is not told again");
});

test("what a user has not read is counted, over tabs and restarts", async (t) => {
  const server = await serve(t, KEYED);
  const alice = await notifier(t, server, { reconnection: false });
  for (const n of upTo(5)) await alice.ok("publish", notify(n));
  const bob = await user(t, server, "bob", { reconnection: false });
  const tab = await user(t, server, "bob", { reconnection: false, v: 2 });
  const atTab = tab.on("read");
  assert.equal((await bob.ok("join", "user:bob")).unread, 5);
  const marked = await bob.ok("read", { room: "user:bob", seq: 3 });
  assert.deepEqual(marked, { ok: true, room: "user:bob", seq: 3, unread: 2 });
  assert.deepEqual(await atTab.count(1), [[{ room: "user:bob", user: "bob", seq: 3 }]]);
  assert.equal((await tab.ok("join", "user:bob")).unread, 2);
  await server.kill();
  await server.start();
  const later = await user(t, server, "bob");
  assert.equal((await later.ok("join", "user:bob")).unread, 2);
  await (await notifier(t, server)).ok("publish", notify(6));
  assert.equal((await later.ok("join", "user:bob")).unread, 3);
});

test("a notification sent again under its id comes once", async (t) => {
  const server = await serve(t, KEYED);
  const alice = await notifier(t, server);
  const bob = await user(t, server, "bob", { v: 3 });
  const received = bob.on("notification");
  const first = await alice.ok("publish", notify("first", { id: "order-7" }));
  assert.deepEqual(await alice.ok("publish", notify("again", { id: "order-7" })), { ...first, duplicate: true });
  await alice.ok("publish", notify("last"));
  await received.until((items) => items.some(([message]) => message.data === "last"));
  assert.deepEqual(received.items.map(([message]) => message.data), ["first", "last"]);
});

test("without a grant for personal rooms users cannot send notifications", async (t) => {
  const open_ = await serve(t);
  const keyed = await serve(t, KEYED);
  const everything = [{ match: "*", can: ["join", "publish", "history", "presence", "signal"] }];
  const carol = [{ match: "user:carol", can: ["publish"] }];
  for (const v of [2, 3, 4]) {
    await (await open(t, open_, { v, user: "alice" })).refused("publish", notify(1), "forbidden");
    for (const rooms of [undefined, everything, carol]) {
      const query = { token: sign({ sub: "alice", rooms }) };
      const alice = await open(t, keyed, { v, query });
      await alice.refused("publish", notify(1), "forbidden");
      await alice.refused("publish", notify(1, { ephemeral: true }), "forbidden", "bad_request");
    }
  }
  const bob = await user(t, keyed, "bob");
  assert.deepEqual((await bob.ok("history", "user:bob")).messages, []);
});

test("there are no notifications in ordinary rooms", async (t) => {
  const server = await serve(t, KEYED);
  const alice = await notifier(t, server);
  const bob = await user(t, server, "bob");
  const received = bob.on("notification");
  await bob.ok("join", "lobby");
  for (const room of ["lobby", "user", "users:bob"]) {
    await alice.refused("publish", notify(1, { room }), "bad_request");
    await alice.refused("publish", notify(1, { room, ephemeral: true }), "bad_request");
  }
  await settled(alice, [bob]);
  assert.deepEqual(received.items, []);
  assert.deepEqual((await bob.ok("history", "lobby")).messages, []);
});
