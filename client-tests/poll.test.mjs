// Long polling: at once when there is something, later when it comes, and no message lost or seen twice between polls.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { open, upTo } from "./support/clients.mjs";
import { network } from "./support/proxy.mjs";
import { chance } from "./support/random.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";
import { isRefusal, metric, poll, polled } from "./support/web.mjs";

const KEYED = { "auth-hmac-secret": SECRET, "auth-cookie": "session" };
const data = ({ messages }) => messages.map((message) => message.data);

// A room with messages 1 to `n`, and who wrote them.
async function filled(t, server, n, room = "lobby") {
  const writer = await open(t, server, { user: "writer" });
  const say = (data) => writer.ok("message", { room, data });
  let last;
  for (const i of upTo(n)) last = await say(i);
  return { say, epoch: last.epoch };
}

test("without a position a poll says at once where the room is, and gives no messages", async (t) => {
  const server = await serve(t);
  const empty = await polled(server, "lobby", { wait: 60, ms: 3_000 });
  assert.deepEqual({ ...empty, epoch: "" }, { room: "lobby", epoch: "", seq: 0, cursor: `${empty.epoch}:0`, messages: [] });
  const { epoch } = await filled(t, server, 3);
  const here = await polled(server, "lobby", { ms: 3_000 });
  assert.deepEqual(here, { room: "lobby", epoch, seq: 3, cursor: `${epoch}:3`, messages: [] });
  const { headers } = await poll(server, "lobby");
  assert.match(headers.get("content-type"), /^application\/json/);
  assert.equal(headers.get("cache-control"), "no-store");
  assert.ok(headers.get("x-request-id"));
});

test("messages after the position are returned at once, as on every transport", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  const { cursor } = await polled(server, "lobby");
  const first = await alice.ok("message", { room: "lobby", data: { text: "hällo 🦀" } });
  const event = await alice.ok("publish", { room: "lobby", event: "move", data: [1.5] });
  await alice.ok("publish", { room: "lobby", event: "gone", data: 1, ephemeral: true });
  const { messages, ...rest } = await polled(server, "lobby", { since: cursor, wait: 60, ms: 3_000 });
  assert.deepEqual(rest, { room: "lobby", epoch: first.epoch, seq: 2, cursor: `${first.epoch}:2` });
  const from = { user: "alice" };
  assert.deepEqual(messages, [
    { room: "lobby", id: first.id, seq: 1, event: "message", from, data: { text: "hällo 🦀" }, ts: first.ts },
    { room: "lobby", id: event.id, seq: 2, event: "move", from, data: [1.5], ts: event.ts },
  ]);
});

test("a poll waits for a message, and returns as soon as it comes", async (t) => {
  const server = await serve(t);
  const { say } = await filled(t, server, 2);
  const { cursor } = await polled(server, "lobby");
  const waiting = upTo(5).map(() => polled(server, "lobby", { since: cursor, wait: 60 }));
  const elsewhere = polled(server, "kitchen", { since: (await polled(server, "kitchen")).cursor, wait: 1 });
  let answered = false;
  Promise.race(waiting).then(() => (answered = true));
  assert.deepEqual((await elsewhere).messages, [], "its second is over");
  assert.equal(answered, false, "there was nothing to say");
  await say(3);
  for (const each of waiting) assert.deepEqual(data(await each), [3]);
});

test("wait=0 never waits; a fraction of a second does, and an empty page is returned", async (t) => {
  const server = await serve(t);
  const { epoch } = await filled(t, server, 1);
  const none = { room: "lobby", epoch, seq: 1, cursor: `${epoch}:1`, messages: [] };
  assert.deepEqual(await polled(server, "lobby", { since: `${epoch}:1`, wait: 0, ms: 3_000 }), none);
  const began = performance.now();
  assert.deepEqual(await polled(server, "lobby", { since: `${epoch}:1`, wait: 0.5 }), none);
  const took = performance.now() - began;
  assert.ok(took >= 490 && took < 5_000, `${took} ms`);
});

test("a wait of more than a minute is one of a minute, and no error", async (t) => {
  const server = await serve(t);
  const { say, epoch } = await filled(t, server, 1);
  const waiting = polled(server, "lobby", { since: `${epoch}:1`, wait: 3600 });
  await say(2);
  assert.deepEqual(data(await waiting), [2]);
});

test("limit pages through what was missed, and each cursor is the place after the last message", async (t) => {
  const server = await serve(t);
  const { epoch } = await filled(t, server, 25);
  let cursor = `${epoch}:0`;
  const pages = [];
  for (let more = true; more; ) {
    const page = await polled(server, "lobby", { since: cursor, limit: 10, wait: 0 });
    more = page.messages.length > 0;
    if (more) pages.push(data(page));
    assert.equal(page.seq, 25, "the room's last number, on every page");
    assert.equal(page.cursor, more ? `${epoch}:${page.messages.at(-1).seq}` : cursor);
    assert.equal(page.reset, undefined);
    ({ cursor } = page);
  }
  assert.deepEqual(pages, [upTo(10), upTo(20).slice(10), upTo(25).slice(20)]);
});

