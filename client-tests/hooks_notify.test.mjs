// What happened, as back ends are told it (`hooks.notify`): which events, with what, in which batches.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Webhook } from "standardwebhooks";
import { open, upTo } from "./support/clients.mjs";
import { backend, CUT, Response, SILENCE } from "./support/hooks.mjs";
import { caller, endpoint, events, line, lines, withNotify } from "./support/notify.mjs";
import { eventually } from "./support/scope.mjs";
import { stream } from "./support/events.mjs";
import { peer } from "./support/websocket.mjs";
import { metric } from "./support/web.mjs";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ROOMS = ["room.occupied", "room.vacated", "member.joined", "member.left"];
const USERS = ["user.online", "user.offline"];
const STORES = ["memory", "sqlite"];

for (const store of STORES) {
  test(`with ${store}: messages of every way are told of in their order, as they are`, async (t) => {
    const back = await backend(t);
    const server = await withNotify(t, back.url, ["message"], { store, table: { secret: SECRET } });
    const alice = await open(t, server, { user: "alice" });
    await alice.ok("join", "lobby");
    const ack = await alice.ok("message", { room: "lobby", data: { n: 1.5, big: "é🦀" } });
    await alice.ok("publish", { room: "lobby", event: "moved", data: [1, null] });
    await caller(server).say("lobby", "from a back end");
    const bob = await peer(t, server, { user: "bob", room: "lobby" });
    await bob.ok("text", { room: "lobby", data: "from a WebSocket" });
    await lines(back, 4);
    const told = events(back.calls.items);
    assert.deepEqual(told.map((event) => [event.message.event, event.message.seq, event.message.data]), [
      ["message", 1, { n: 1.5, big: "é🦀" }],
      ["moved", 2, [1, null]],
      ["message", 3, "from a back end"],
      ["message", 4, "from a WebSocket"],
    ]);
    const [first] = told;
    assert.deepEqual({ ...first, id: undefined }, { id: undefined, type: "message", namespace: "/", room: "lobby", ts: ack.ts, message: { room: "lobby", id: ack.id, seq: 1, event: "message", from: { user: "alice" }, data: { n: 1.5, big: "é🦀" }, ts: ack.ts } });
    for (const { request } of back.calls.items) {
      assert.deepEqual([request.method, request.headers["content-type"]], ["POST", "application/json"]);
      new Webhook(SECRET).verify(request.text, request.headers);
    }
  });

  test(`with ${store}: who joins and leaves, and who comes and goes, is told once, whatever the number of connections`, async (t) => {
    const back = await backend(t);
    const server = await withNotify(t, back.url, [...ROOMS, ...USERS], { store });
    const alice = await open(t, server, { user: "alice" });
    await alice.ok("join", "lobby");
    const again = await open(t, server, { user: "alice", mode: "polling" });
    await again.ok("join", "lobby");
    const bob = await stream(t, server, { user: "bob", room: "lobby" });
    await lines(back, 5);
    alice.close();
    await pause(400);
    bob.close();
    again.close();
    const told = await lines(back, 10);
    assert.deepEqual(told.slice(0, 3), ["user.online alice", "room.occupied lobby", "member.joined lobby alice"]);
    const ofBob = ["user.online bob", "member.joined lobby bob"];
    assert.deepEqual(told.slice(3, 5).toSorted(), ofBob.toSorted());
    assert.deepEqual(told.slice(5).toSorted(), ["member.left lobby alice", "member.left lobby bob", "room.vacated lobby", "user.offline alice", "user.offline bob"]);
    assert.ok(told.indexOf("room.vacated lobby") > told.findLastIndex((each) => each.startsWith("member.left")), told.join(", "));
  });
}

test("a client that comes back within the grace time has not left, one that leaves a room has", async (t) => {
  const back = await backend(t);
  const server = await withNotify(t, back.url, [...ROOMS, ...USERS], { store: "memory", "presence-grace": "3s" });
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  for (const n of upTo(3)) {
    alice.socket.io.engine.close();
    await alice.session(n + 1);
  }
  await alice.ok("leave", "lobby");
  const told = await lines(back, 5);
  assert.deepEqual(told, ["user.online alice", "room.occupied lobby", "member.joined lobby alice", "member.left lobby alice", "room.vacated lobby"]);
});

