// Typing: the others see once that somebody types, and once that it is over, however it ends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { MATRIX, open } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { elsewhere } from "./support/process.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

// So long that whatever ends in these tests is not ended by time.
const LONG = { "typing-timeout": "60s" };

const brief = ({ user, typing }) => `${user} ${typing ? "types" : "stops"}`;

// What `client` is told about typing in a room from now on.
function watch(client, room = "lobby") {
  const journal = client.on("typing");
  const events = () => journal.items.map(([event]) => event).filter((event) => event.room === room);
  return {
    events,
    brief: () => events().map(brief),
    until: (text) => journal.until(() => events().find((event) => brief(event) === text), text),
  };
}

// Clients of `users`, all in the lobby.
async function lobby(t, server, ...users) {
  const clients = await Promise.all(users.map((user) => open(t, server, { user })));
  for (const client of clients) await client.ok("join", "lobby");
  return clients;
}

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode} shows that it types, and sees who does`, async (t) => {
    const server = await serve(t, LONG);
    const [alice, tab, bob] = await Promise.all(
      ["alice", "alice", "bob"].map((user) => open(t, server, { v, mode, user })),
    );
    for (const client of [alice, tab, bob]) await client.ok("join", "lobby");
    const [atAlice, atTab, atBob] = [alice, tab, bob].map((client) => watch(client));

    const ack = { ok: true, room: "lobby" };
    assert.deepEqual(await alice.ok("typing", { room: "lobby", typing: true }), ack);
    assert.deepEqual(await alice.ok("typing", { room: "lobby", typing: false }), ack);
    assert.deepEqual(await alice.ok("typing_start", { room: "lobby" }), ack);
    assert.deepEqual(await alice.ok("typing_stop", { room: "lobby" }), ack);
    assert.deepEqual(await alice.ok("typing_start", "lobby"), ack);
    assert.deepEqual(await alice.ok("typing_stop", "lobby"), ack);
    await settled(bob, [alice, tab, bob]);

    const once = ["alice types", "alice stops"];
    assert.deepEqual(atBob.brief(), [...once, ...once, ...once]);
    const [started, stopped] = atBob.events();
    const { expires_in_ms } = started;
    assert.deepEqual(started, { room: "lobby", user: "alice", typing: true, expires_in_ms });
    assert.ok(Number.isInteger(expires_in_ms) && expires_in_ms > 0 && expires_in_ms <= 120_000, `${expires_in_ms}`);
    assert.ok(!(stopped.expires_in_ms > 0), JSON.stringify(stopped));
    assert.deepEqual([...atAlice.events(), ...atTab.events()], [], "one's own typing is no news in any tab");
  });
}

test("typing shows the name in the token", async (t) => {
  const server = await serve(t, { ...LONG, "auth-hmac-secret": SECRET });
  const alice = await open(t, server, { token: sign({ sub: "alice", name: "Alice" }) });
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const atBob = watch(bob);
  await alice.ok("typing_start", "lobby");
  assert.equal((await atBob.until("alice types")).name, "Alice");
  await alice.ok("typing_stop", "lobby");
  assert.equal((await atBob.until("alice stops")).name, "Alice");
});

test("typing_start while typing only prolongs it, and typing_stop without typing sends nothing", async (t) => {
  const server = await serve(t, LONG);
  const [alice, bob] = await lobby(t, server, "alice", "bob");
  const atBob = watch(bob);
  await alice.ok("typing_stop", "lobby");
  for (let i = 0; i < 10; i += 1) {
    await alice.ok("typing_start", "lobby");
    await alice.ok("typing", { room: "lobby", typing: true });
  }
  await alice.ok("typing_stop", "lobby");
  await alice.ok("typing_stop", "lobby");
  await settled(alice, [bob]);
  assert.deepEqual(atBob.brief(), ["alice types", "alice stops"]);
});

test("typing ends by itself, the timeout after the last sign of it", async (t) => {
  const server = await serve(t, { "typing-timeout": "1s" });
  const [alice, bob] = await lobby(t, server, "alice", "bob");
  const atBob = watch(bob);
  const arrivals = [];
  bob.socket.on("typing", (event) => arrivals.push({ ...event, at: performance.now() }));

  const begun = performance.now();
  let last;
  do {
    last = performance.now();
    await alice.ok("typing_start", "lobby");
    await pause(150);
  } while (performance.now() - begun < 2500);
  await atBob.until("alice stops");
  const ended = performance.now();
  assert.ok(ended - last >= 995, `ended ${Math.round(ended - last)} ms after the last sign`);
  assert.ok(ended - last < 5000, `ended ${Math.round(ended - last)} ms after the last sign`);

  await settled(alice, [bob]);
  const starts = arrivals.filter(({ typing }) => typing);
  assert.equal(arrivals.length, starts.length + 1, "it went on without a break and ended once");
  for (const [i, { at }] of starts.entries()) {
    if (i === 0) continue;
    const before = starts[i - 1];
    // Half of it, for what delays one of the two on the way.
    assert.ok(at - before.at >= before.expires_in_ms / 2, `told again after ${Math.round(at - before.at)} ms`);
  }
  assert.ok(starts[0].expires_in_ms <= 2000, `${starts[0].expires_in_ms}`);
});

// Each ends the typing of `alice`.
const ENDINGS = {
  "a message to the room": (alice) => alice.ok("message", { room: "lobby", data: "done" }),
  "leaving the room": (alice) => alice.ok("leave", "lobby"),
  "disconnecting": (alice) => alice.close(),
  "a connection that breaks": (alice) => {
    alice.socket.io.reconnection(false);
    alice.socket.io.engine.close();
  },
};

for (const [name, end] of Object.entries(ENDINGS)) {
  test(`typing is over with ${name}`, async (t) => {
    // Presence may wait for who comes back, typing does not.
    const server = await serve(t, { ...LONG, "presence-grace": "60s" });
    const [alice, bob, carol] = await lobby(t, server, "alice", "bob", "carol");
    const [atBob, atCarol] = [watch(bob), watch(carol)];
    await alice.ok("typing_start", "lobby");
    await atBob.until("alice types");
    await end(alice);
    await Promise.all([atBob.until("alice stops"), atCarol.until("alice stops")]);
    await settled(carol, [bob, carol]);
    for (const told of [atBob, atCarol]) assert.deepEqual(told.brief(), ["alice types", "alice stops"]);
  });
}

test("typing is over when the client's process is killed", async (t) => {
  const server = await serve(t, { ...LONG, "presence-grace": "60s", "socketio-ping-interval": "60s" });
  const [bob] = await lobby(t, server, "bob");
  const atBob = watch(bob);
  const child = await elsewhere(t, server, { user: "alice" }, [["join", "lobby"], ["typing_start", "lobby"]]);
  await atBob.until("alice types");
  child.kill("SIGKILL");
  await atBob.until("alice stops");
});

test("after every ending typing can begin again", async (t) => {
  const server = await serve(t, LONG);
  const [alice, bob] = await lobby(t, server, "alice", "bob");
  const atBob = watch(bob);
  await alice.ok("typing_start", "lobby");
  await alice.ok("message", { room: "lobby", data: 1 });
  await alice.ok("typing_start", "lobby");
  await alice.ok("leave", "lobby");
  await alice.ok("join", "lobby");
  await alice.ok("typing_start", "lobby");
  await settled(alice, [bob]);
  const once = ["alice types", "alice stops"];
  assert.deepEqual(atBob.brief(), [...once, ...once, "alice types"]);
});

test("a message ends its sender's typing in that room only", async (t) => {
  const server = await serve(t, LONG);
  const [alice, bob, carol] = await lobby(t, server, "alice", "bob", "carol");
  for (const client of [alice, bob]) await client.ok("join", "kitchen");
  const [inLobby, inKitchen] = [watch(bob), watch(bob, "kitchen")];
  for (const room of ["lobby", "kitchen"]) await alice.ok("typing_start", room);
  await carol.ok("typing_start", "lobby");
  await alice.ok("message", { room: "lobby", data: 1 });
  await settled(alice, [bob], "lobby");
  await settled(alice, [bob], "kitchen");
  assert.deepEqual(inLobby.brief(), ["alice types", "carol types", "alice stops"]);
  assert.deepEqual(inKitchen.brief(), ["alice types"]);
});

test("two tabs of a user type as one: it is over when neither does", async (t) => {
  const server = await serve(t, LONG);
  const [alice, tab, third, bob] = await lobby(t, server, "alice", "alice", "alice", "bob");
  const [atBob, atThird] = [watch(bob), watch(third)];
  await alice.ok("typing_start", "lobby");
  await tab.ok("typing_start", "lobby");
  await alice.ok("typing_stop", "lobby");
  await settled(alice, [bob]);
  assert.deepEqual(atBob.brief(), ["alice types"], "the other tab still types");
  await tab.ok("typing_stop", "lobby");
  await settled(alice, [bob]);
  assert.deepEqual(atBob.brief(), ["alice types", "alice stops"]);

  await alice.ok("typing_start", "lobby");
  await tab.ok("typing_start", "lobby");
  await tab.ok("leave", "lobby");
  await settled(alice, [bob]);
  assert.equal(atBob.brief().length, 3, "the tab that stays still types");
  alice.close();
  await eventually(() => atBob.brief().length > 3, "typing did not end with the last tab");
  await settled(bob, [bob, third]);
  assert.deepEqual(atBob.brief().slice(2), ["alice types", "alice stops"]);
  assert.deepEqual(atThird.events(), [], "a tab that does not type is not told of its user either");
});

test("the timeout runs for each tab: a silent tab does not end the typing of another", async (t) => {
  const server = await serve(t, { "typing-timeout": "1s" });
  const [alice, tab, bob] = await lobby(t, server, "alice", "alice", "bob");
  const atBob = watch(bob);
  await alice.ok("typing_start", "lobby");
  const begun = performance.now();
  while (performance.now() - begun < 1500) {
    await tab.ok("typing_start", "lobby");
    await pause(150);
  }
  await tab.ok("typing_stop", "lobby");
  await settled(tab, [bob]);
  const told = atBob.brief();
  assert.equal(told.at(-1), "alice stops", "neither types any more");
  assert.equal(told.filter((each) => each === "alice stops").length, 1, `${told}`);
});

for (const v of [2, 3, 4]) {
  test(`client ${v} that joins receives who is typing, right after the ack`, async (t) => {
    const server = await serve(t, LONG);
    const [alice, bob, carol] = await lobby(t, server, "alice", "bob", "carol");
    const silent = await open(t, server, { v, user: "first" });
    const [atSilent, atBob] = [watch(silent), watch(bob)];
    await silent.ok("join", "lobby");
    await alice.ok("typing_start", "lobby");
    await carol.ok("typing_start", "lobby");
    await alice.ok("typing_stop", "lobby");
    await settled(alice, [silent]);
    assert.deepEqual(atSilent.brief(), ["alice types", "carol types", "alice stops"], "nobody typed when it joined");

    const late = await open(t, server, { v, user: "late" });
    const order = [];
    late.socket.on("typing", (event) => order.push(brief(event)));
    late.socket.emit("join", "lobby", (ack) => order.push(`joined ${ack.room}`));
    const atLate = watch(late);
    const told = await atLate.until("carol types");
    assert.ok(told.expires_in_ms > 0, JSON.stringify(told));
    await settled(bob, [late]);
    assert.deepEqual(order, ["joined lobby", "carol types"]);

    const tab = await open(t, server, { v, user: "carol" });
    const atTab = watch(tab);
    await tab.ok("join", "lobby");
    await settled(bob, [tab]);
    assert.deepEqual(atTab.events(), [], "one's own typing is no news");
    assert.deepEqual(atBob.brief(), ["alice types", "carol types", "alice stops"], "the others know already");
  });
}

test("only who is in a room and may write there can type there", async (t) => {
  const server = await serve(t, { ...LONG, "auth-hmac-secret": SECRET });
  const reader = [{ match: "*", can: ["join", "history", "presence"] }];
  const alice = await open(t, server, { token: sign({ sub: "alice", rooms: reader }) });
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  const carol = await open(t, server, { token: sign({ sub: "carol" }) });
  const atBob = watch(bob);
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  await alice.refused("typing", { room: "lobby", typing: true }, "forbidden");
  await alice.refused("typing_start", "lobby", "forbidden");
  await carol.refused("typing", { room: "lobby", typing: true }, "not_joined");
  await carol.refused("typing_start", "lobby", "not_joined");
  await carol.refused("typing_stop", { room: "lobby" }, "not_joined");
  await settled(carol, [bob]);
  assert.deepEqual(atBob.events(), []);
});

test("typing that is not what the event takes is refused as bad_request", async (t) => {
  const server = await serve(t, LONG);
  const [alice, bob] = await lobby(t, server, "alice", "bob");
  const atBob = watch(bob);
  for (const [event, payload] of [
    ["typing", 7],
    ["typing", {}],
    ["typing", { typing: true }],
    ["typing", { room: "lobby", typing: "yes" }],
    ["typing", { room: "lobby", typing: 1 }],
    ["typing", { room: "white space", typing: true }],
    ["typing_start", null],
    ["typing_start", {}],
    ["typing_start", ""],
    ["typing_stop", { room: [] }],
  ]) {
    await alice.refused(event, payload, "bad_request");
  }
  await settled(alice, [bob]);
  assert.deepEqual(atBob.events(), []);
});