test("a limit beyond a page is a page; without one it is a hundred", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-page": 120 });
  const { epoch } = await filled(t, server, 150);
  assert.deepEqual(data(await polled(server, "lobby", { since: `${epoch}:0` })), upTo(100));
  assert.deepEqual(data(await polled(server, "lobby", { since: `${epoch}:0`, limit: 120 })), upTo(120));
});

test("a position that cannot be gone on from is reset at once, with the last messages and a cursor", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-messages": 10 });
  const { say, epoch } = await filled(t, server, 200);
  for (const since of ["otherlife:3", `${epoch}:201`, `${epoch}:1`]) {
    const page = await polled(server, "lobby", { since, limit: 3, wait: 60, ms: 3_000 });
    assert.equal(page.reset, true, since);
    assert.deepEqual([data(page), page.cursor, page.seq], [[198, 199, 200], `${epoch}:200`, 200], since);
  }
  const next = polled(server, "lobby", { since: `${epoch}:200`, wait: 60 });
  await say(201);
  assert.deepEqual([data(await next), (await next).reset], [[201], undefined]);
});

test("positions outlive a kill of the server, but not the data folder", async (t) => {
  const server = await serve(t);
  const { epoch } = await filled(t, server, 5);
  await server.kill();
  await server.start();
  assert.deepEqual(data(await polled(server, "lobby", { since: `${epoch}:3` })), [4, 5]);
  await server.kill();
  await rm(join(server.folder, "data"), { recursive: true, force: true });
  await server.start();
  const fresh = await polled(server, "lobby", { since: `${epoch}:3`, wait: 60, ms: 3_000 });
  assert.deepEqual([fresh.reset, fresh.seq, fresh.messages], [true, 0, []]);
  assert.notEqual(fresh.epoch, epoch);
});

test("a poll does not count as presence", async (t) => {
  const server = await serve(t);
  const { epoch } = await filled(t, server, 1);
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "lobby");
  const atBob = bob.on("presence");
  const waiting = polled(server, "lobby", { since: `${epoch}:1`, wait: 1, user: "alice" });
  await waiting;
  assert.equal((await bob.ok("presence", "lobby")).count, 1);
  assert.deepEqual(atBob.items, []);
});

test("a draining server completes waiting polls at once", async (t) => {
  const server = await serve(t, { "drain-over": "1s" });
  const { epoch } = await filled(t, server, 1);
  const fence = await polled(server, "lobby", { since: `${epoch}:1`, wait: 0 });
  const waiting = upTo(10).map(() => polled(server, "lobby", { since: fence.cursor, wait: 60 }));
  // One that came after them has waited its time, so they are there.
  await polled(server, "lobby", { since: fence.cursor, wait: 0.5 });
  const began = performance.now();
  const stopped = server.stop();
  for (const each of waiting) assert.deepEqual(await each, fence);
  assert.ok(performance.now() - began < 5_000, "they were not kept waiting");
  assert.deepEqual(await stopped, { code: 0, signal: null });
});

test("only so many polls wait; one more is refused and may come back", async (t) => {
  // Half of them for one client.
  const server = await serve(t, { "poll-waiters": 6 });
  const { say, epoch } = await filled(t, server, 1);
  const since = `${epoch}:1`;
  const waiting = upTo(3).map(() => polled(server, "lobby", { since, wait: 60 }));
  await eventually(async () => (await metric(server, "switchboard_polls_waiting")) === 3, "they do not all wait");
  isRefusal(await poll(server, "lobby", { since, wait: 0.05 }), 503, "limit_reached");
  assert.deepEqual(data(await polled(server, "lobby", { since: `${epoch}:0`, wait: 60 })), [1], "who need not wait is not refused");
  await say(2);
  for (const each of waiting) assert.deepEqual(data(await each), [2]);
  assert.deepEqual((await polled(server, "lobby", { since: `${epoch}:2`, wait: 0.05 })).messages, [], "and there is room again");
});

test("a poll whose client went away makes room for another", async (t) => {
  const server = await serve(t, { "poll-waiters": 1 });
  const { epoch } = await filled(t, server, 1);
  const since = `${epoch}:1`;
  const control = new AbortController();
  const waiting = poll(server, "lobby", { since, wait: 60, signal: control.signal }).catch(() => "aborted");
  const one = async () => (await poll(server, "lobby", { since, wait: 0.05 })).status;
  await eventually(async () => (await metric(server, "switchboard_polls_waiting")) === 1, "the first does not wait");
  assert.equal(await one(), 503);
  control.abort();
  assert.equal(await waiting, "aborted");
  await eventually(async () => (await one()) === 200, "its place was not given back");
});