test("a notification is unseen if its user has no connection when it is stored", async (t) => {
  const back = await backend(t);
  const server = await withNotify(t, back.url, ["notification.unseen"], { store: "memory" });
  const notify = (user, data, status = 201) => caller(server).ok(status, "POST", `/v1/users/${user}/notifications`, { body: { data, id: data } });
  const alice = await open(t, server, { user: "alice" });
  await notify("alice", "seen");
  await notify("bob", "unseen");
  await notify("bob", "unseen", 200);
  alice.close();
  await eventually(async () => !(await caller(server).get("/v1/users/alice")).online, "alice is offline");
  await notify("alice", "unseen, too");
  await lines(back, 2);
  const told = events(back.calls.items);
  assert.deepEqual(told.map(line), ['notification.unseen bob "unseen"', 'notification.unseen alice "unseen, too"']);
  assert.deepEqual([told[0].message.room, told[0].message.event, told[0].room], ["user:bob", "notification", undefined]);
});

test("rooms narrow what is told of messages and members, and of personal rooms only what is named", async (t) => {
  const back = await backend(t);
  const server = await withNotify(t, back.url, ["message", ...ROOMS, ...USERS], { store: "memory", table: { rooms: "team-*" } });
  const alice = await open(t, server, { user: "alice" });
  for (const room of ["lobby", "team-a"]) {
    await alice.ok("join", room);
    await alice.ok("message", { room, data: room });
  }
  await caller(server).ok(201, "POST", "/v1/users/alice/notifications", { body: { data: "hi" } });
  await caller(server).say("team-b", "last");
  const told = await lines(back, 5);
  assert.deepEqual(told, ["user.online alice", "room.occupied team-a", "member.joined team-a alice", 'message team-a "team-a"', 'message team-b "last"']);
});

test("many messages come in batches of at most a hundred events and 256 KiB, one at a time, soon", async (t) => {
  let underWay = 0;
  let most = 0;
  const back = await backend(t, async () => {
    most = Math.max(most, (underWay += 1));
    await pause(5);
    underWay -= 1;
    return {};
  });
  const server = await withNotify(t, back.url, ["message"]);
  const alice = await open(t, server, { user: "alice" });
  const sent = upTo(2000).map((n) => alice.ok("message", { room: `room-${n % 7}`, data: n }));
  await Promise.all(sent);
  await lines(back, 2000);
  assert.equal(most, 1);
  assert.ok(back.calls.items.length < 200, `${back.calls.items.length} batches`);
  const all = events(back.calls.items);
  for (const n of upTo(7)) {
    const told = all.filter(({ room }) => room === `room-${n - 1}`);
    assert.deepEqual(told.map(({ message }) => message.seq), upTo(told.length));
  }

  for (const n of upTo(10)) await alice.ok("message", { room: "large", data: "x".repeat(60_000) + n });
  await lines(back, 2010);
  for (const { request } of back.calls.items) assert.ok(request.text.length < 256 * 1024 + 100, `${request.text.length} bytes`);

  const began = Date.now();
  await alice.ok("message", { room: "lobby", data: "soon" });
  await lines(back, 2011);
  t.diagnostic(`a message was told of ${Date.now() - began} ms after it was sent`);
});

test("a batch that is not taken is sent again with the same id until it is, and nothing overtakes it", async (t) => {
  const answers = [new Response(500), CUT, new Response(302, "", { location: "/elsewhere" }), new Response(404), SILENCE];
  const back = await backend(t, () => (answers.length > 0 ? answers.shift() : new Response(204)));
  const server = await withNotify(t, back.url, ["message"], { table: { timeout: "500ms" } });
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("message", { room: "lobby", data: "first" });
  await back.calls.count(1);
  await alice.ok("message", { room: "lobby", data: "second" });
  const failing = await eventually(async () => {
    const it = await endpoint(server);
    return it.state === "failing" && it.behind === 2 && it.next_attempt_in_ms > 0 && it;
  }, "it is failing");
  assert.ok(failing.failing_since > 0 && failing.behind_ms >= 0);
  // Whoever does not want to wait for the next attempt says so.
  const retry = () => caller(server).call("POST", "/v1/hooks/resume", { body: { url: failing.url } });
  const told = eventually(async () => {
    assert.equal((await retry()).status, 202);
    return back.calls.items.length > 6;
  }, "it is taken", 60_000);
  await told;
  const batches = back.calls.items;
  const [{ id, request }] = batches;
  for (const batch of batches.slice(0, 6)) assert.deepEqual([batch.id, batch.request.text, batch.request.url], [id, request.text, "/hook"]);
  assert.deepEqual(await lines(back, 2), ['message lobby "first"', 'message lobby "second"']);
  await eventually(async () => (await endpoint(server)).state === "ok", "it is ok again");
  const outcomes = Object.fromEntries(await Promise.all(["delivered", "status", "broken", "timeout"].map(async (outcome) => [outcome, await metric(server, `switchboard_hook_batches_total{endpoint="${failing.url}",outcome="${outcome}"}`)])));
  assert.deepEqual(outcomes, { delivered: 2, status: 3, broken: 1, timeout: 1 });
});

