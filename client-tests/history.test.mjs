// History: reading back, joining with what was missed, and the seam between replay and live messages.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const seqs = (messages) => messages.map((message) => message.seq);

// A client, and a room with `n` messages whose data are their numbers.
async function filled(t, server, n, room = "lobby") {
  const writer = await open(t, server, { user: "writer" });
  const acks = await Promise.all(upTo(n).map((i) => writer.ok("message", { room, data: i, id: `m${i}` })));
  return { writer, epoch: acks[0].epoch };
}

test("history pages forwards and backwards, oldest first in each page", async (t) => {
  const server = await serve(t);
  const { epoch } = await filled(t, server, 10);
  const reader = await open(t, server, { user: "reader", v: 2 });

  const last = await reader.ok("history", { room: "lobby", limit: 3 });
  assert.deepEqual(
    { ...last, messages: seqs(last.messages) },
    { ok: true, room: "lobby", epoch, seq: 10, messages: [8, 9, 10], more: true },
  );
  const before = await reader.ok("history", { room: "lobby", before: 8, limit: 5 });
  assert.deepEqual(seqs(before.messages), [3, 4, 5, 6, 7]);
  assert.equal(before.more, true);
  const first = await reader.ok("history", { room: "lobby", before: 3, limit: 5 });
  assert.deepEqual(seqs(first.messages), [1, 2]);
  assert.equal(first.more, false);

  const after = await reader.ok("history", { room: "lobby", after: 4, limit: 4 });
  assert.deepEqual(seqs(after.messages), [5, 6, 7, 8]);
  assert.equal(after.more, true);
  const rest = await reader.ok("history", { room: "lobby", after: 8, limit: 4 });
  assert.deepEqual(seqs(rest.messages), [9, 10]);
  assert.equal(rest.more, false);
  const none = await reader.ok("history", { room: "lobby", after: 10 });
  assert.deepEqual(none.messages, []);
  assert.equal(none.more, false);

  const [message] = first.messages;
  assert.deepEqual(
    { ...message, ts: 0 },
    { room: "lobby", id: "m1", seq: 1, event: "message", from: { user: "writer" }, data: 1, ts: 0 },
  );
});

test("the history of a room that was never written is empty, and its epoch stays", async (t) => {
  const server = await serve(t);
  const reader = await open(t, server);
  const empty = await reader.ok("history", { room: "nobody" });
  assert.deepEqual(
    { ...empty, epoch: "" },
    { ok: true, room: "nobody", epoch: "", seq: 0, messages: [], more: false },
  );
  const { epoch } = await reader.ok("message", { room: "nobody", data: 1 });
  assert.equal(epoch, empty.epoch);
});

test("a limit larger than a page returns a page, not everything", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-page": 20 });
  const { writer } = await filled(t, server, 50);
  const page = await writer.ok("history", { room: "lobby", after: 0, limit: 1000 });
  assert.deepEqual(seqs(page.messages), upTo(20));
  assert.equal(page.more, true);
  assert.deepEqual(seqs(await writer.history("lobby", 1000)), upTo(50));
});

test("joining with history: n brings the last n messages in the ack and not again as events", async (t) => {
  const server = await serve(t);
  const { writer } = await filled(t, server, 10);
  for (const v of [2, 3, 4]) {
    const reader = await open(t, server, { v, user: `reader${v}` });
    const live = reader.on("message");
    const joined = await reader.ok("join", { room: "lobby", history: 4 });
    const seq = joined.seq;
    assert.deepEqual(seqs(joined.messages), [seq - 3, seq - 2, seq - 1, seq]);
    await writer.ok("message", { room: "lobby", data: "live" });
    await live.count(1);
    assert.deepEqual(seqs(live.items.map(([message]) => message)), [seq + 1]);
  }
});

test("joining with since brings exactly what was missed, whichever way the position is written", async (t) => {
  const server = await serve(t);
  const { epoch } = await filled(t, server, 10);
  const reader = await open(t, server, { user: "reader" });
  for (const since of [`${epoch}:7`, { epoch, seq: 7 }]) {
    const joined = await reader.ok("join", { room: "lobby", since });
    assert.equal(joined.recovered, true);
    assert.equal(joined.seq, 10);
    assert.deepEqual(seqs(joined.messages), [8, 9, 10]);
    await reader.ok("leave", "lobby");
  }
  const present = await reader.ok("join", { room: "lobby", since: { epoch, seq: 10 } });
  assert.equal(present.recovered, true);
  assert.deepEqual(present.messages, []);
});

