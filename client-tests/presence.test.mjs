// Presence: one join, update and leave for each user of a room, whatever its connections do meanwhile.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { MATRIX, open, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { brief, present, watch } from "./support/presence.mjs";
import { elsewhere } from "./support/process.mjs";
import { rawClient } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const SHORT = { "presence-grace": "100ms" };

const names = (users) => users.map(({ user }) => user);
const sorted = (users) => [...users].sort((a, b) => (a.user < b.user ? -1 : 1));

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode} receives join, update and leave`, async (t) => {
    const server = await serve(t, SHORT);
    const alice = await open(t, server, { v, mode, user: "alice" });
    const bob = await open(t, server, { v, mode, user: "bob" });
    const [atAlice, atBob] = [watch(alice), watch(bob)];
    const before = Date.now();

    const first = await alice.ok("join", "lobby");
    const [{ since }] = first.members.users;
    assert.deepEqual(first.members, { count: 1, users: [{ user: "alice", status: "online", connections: 1, since }] });
    assert.ok(since >= before && since <= Date.now(), `${since}`);
    const second = await bob.ok("join", { room: "lobby" });
    assert.equal(second.members.count, 2);
    assert.deepEqual(names(sorted(second.members.users)), ["alice", "bob"]);

    const joined = await atAlice.until("join bob 2");
    assert.ok(Number.isInteger(joined.ts) && joined.ts >= before, `${joined.ts}`);
    assert.deepEqual(joined, {
      room: "lobby",
      event: "join",
      user: "bob",
      status: "online",
      count: 2,
      ts: joined.ts,
    });

    const ack = await bob.ok("status", { status: "busy", info: { until: "noon" } });
    assert.deepEqual(ack, { ok: true, status: "busy" });
    const updated = await atAlice.until("update bob 2");
    assert.equal(updated.status, "busy");
    assert.deepEqual(updated.info, { until: "noon" });

    const page = await alice.ok("presence", { room: "lobby" });
    assert.deepEqual(page, {
      ok: true,
      room: "lobby",
      count: 2,
      users: [
        { user: "alice", status: "online", connections: 1, since },
        { user: "bob", status: "busy", info: { until: "noon" }, connections: 1, since: page.users[1].since },
      ],
    });

    const left = performance.now();
    await bob.ok("leave", "lobby");
    await atAlice.until("leave bob 1");
    assert.ok(performance.now() - left >= 95, "the grace time was kept");
    assert.deepEqual(names(Object.values(await present(alice))), ["alice"]);
    assert.deepEqual(atAlice.brief(), ["join bob 2", "update bob 2", "leave bob 1"]);
    assert.deepEqual(atBob.brief(), [], "nobody is told of oneself");
  });
}

test("members are shown with the name and the info of their tokens", async (t) => {
  const server = await serve(t, { ...SHORT, "auth-hmac-secret": SECRET });
  const alice = await open(t, server, { token: sign({ sub: "alice" }) });
  await alice.ok("join", "lobby");
  const atAlice = watch(alice);
  const bob = await open(t, server, { token: sign({ sub: "bob", name: "Bob", info: { team: 7 } }) });
  const { members } = await bob.ok("join", "lobby");
  const listed = members.users.find(({ user }) => user === "bob");
  assert.deepEqual(
    { ...listed, since: 0 },
    { user: "bob", name: "Bob", status: "online", info: { team: 7 }, connections: 1, since: 0 },
  );
  const joined = await atAlice.until("join bob 2");
  assert.equal(joined.name, "Bob");
  assert.deepEqual(joined.info, { team: 7 });
  await bob.ok("leave", "lobby");
  assert.equal((await atAlice.until("leave bob 1")).name, "Bob");
});

test("two tabs of a user are one presence: it joins with the first and leaves with the last", async (t) => {
  const server = await serve(t, SHORT);
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  const atAlice = watch(alice);
  const tabs = await Promise.all([2, 4].map((v) => open(t, server, { v, user: "bob" })));
  const atTab = watch(tabs[0]);

  await tabs[0].ok("join", "lobby");
  const { since } = (await present(alice)).bob;
  const { members } = await tabs[1].ok("join", "lobby");
  assert.equal(members.count, 2);
  assert.equal(members.users.find(({ user }) => user === "bob").connections, 2);
  assert.equal((await present(alice)).bob.since, since, "a second tab is not a second arrival");

  await tabs[0].ok("leave", "lobby");
  assert.equal((await present(alice)).bob.connections, 1);
  // Carol goes after the first tab, so when her grace is over, the first tab's would be too.
  const carol = await open(t, server, { user: "carol" });
  await carol.ok("join", "lobby");
  carol.close();
  await atAlice.until("leave carol 2");
  assert.deepEqual(atAlice.brief(), ["join bob 2", "join carol 3", "leave carol 2"]);

  tabs[1].close();
  await atAlice.until("leave bob 1");
  await settled(alice, [alice]);
  assert.deepEqual(atAlice.brief(), ["join bob 2", "join carol 3", "leave carol 2", "leave bob 1"]);
  assert.deepEqual(atTab.brief(), [], "one's own other tab is no news, and who left hears nothing");
});

test("a user that reloads or reconnects within the grace time never left", async (t) => {
  const server = await serve(t, { "presence-grace": "2s" });
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  const [page, again, cut, carol] = await Promise.all(
    ["page", "again", "cut", "carol"].map((user) => open(t, server, { user })),
  );
  for (const member of [page, again, cut, carol]) await member.ok("join", "lobby");
  await settled(carol, [alice]);
  const atAlice = watch(alice);

  page.close();
  const fresh = await open(t, server, { user: "page" });
  assert.equal((await fresh.ok("join", "lobby")).members.count, 5);

  await again.ok("leave", "lobby");
  assert.equal((await again.ok("join", "lobby")).members.count, 5);

  const back = cut.on("connect");
  cut.socket.io.engine.close();
  await back.count(1);
  assert.equal((await cut.ok("join", "lobby")).members.count, 5);

  // Carol goes last, so when her grace is over, all the others' would be too.
  await carol.ok("leave", "lobby");
  await atAlice.until("leave carol 4");
  assert.deepEqual(atAlice.brief(), ["leave carol 4"]);
  const members = await present(alice);
  assert.deepEqual(Object.keys(members), ["again", "alice", "cut", "page"]);
  for (const { user, connections } of Object.values(members)) assert.equal(connections, 1, user);
});

test("a user that returns after the grace time has left and joins again", async (t) => {
  const server = await serve(t, SHORT);
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  const atAlice = watch(alice);
  for (const [before, mode] of ["websocket", "polling"].entries()) {
    const bob = await open(t, server, { mode, user: "bob" });
    await bob.ok("join", "lobby");
    bob.close();
    // Both of this visit: the leave before it is there already.
    await eventually(() => atAlice.brief().length === 2 * (before + 1), `bob did not leave over ${mode}`);
  }
  await (await open(t, server, { user: "bob" })).ok("join", "lobby");
  await settled(alice, [alice]);
  const visit = ["join bob 2", "leave bob 1"];
  assert.deepEqual(atAlice.brief(), [...visit, ...visit, "join bob 2"]);
});

test("a client process that is killed without a goodbye leaves once", async (t) => {
  // The heartbeat would take far longer than this test waits.
  const server = await serve(t, { "presence-grace": "300ms", "socketio-ping-interval": "60s" });
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  const atAlice = watch(alice);
  const child = await elsewhere(t, server, { v: 4, user: "bob" }, [["join", "lobby"]]);
  await atAlice.until("join bob 2");
  const killed = performance.now();
  child.kill("SIGKILL");
  await atAlice.until("leave bob 1");
  assert.ok(performance.now() - killed >= 295, "the grace time was kept");
  await settled(alice, [alice]);
  assert.deepEqual(atAlice.brief(), ["join bob 2", "leave bob 1"]);
});

test("a client process that is frozen leaves when its heartbeat is missed, and the living stay", async (t) => {
  const server = await serve(t, {
    ...SHORT,
    "socketio-ping-interval": "500ms",
    "socketio-ping-timeout": "1s",
  });
  const alice = await open(t, server, { user: "alice", v: 3 });
  await alice.ok("join", "lobby");
  const atAlice = watch(alice);
  const kinds = [[2, "websocket"], [4, "websocket"], [4, "polling"]];
  const children = await Promise.all(
    kinds.map(([v, mode]) => elsewhere(t, server, { v, mode, user: `${mode}${v}` }, [["join", "lobby"]])),
  );
  const frozen = performance.now();
  for (const child of children) child.kill("SIGSTOP");
  await eventually(() => atAlice.brief().length >= 6, "the frozen did not leave");
  assert.ok(performance.now() - frozen >= 500, "a heartbeat takes its time");
  await settled(alice, [alice]);
  const told = atAlice.events();
  assert.equal(told.length, 6, JSON.stringify(atAlice.brief()));
  for (const [v, mode] of kinds) {
    const own = told.filter(({ user }) => user === `${mode}${v}`).map(({ event }) => event);
    assert.deepEqual(own, ["join", "leave"], `client ${v} over ${mode}`);
  }
  assert.deepEqual(Object.keys(await present(alice)), ["alice"]);
  assert.equal(alice.sessions.items.length, 1, "who answers the heartbeat stays connected");
});

test("a status is one update in every room of the user, and none when it changes nothing", async (t) => {
  const server = await serve(t, SHORT);
  const bob = await open(t, server, { user: "bob", v: 2 });
  const [alice, tab] = await Promise.all([3, 4].map((v) => open(t, server, { v, user: "alice" })));
  for (const room of ["a", "b", "c"]) await bob.ok("join", room);
  for (const room of ["a", "b"]) await alice.ok("join", room);
  for (const room of ["b", "c"]) await tab.ok("join", room);
  for (const room of ["a", "b", "c"]) await settled(alice, [bob], room);
  const rooms = ["a", "b", "c"].map((room) => watch(bob, room));
  const own = watch(alice, "a");
  const updates = async () => {
    for (const room of ["a", "b", "c"]) await settled(alice, [bob], room);
    return rooms.map((room) => room.events().map(({ event, user, status, info }) => ({ event, user, status, info })));
  };
  const update = (status, info) => ({ event: "update", user: "alice", status, info });

  assert.deepEqual(await alice.ok("status", { status: "away" }), { ok: true, status: "away" });
  assert.deepEqual(await alice.ok("status", { status: "away" }), { ok: true, status: "away" });
  await tab.ok("status", { status: "away" });
  const away = [update("away", undefined)];
  assert.deepEqual(await updates(), [away, away, away]);

  await tab.ok("status", { status: "in a meeting", info: { until: 5 } });
  await alice.ok("status", { status: "in a meeting", info: { until: 5 } });
  const both = [...away, update("in a meeting", { until: 5 })];
  assert.deepEqual(await updates(), [both, both, both]);
  await alice.ok("status", { status: "in a meeting", info: { until: 6 } });
  const all = [...both, update("in a meeting", { until: 6 })];
  assert.deepEqual(await updates(), [all, all, all]);
  await settled(bob, [alice], "a");
  assert.deepEqual(own.brief(), ["update alice 2"], "of what the other tab said, and not of what it said itself");

  const { members } = await tab.ok("join", "d");
  assert.deepEqual(
    members.users.map(({ user, status, info }) => ({ user, status, info })),
    [{ user: "alice", status: "in a meeting", info: { until: 6 } }],
    "the status comes along into the next room",
  );
});

test("a status that is none is refused and changes nothing", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  for (const client of [bob, alice]) await client.ok("join", "lobby");
  const atBob = watch(bob);
  for (const payload of [
    { status: "" },
    { status: "x".repeat(33) },
    { status: 7 },
    { status: null },
    {},
    { info: {} },
    { status: "busy", info: "text" },
    { status: "busy", info: [1] },
    { status: "busy", info: 7 },
  ]) {
    await alice.refused("status", payload, "bad_request");
  }
  await alice.refused("status", { status: "busy", info: { x: "y".repeat(1100) } }, "too_large", "bad_request");
  await settled(alice, [bob]);
  assert.deepEqual(
    atBob.events().filter(({ event }) => event === "update"),
    [],
  );
  assert.equal((await present(bob)).alice.status, "online");
  await alice.ok("status", { status: "é".repeat(32), info: { x: "y".repeat(900) } });
  assert.equal((await present(bob)).alice.status, "é".repeat(32), "32 characters are not too many");
});

test("an idle user is away, and online again with the next event from any tab", async (t) => {
  const server = await serve(t, { "presence-away-after": "700ms" });
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "lobby");
  const atBob = watch(bob);
  const of = (user) => atBob.events().filter((event) => event.user === user && event.event === "update");
  const [alice, dora, tab] = await Promise.all(["alice", "dora", "dora"].map((user) => open(t, server, { user })));
  for (const client of [dora, tab]) await client.ok("join", "lobby");
  const idle = performance.now();
  await alice.ok("join", "lobby");

  // Dora is idle in one tab only.
  const busy = new AbortController();
  const working = (async () => {
    while (!busy.signal.aborted) {
      await tab.ok("history", "lobby");
      await pause(50);
    }
  })();
  await eventually(() => of("alice").length > 0, "alice never became away");
  assert.ok(performance.now() - idle >= 695, "not before its time");
  const back = performance.now();
  await alice.ok("history", "lobby");
  await eventually(() => of("alice").length > 1, "alice did not come back");
  await eventually(() => of("alice").length > 2, "alice never became away again");
  assert.ok(performance.now() - back >= 695, "the event started the time anew");
  busy.abort();
  await working;
  assert.deepEqual(of("alice").map(({ status }) => status), ["away", "online", "away"]);
  assert.deepEqual(of("dora"), [], "who is active in one tab is not away");
  assert.equal((await present(bob)).alice.status, "away");
});

test("without the presence grant no presence events are received", async (t) => {
  const server = await serve(t, { ...SHORT, "auth-hmac-secret": SECRET });
  const can = ["join", "publish", "history"];
  const alice = await open(t, server, { token: sign({ sub: "alice", rooms: [{ match: "*", can }] }) });
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  const carol = await open(t, server, { token: sign({ sub: "carol" }) });
  const [atAlice, atBob] = [watch(alice), watch(bob)];
  const ack = await alice.ok("join", "lobby");
  assert.ok(!("members" in ack), JSON.stringify(ack));
  await bob.ok("join", "lobby");
  await carol.ok("join", "lobby");
  await carol.ok("status", { status: "busy" });
  await carol.ok("leave", "lobby");
  await eventually(() => atBob.brief().some((told) => told.startsWith("leave carol")), "bob was not told");
  await settled(bob, [alice]);
  assert.deepEqual(atAlice.events(), []);
  await alice.refused("presence", "lobby", "forbidden");
  await alice.refused("presence", "elsewhere", "forbidden");
});

test("only members receive a room's presence", async (t) => {
  const server = await serve(t);
  for (const v of [2, 3, 4]) {
    const alice = await open(t, server, { v, user: "alice" });
    await alice.refused("presence", "lobby", "not_joined");
    await alice.ok("join", "lobby");
    await alice.ok("presence", "lobby");
    await alice.ok("leave", "lobby");
    await alice.refused("presence", { room: "lobby" }, "not_joined");
  }
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  for (const payload of [true, {}, { room: "" }, { room: "lobby", limit: "all" }, { room: "lobby", limit: -1 }]) {
    await alice.refused("presence", payload, "bad_request");
  }
});

test("the members come in pages, ordered by user", async (t) => {
  const server = await serve(t);
  const ids = ["Zoe", "adam", "bob", "bob-2", "bob2", "carl", "user:x"];
  const mixed = ["carl", "bob2", "Zoe", "user:x", "adam", "bob-2", "bob"];
  const clients = await Promise.all(mixed.map((user) => open(t, server, { user })));
  for (const client of clients) await client.ok("join", "lobby");
  const [reader] = clients;
  const pages = [];
  let after;
  do {
    const page = await reader.ok("presence", { room: "lobby", limit: 3, ...(after === undefined ? {} : { after }) });
    assert.equal(page.count, 7);
    pages.push(names(page.users));
    after = page.next;
  } while (after !== undefined && pages.length < 10);
  assert.deepEqual(pages, [ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)]);
  const whole = await reader.ok("presence", "lobby");
  assert.deepEqual(names(whole.users), ids);
  assert.ok(!("next" in whole));
});

test("a room with more users than presence-room-users is only counted", async (t) => {
  const server = await serve(t, { ...SHORT, "presence-room-users": 3 });
  const users = ["a", "b", "c", "d"];
  const clients = await Promise.all(users.map((user) => open(t, server, { user })));
  const [a, , c, d] = clients;
  const atA = watch(a);
  const acks = [];
  for (const client of clients) acks.push(await client.ok("join", "lobby"));
  assert.deepEqual(acks.map(({ members }) => members.count), [1, 2, 3, 4]);
  assert.deepEqual(acks.map(({ members }) => members.users.length), [1, 2, 3, 0]);
  await c.ok("status", { status: "busy" });
  const asked = await a.ok("presence", "lobby");
  assert.deepEqual([asked.count, names(asked.users)], [4, users], "whoever asks is shown pages all the same");
  await settled(a, [a]);
  assert.deepEqual(atA.brief(), ["join b 2", "join c 3"], "neither the fourth nor anything after it is told");

  await d.ok("leave", "lobby");
  await eventually(async () => (await a.ok("presence", "lobby")).count === 3, "the fourth was counted on");
  const members = await present(a);
  assert.deepEqual(Object.keys(members), ["a", "b", "c"]);
  assert.equal(members.c.status, "busy", "what was not told is known");
  await c.ok("leave", "lobby");
  assert.equal((await atA.until("leave c 2")).event, "leave");
});

test("the presence of one namespace is not that of another", async (t) => {
  const server = await serve(t, { ...SHORT, "socketio-namespaces": "/,/chat" });
  const root = await open(t, server, { user: "alice" });
  const chat = await open(t, server, { user: "alice", namespace: "/chat" });
  const bob = await open(t, server, { user: "bob", namespace: "/chat" });
  for (const client of [root, chat]) assert.equal((await client.ok("join", "lobby")).members.count, 1);
  const [atRoot, atChat] = [watch(root), watch(chat)];
  await bob.ok("join", "lobby");
  await atChat.until("join bob 2");
  bob.close();
  await atChat.until("leave bob 1");
  await settled(root, [root]);
  assert.deepEqual(atRoot.brief(), []);
});

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

// So many raw members, of as many users, in the order they are to join.
async function crowd(t, server, n) {
  const members = [];
  for (let from = 0; from < n; from += 100) {
    const users = upTo(Math.min(100, n - from)).map((i) => `member-${String(from + i).padStart(4, "0")}`);
    members.push(...(await Promise.all(users.map((user) => rawClient(t, server, { user })))));
  }
  return members;
}

// Sends `event` and resolves to its ack and the bytes of it.
async function rawAsk(raw, id, event, payload) {
  raw.send(`42${id}${JSON.stringify([event, payload])}`);
  const frame = await raw.frame(`43${id}[`);
  const [ack] = JSON.parse(frame.slice(frame.indexOf("[")));
  assert.equal(ack.ok, true, frame.slice(0, 300));
  return { ack, bytes: frame.length };
}

test("a join lists at most 100 members, and pages list them all", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "presence-room-users": 1000 });
  const members = await crowd(t, server, 250);
  const sizes = [];
  for (const [i, member] of members.entries()) {
    const { ack, bytes } = await rawAsk(member, 1, "join", { room: "hall" });
    assert.equal(ack.members.count, i + 1);
    assert.equal(ack.members.users.length, Math.min(100, i + 1));
    sizes.push(bytes);
  }
  assert.ok(sizes.at(-1) < 1.2 * sizes[99], `${sizes[99]} bytes with 100 members, ${sizes.at(-1)} with 250`);

  const first = members[0];
  await first.frames.until((frames) => frames.filter((frame) => frame.startsWith('42["presence"')).length >= 249);
  const listed = [];
  let after;
  let id = 10;
  do {
    const { ack } = await rawAsk(first, id, "presence", { room: "hall", limit: 100, ...(after && { after }) });
    assert.equal(ack.count, 250);
    listed.push(...names(ack.users));
    after = ack.next;
    id += 1;
  } while (after && id < 20);
  assert.deepEqual(listed, upTo(250).map((i) => `member-${String(i).padStart(4, "0")}`));
});

test("2,000 members join one room: the count is right and the last join costs what an early one does", async (t) => {
  const server = await serve(t, { ...UNLIMITED, ...SHORT });
  const members = await crowd(t, server, 2000);
  const took = { hall: [], young: [] };
  const sizes = [];
  const join = async (member, room, count) => {
    const begun = performance.now();
    const { ack, bytes } = await rawAsk(member, room.length, "join", { room });
    took[room].push(performance.now() - begun);
    assert.equal(ack.members.count, count);
    return bytes;
  };
  for (const [i, member] of members.entries()) {
    sizes.push(await join(member, "hall", i + 1));
    // Another room has its early joins meanwhile, on a machine that is as busy.
    if (i >= 1600) await join(members[i - 1599], "young", i - 1599);
  }
  const [early, late] = [median(took.young.slice(100)), median(took.hall.slice(-300))];
  const shown = `a join took ${early.toFixed(2)} ms early, ${late.toFixed(2)} ms late`;
  t.diagnostic(`${shown}, ${Math.max(...sizes)} bytes at most`);
  assert.ok(late < 3 * early + 2, shown);
  assert.ok(Math.max(...sizes) < 20_000, `${Math.max(...sizes)} bytes`);
  assert.ok(Math.max(...sizes.slice(-300)) < 500, "a room that is only counted is answered in a few bytes");

  const [first] = members;
  const { ack } = await rawAsk(first, 2, "presence", { room: "hall", limit: 10 });
  assert.deepEqual([ack.count, ack.users.length], [2000, 10]);
  const told = first.frames.items.filter((frame) => frame.startsWith('42["presence"')).length;
  assert.equal(told, 99, "the first hundred were announced, the others only counted");

  for (const member of members.slice(1000)) member.socket.terminate();
  let id = 10;
  await eventually(async () => {
    id += 1;
    return (await rawAsk(first, id, "presence", { room: "hall" })).ack.count === 1000;
  }, "those who left were counted on");
});