test("an endpoint that asks to wait is not tried before", async (t) => {
  const times = [];
  const back = await backend(t, () => {
    times.push(Date.now());
    return times.length === 1 ? new Response(429, "", { "retry-after": "3" }) : {};
  });
  const server = await withNotify(t, back.url, ["message"], { store: "memory" });
  await caller(server).say("lobby", 1);
  await back.calls.count(2);
  assert.ok(times[1] - times[0] >= 2900, `${times[1] - times[0]} ms`);
});

test("an endpoint that responds with 410 is told nothing more, also after a restart, until it is resumed", async (t) => {
  let gone = true;
  const back = await backend(t, () => (gone ? new Response(410) : {}));
  const server = await withNotify(t, back.url, ["message"], { "presence-lease": "1s" });
  await caller(server).say("lobby", 1);
  await eventually(async () => (await endpoint(server)).state === "stopped", "it is stopped");
  await caller(server).say("lobby", 2);
  await server.stop();
  await server.start();
  await caller(server).say("lobby", 3);
  await pause(1500);
  assert.equal(back.calls.items.length, 1);
  const { state, behind, url } = await endpoint(server);
  assert.deepEqual([state, behind], ["stopped", 3]);
  await caller(server).refused(404, "not_found", "POST", "/v1/hooks/resume", { body: { url: "http://other/" } });
  gone = false;
  await caller(server).ok(202, "POST", "/v1/hooks/resume", { body: { url } });
  assert.deepEqual(await lines(back, 3), ["message lobby 1", "message lobby 2", "message lobby 3"]);
  await eventually(async () => (await endpoint(server)).state === "ok", "it is ok");
});

test("what is given up is said, by an event, a metric and a line in the log", async (t) => {
  let dead = true;
  const back = await backend(t, () => (dead ? new Response(503) : {}));
  const server = await withNotify(t, back.url, ["message"], { "hooks-retry-for": "1s", "history-messages": 20 });
  for (const n of upTo(10)) await caller(server).say("lobby", n);
  const { url } = await endpoint(server);
  const lost = `switchboard_hook_notifications_total{endpoint="${url}",outcome="lost"}`;
  await eventually(async () => (await metric(server, lost)) === 10, "they are given up", 30_000);
  for (const n of upTo(5)) await caller(server).say("lobby", n + 10);
  dead = false;
  await caller(server).ok(202, "POST", "/v1/hooks/resume", { body: { url } });
  await back.calls.until((batches) => batches.at(-1)?.events.some((event) => event.message?.data === 15), "the rest");
  const said = events(back.calls.items).filter((event) => event.type === "hooks.lost");
  // What was stored after the first attempt of a batch is given up later, by another event.
  const lostUpTo = said.reduce((next, { first, last, events, ts }) => {
    assert.deepEqual([first, BigInt(last) - BigInt(first) + 1n, ts > 0], [`${next ?? first}`, BigInt(events), true]);
    return BigInt(last) + 1n;
  }, null);
  assert.equal(lostUpTo - BigInt(said[0].first), 10n);
  assert.match(server.log, /a hook has lost events/);
  assert.equal((await endpoint(server)).lost, 10);
});

test("what the outbox or the log has no more is said to be lost", async (t) => {
  const back = await backend(t, () => new Response(503));
  const server = await withNotify(t, back.url, ["message"], { "hooks-outbox-events": 200, "history-messages": 50, table: { timeout: "200ms" } });
  const alice = await open(t, server, { user: "alice" });
  await Promise.all(upTo(1000).map((n) => alice.ok("message", { room: "lobby", data: n })));
  await back.close();
  await server.stop();
  const later = await backend(t, () => ({}), back.port);
  await server.start();
  await later.calls.until((batches) => batches.at(-1)?.events.at(-1).message?.data === 1000, "the newest", 30_000);
  const told = events(later.calls.items);
  const lost = told.filter((event) => event.type === "hooks.lost").reduce((sum, event) => sum + event.events, 0);
  const messages = told.filter((event) => event.type === "message");
  assert.equal(lost + messages.length, 1000);
  assert.ok(messages.length >= 50 && messages.length < 400, `${messages.length} messages`);
});