test("a position of another life of the log, or of its future, is not recovered", async (t) => {
  const server = await serve(t);
  const { epoch } = await filled(t, server, 10);
  const reader = await open(t, server, { user: "reader" });
  const foreign = await reader.ok("join", { room: "lobby", since: "otherlife:7" });
  assert.equal(foreign.recovered, false);
  assert.equal(foreign.epoch, epoch);
  await reader.ok("leave", "lobby");
  const future = await reader.ok("join", { room: "lobby", since: `${epoch}:11` });
  assert.equal(future.recovered, false);
});

test("a client that missed more than is retained is told so", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-messages": 10 });
  const { writer, epoch } = await filled(t, server, 200);
  // What is over the limit goes with the next write: all 200 may have been stored in one.
  await writer.ok("message", { room: "lobby", data: "one more" });
  const joined = await writer.ok("join", { room: "lobby", since: `${epoch}:1` });
  assert.equal(joined.recovered, false);
  assert.equal(joined.seq, 201);
});

test("a client that missed more than a page gets everything, or is told and can page on without a hole", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-page": 20 });
  const { writer, epoch } = await filled(t, server, 100);
  const reader = await open(t, server, { user: "reader" });
  const live = reader.on("message");
  const joined = await reader.ok("join", { room: "lobby", since: `${epoch}:10` });
  assert.equal(joined.seq, 100);
  const replayed = seqs(joined.messages);
  for (let i = 1; i < replayed.length; i += 1) assert.equal(replayed[i], replayed[i - 1] + 1, "the replay has no hole");
  if (joined.recovered) assert.deepEqual(replayed, upTo(100).slice(10), "recovered means that none is missing");

  await writer.ok("message", { room: "lobby", data: "live" });
  await live.count(1);
  const all = new Set(replayed);
  let { seq } = { seq: 10 };
  for (let more = true; more; ) {
    const page = await reader.ok("history", { room: "lobby", after: seq });
    for (const message of page.messages) all.add(message.seq);
    seq = page.messages.at(-1)?.seq;
    more = page.more;
  }
  assert.deepEqual([...all].sort((a, b) => a - b), upTo(101).slice(10));
  assert.deepEqual(
    live.items.map(([message]) => message.seq),
    [101],
  );
});

test("a client that joins amid 2,000 messages sees no hole and no repeat", async (t) => {
  const server = await serve(t, UNLIMITED);
  const writer = await open(t, server, { user: "writer" });
  const { epoch } = await writer.ok("message", { room: "lobby", data: 1 });
  const kinds = [[2, "websocket"], [3, "websocket"], [4, "websocket"], [4, "upgrade"], [4, "polling"]];
  const readers = await Promise.all(kinds.map(([v, mode]) => open(t, server, { v, mode, user: `reader-${v}-${mode}` })));
  const midway = readers.map(() => 0);

  // At least 2,000, and until every reader has joined in the middle several times.
  let total = 1;
  let finished = false;
  const sending = Promise.all(
    upTo(32).map(async () => {
      while (total < 2000 || midway.some((joins) => joins < 3)) {
        assert.ok(total < 50_000, `the readers joined ${midway} times`);
        total += 1;
        await writer.ok("message", { room: "lobby", data: "x" });
      }
    }),
  ).finally(() => (finished = true));

  const reading = readers.map(async (reader, i) => {
    const live = reader.on("message");
    const seen = [];
    const position = () => seen.at(-1) ?? 0;
    // Joins where it was, reads along, leaves, and again, until the writer is done.
    for (let done = false; !done; ) {
      done = finished;
      const since = i % 2 ? { epoch, seq: position() } : `${epoch}:${position()}`;
      const joined = await reader.ok("join", { room: "lobby", since });
      if (joined.recovered) seen.push(...seqs(joined.messages));
      if (joined.recovered && !finished) {
        await eventually(() => live.items.length >= 30 || finished, "30 live messages");
        midway[i] += 1;
      }
      await reader.ok("leave", "lobby");
      const arrived = live.items.splice(0).map(([message]) => message.seq);
      if (joined.recovered) {
        seen.push(...arrived);
        continue;
      }
      // Too far behind for one answer: catch up by paging and join again.
      done = false;
      for (let more = true; more; ) {
        const page = await reader.ok("history", { room: "lobby", after: position() });
        seen.push(...seqs(page.messages));
        more = page.more;
      }
    }
    return seen;
  });
  await sending;
  for (const [i, seen] of (await Promise.all(reading)).entries()) assert.deepEqual(seen, upTo(total), `${kinds[i]}`);
});

test("positions stay good across a restart of the server", async (t) => {
  const server = await serve(t);
  const { epoch } = await filled(t, server, 5);
  await server.kill();
  await server.start();
  const reader = await open(t, server, { user: "reader" });
  const joined = await reader.ok("join", { room: "lobby", since: `${epoch}:3` });
  assert.equal(joined.recovered, true);
  assert.equal(joined.epoch, epoch);
  assert.deepEqual(seqs(joined.messages), [4, 5]);
});