test("a poll is refused with 401 without a valid token, with 403 without the grants", async (t) => {
  const server = await serve(t, KEYED);
  for (const [who, code] of [
    [{}, "unauthorized"],
    [{ user: "alice" }, "unauthorized"],
    [{ key: "garbage" }, "unauthorized"],
    [{ query: { token: sign({ sub: "alice" }, "another secret of thirty-two bytes!!") } }, "unauthorized"],
    [{ headers: { cookie: `session=${sign({ sub: "alice", exp: at(-600) })}` } }, "token_expired"],
  ]) {
    isRefusal(await poll(server, "lobby", who), 401, code);
  }
  const key = sign({ sub: "alice", rooms: [{ match: "a", can: ["join"] }, { match: "b", can: ["history"] }, { match: "c", can: ["join", "history"] }] });
  for (const room of ["a", "b", "d", "user:bob"]) isRefusal(await poll(server, room, { key }), 403, "forbidden", room);
  for (const place of [{ key }, { query: { token: key } }, { headers: { cookie: `session=${key}` } }]) {
    assert.equal((await polled(server, "c", place)).room, "c");
  }
  isRefusal(await poll(server, "c", { key, headers: { origin: "https://evil.example" } }), 403, "forbidden");
  isRefusal(await poll(server, "c", { key, headers: { origin: "http://localhost:5173" } }), 403, "forbidden");
  const own = await poll(server, "c", { key, headers: { origin: server.url } });
  assert.equal(own.headers.get("access-control-allow-origin"), server.url);
});

test("a poll that makes no sense is 400", async (t) => {
  const server = await serve(t);
  for (const wrong of [
    { since: "nonsense" },
    { since: "x:-1" },
    { since: "x:1.5" },
    { wait: "long" },
    { wait: -1 },
    { wait: "NaN" },
    { limit: 0 },
    { limit: -1 },
    { limit: "all" },
    { user: "white\tspace" },
  ]) {
    isRefusal(await poll(server, "lobby", wrong), 400, "bad_request", JSON.stringify(wrong));
  }
  isRefusal(await poll(server, "white space"), 400, "bad_request");
});

test("pollers that follow the cursor, cut at random, lose nothing and see nothing twice", async (t) => {
  const MESSAGES = 2_000;
  const server = await serve(t, { ...UNLIMITED, "limits-connects-per-second": 0 });
  const random = chance(20_261_122);
  const ways = await Promise.all(upTo(3).map(() => network(t, server)));
  const { cursor: start } = await polled(server, "lobby");
  const control = new AbortController();
  t.after(() => control.abort());
  const pollers = ways.map(async (way, i) => {
    let cursor = start;
    let failures = 0;
    const seen = [];
    while (seen.length < MESSAGES && !control.signal.aborted) {
      const page = await polled(way, "lobby", { since: cursor, wait: 20, limit: [1, 7, 100][i], signal: control.signal }).catch(() => null);
      if (!page) {
        failures += 1;
        await pause(5);
        continue;
      }
      assert.equal(page.reset, undefined);
      seen.push(...data(page));
      ({ cursor } = page);
    }
    return { seen, failures };
  });
  // The last of all pollers is never cut, and answers must come without its `wait`: a lost wake-up would cost 20 s.
  const steady = (async () => {
    let [cursor, slowest] = [start, 0];
    for (let seen = 0; seen < MESSAGES; ) {
      const began = performance.now();
      const page = await polled(server, "lobby", { since: cursor, wait: 20, ms: 30_000 });
      slowest = Math.max(slowest, performance.now() - began);
      seen += page.messages.length;
      ({ cursor } = page);
    }
    return slowest;
  })();
  let over = false;
  const cutting = (async () => {
    while (!over) {
      // The cuts must come at no particular moment, so these waits are for time.
      await pause(random() * 40);
      const way = ways[Math.floor(random() * ways.length)];
      way.cut();
      await pause(random() * 10);
      way.mend();
    }
  })();
  const bob = await open(t, server, { user: "bob" });
  for (const n of upTo(MESSAGES)) {
    await bob.ok("message", { room: "lobby", data: n });
    // Now and then everything has been said and all pollers wait.
    if (n % 100 === 0) await pause(random() * 20);
  }
  assert.ok((await steady) < 10_000, `a poll took ${await steady} ms`);
  over = true;
  await cutting;
  for (const [i, poller] of pollers.entries()) {
    const { seen, failures } = await poller;
    assert.deepEqual(seen, upTo(MESSAGES), `poller ${i}`);
    t.diagnostic(`poller ${i}: ${failures} polls were cut`);
  }
});

test("five hundred polls that wait are all woken by one message", async (t) => {
  const server = await serve(t);
  const { say, epoch } = await filled(t, server, 1);
  const waiting = upTo(500).map(() => polled(server, "lobby", { since: `${epoch}:1`, wait: 60 }));
  await polled(server, "lobby", { since: `${epoch}:1`, wait: 1 });
  await say(2);
  for (const each of await Promise.all(waiting)) assert.deepEqual(data(each), [2]);
});
