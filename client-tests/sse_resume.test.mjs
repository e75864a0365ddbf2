// Server-Sent Events that are cut: coming back with Last-Event-ID or `since` brings what was missed, once and in order,
// and what cannot be brought is said.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { open, upTo } from "./support/clients.mjs";
import { h2fetch, h2stream, listening, Source, source, stalling, stream } from "./support/events.mjs";
import { network } from "./support/proxy.mjs";
import { chance } from "./support/random.mjs";
import { closings } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { isRefusal } from "./support/web.mjs";

// Time enough, in milliseconds, for 54 MB on a busy machine.
const LONG = 60_000;

const numbers = (stream) => stream.of("message").map(({ data }) => data.data);

// Says 1, 2, 3 … in the rooms by turns.
function speaker(client, rooms) {
  let said = 0;
  return async (n) => {
    for (let i = 0; i < n; i += 1) {
      said += 1;
      await client.ok("message", { room: rooms[said % rooms.length], data: said });
    }
    return said;
  };
}

for (const [protocol, opened] of [["HTTP/1.1", stream], ["HTTP/2", h2stream]]) {
  test(`over ${protocol} a stream resumes after any cursor, over all rooms in one order`, async (t) => {
    const server = await serve(t, UNLIMITED);
    const rooms = ["a", "b", "c"];
    const say = speaker(await open(t, server, { user: "bob" }), rooms);
    const first = await listening(t, server, { rooms, user: "alice" }, opened);
    await say(9);
    await first.nth("message", 9);
    first.close();
    await say(9);
    const places = [first.session, ...first.of("message")];
    for (const [i, { id }] of places.entries()) {
      for (const where of [{ lastEventId: id }, { since: id }, { lastEventId: id, since: places[0].id, history: 2 }]) {
        const back = await listening(t, server, { rooms, user: "alice", ...where }, opened);
        await back.nth("message", 18 - i);
        assert.deepEqual(numbers(back), upTo(18).slice(i), JSON.stringify(where));
        assert.deepEqual(back.of("reset"), []);
        back.close();
      }
    }
    const back = await listening(t, server, { rooms, user: "alice", lastEventId: first.session.id }, opened);
    await say(3);
    await back.nth("message", 21);
    assert.deepEqual(numbers(back), upTo(21), "and goes on live");
  });
}

test("a stream of one room can begin after a position", async (t) => {
  const server = await serve(t);
  const bob = await open(t, server, { user: "bob" });
  const { epoch } = await bob.ok("join", "lobby");
  await speaker(bob, ["lobby"])(6);
  const alice = await listening(t, server, { room: "lobby", since: `${epoch}:4` });
  await alice.nth("message", 2);
  assert.deepEqual(numbers(alice), [5, 6]);
  const present = await listening(t, server, { room: "lobby", since: `${epoch}:6` });
  await bob.ok("message", { room: "lobby", data: 7 });
  await present.nth("message");
  assert.deepEqual(numbers(present), [7]);
  assert.deepEqual([...alice.of("reset"), ...present.of("reset")], []);
});

test("a position that cannot be gone on from is reset, and the room begins afresh", async (t) => {
  const server = await serve(t);
  const bob = await open(t, server, { user: "bob" });
  const { epoch } = await bob.ok("join", "lobby");
  await speaker(bob, ["lobby"])(6);
  for (const since of ["otherlife:2", `${epoch}:7`]) {
    const alice = await listening(t, server, { room: "lobby", since, history: 2 });
    const reset = await alice.nth("reset");
    assert.deepEqual(reset.data, { room: "lobby", epoch, seq: 6 });
    await alice.nth("message", 2);
    assert.deepEqual(numbers(alice), [5, 6]);
    alice.close();
  }
  const bare = await listening(t, server, { room: "lobby", since: `${epoch}:7` });
  const { id } = await bare.nth("reset");
  bare.close();
  await bob.ok("message", { room: "lobby", data: 7 });
  // What EventSource gives back: the reset's cursor, if it has one.
  const again = await listening(t, server, { room: "lobby", lastEventId: id ?? bare.session.id });
  await bob.ok("message", { room: "lobby", data: 8 });
  await again.events.until(() => again.of("message").at(-1)?.data.data === 8, "the last");
  assert.ok(numbers(again)[0] === 7 || again.of("reset").length === 1, "a message was lost and nothing was said");
});

test("a stream that missed more than is retained gets reset for that room, and everything of the others", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-rooms": "short=10,7d" });
  const bob = await open(t, server, { user: "bob" });
  const alice = await listening(t, server, { rooms: ["short", "long"], user: "alice" });
  for (const n of upTo(3)) await bob.ok("message", { room: "long", data: `before ${n}` });
  await alice.nth("message", 3);
  alice.close();
  // Trimming is done in batches, some way beyond the bound.
  for (const n of upTo(200)) await bob.ok("message", { room: "short", data: n });
  for (const n of upTo(30)) await bob.ok("message", { room: "long", data: n });
  const { id } = alice.of("message").at(-1);
  const back = await listening(t, server, { rooms: ["short", "long"], user: "alice", lastEventId: id });
  const reset = await back.nth("reset");
  assert.deepEqual([reset.data.room, reset.data.seq], ["short", 200]);
  await back.events.until(() => back.of("message").at(-1)?.data.data === 30, "the last");
  assert.deepEqual(back.of("message").filter(({ data }) => data.room === "long").map(({ data }) => data.data), upTo(30));
  assert.equal(back.of("reset").length, 1);
  await bob.ok("message", { room: "short", data: "live" });
  await back.events.until(() => back.of("message").some(({ data }) => data.data === "live"), "the live one");
});

test("a stream that is cut before it received every reset receives them all when it reconnects", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-messages": 10 });
  const bob = await open(t, server, { user: "bob" });
  const rooms = ["a", "b", "c"];
  const alice = await listening(t, server, { rooms, user: "alice" });
  alice.close();
  for (const n of upTo(200)) for (const room of ["a", "b"]) await bob.ok("message", { room, data: n });
  let place = alice.session.id;
  const back = await listening(t, server, { rooms, user: "alice", lastEventId: place, history: 1 });
  await back.nth("message", 2);
  const resets = (stream) => stream.of("reset").map(({ data }) => data.room);
  assert.deepEqual(resets(back), ["a", "b"]);
  back.close();
  const events = [...back.events.items];
  // Cut behind each of its events: what was heard before, and what is heard now, is all that there is to hear.
  for (const [i, { id, event }] of events.entries()) {
    place = id ?? place;
    const again = await listening(t, server, { rooms, user: "alice", lastEventId: place, history: 1 });
    await bob.ok("message", { room: "c", data: "now" });
    await again.events.until(() => again.of("message").some(({ data }) => data.data === "now"), "the last");
    const heard = i >= events.findLastIndex((heard) => heard.event === "reset");
    assert.deepEqual(resets(again), heard ? [] : ["a", "b"], `behind ${event}`);
    again.close();
  }
});

test("a cursor of a lost log gets reset; EventSource continues by itself", async (t) => {
  const server = await serve(t, { "events-retry": "100ms" });
  const bob = await open(t, server, { user: "bob" });
  const alice = await source(t, server, { room: "lobby", user: "alice" });
  await speaker(bob, ["lobby"])(5);
  await alice.nth("message", 5);
  await server.kill();
  await rm(join(server.folder, "data"), { recursive: true, force: true });
  await server.start();
  const reset = await alice.nth("reset");
  assert.deepEqual([reset.room, reset.seq], ["lobby", 0]);
  await bob.session(2);
  await bob.ok("message", { room: "lobby", data: "new life" });
  await alice.nth("message", 6);
  assert.equal(alice.of("message").at(-1).data, "new life");
});

test("a cursor that is none is 400 in the address, and no reason to refuse a Last-Event-ID", async (t) => {
  const server = await serve(t);
  isRefusal(await stream(t, server, { room: "lobby", since: "n o n s e n s e" }), 400, "bad_request");
  const odd = await stream(t, server, { room: "lobby", lastEventId: "of another server" });
  assert.ok(odd.status === 200 || odd.status === 400, `${odd.status}`);
  if (odd.status === 200) assert.equal((await odd.nth("reset")).data.room, "lobby");
});

test("without the history grant nothing is replayed, and reset says so", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET });
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  const token = sign({ sub: "alice", rooms: [{ match: "lobby", can: ["join"] }] });
  const alice = await listening(t, server, { room: "lobby", token });
  await bob.ok("message", { room: "lobby", data: 1 });
  const { id } = await alice.nth("message");
  alice.close();
  await bob.ok("message", { room: "lobby", data: 2 });
  const back = await listening(t, server, { room: "lobby", token, lastEventId: id });
  assert.equal((await back.nth("reset")).data.room, "lobby");
  await bob.ok("message", { room: "lobby", data: 3 });
  await back.nth("message");
  assert.deepEqual(numbers(back), [3]);
});

test("a stream survives a kill of the server, the personal room's notifications too", async (t) => {
  const server = await serve(t, { "events-retry": "100ms" });
  const bob = await open(t, server, { user: "bob" });
  const alice = await source(t, server, { rooms: ["a", "b"], user: "alice" });
  const say = speaker(bob, ["a", "b"]);
  await say(4);
  await alice.nth("message", 4);
  await server.kill();
  await server.start();
  await bob.session(2);
  await say(4);
  await alice.nth("message", 8);
  assert.deepEqual(alice.of("message").map(({ data }) => data), upTo(8));
});

test("a token's rooms of today count when a stream is resumed", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET });
  const can = ["join", "history", "publish", "presence"];
  const alice = await listening(t, server, { rooms: ["a", "b"], bearer: sign({ sub: "alice", rooms: [{ match: "*", can }] }) });
  alice.close();
  const less = sign({ sub: "alice", rooms: [{ match: "a", can }] });
  isRefusal(await stream(t, server, { rooms: ["a", "b"], bearer: less, lastEventId: alice.session.id }), 403, "forbidden");
});

test("EventSource, over HTTP/1.1 and HTTP/2, cut at random while 2,000 messages are sent to three rooms loses nothing and receives nothing twice", async (t) => {
  const MESSAGES = 2_000;
  const server = await serve(t, { ...UNLIMITED, "events-retry": "20ms", "limits-connects-per-second": 0 });
  const rooms = ["a", "b", "c"];
  const [one, two] = await Promise.all([network(t, server), network(t, server)]);
  const random = chance(20_261_121);
  const readers = [
    new Source(t, one, { rooms, user: "reader1" }),
    new Source(t, two, { rooms, user: "reader2", fetch: h2fetch }),
  ];
  const steady = await listening(t, server, { rooms, user: "steady" });
  for (const reader of readers) await reader.nth("session");

  let over = false;
  const cutting = (async () => {
    let cuts = 0;
    while (!over) {
      // The cuts must come at no particular moment, so these waits are for time.
      await pause(random() * 60);
      const way = random() < 0.5 ? one : two;
      way[random() < 0.7 ? "cut" : "lose"]();
      await pause(random() * 30);
      way.mend();
      cuts += 1;
    }
    return cuts;
  })();
  const bob = await open(t, server, { user: "bob" });
  let sent = 0;
  await Promise.all(
    upTo(4).map(async () => {
      while (sent < MESSAGES) {
        sent += 1;
        await bob.ok("message", { room: rooms[sent % 3], data: sent });
      }
    }),
  );
  over = true;
  const cuts = await cutting;
  await steady.nth("message", MESSAGES);
  const order = steady.of("message").map(({ data }) => `${data.room}:${data.seq}`);
  for (const [i, reader] of readers.entries()) {
    await reader.events.until(() => reader.of("message").length >= MESSAGES, "all", 60_000);
    assert.deepEqual(reader.of("message").map(({ room, seq }) => `${room}:${seq}`), order, `reader ${i}`);
    assert.deepEqual(reader.of("reset"), []);
    assert.ok(reader.opens.items.length > 3, `reader ${i} was cut ${reader.opens.items.length - 1} times`);
  }
  t.diagnostic(`${cuts} cuts, ${readers.map(({ opens }) => opens.items.length)} openings`);
});

for (const [protocol, opened] of [["HTTP/1.1", stalling], ["HTTP/2", h2stream]]) {
  test(`over ${protocol} a reader that stops reading is ended, costs little, and has all when it is back`, async (t) => {
    const server = await serve(t, {
      ...UNLIMITED,
      "limits-stall": "2s",
      "history-hot-bytes": "1MiB",
      "sqlite-synchronous": "normal",
      "sqlite-readers": 1,
    });
    const writer = await open(t, server, { user: "writer" });
    const body = "x".repeat(60_000);
    let said = 0;
    const flood = async (to) => {
      let most = 0;
      await Promise.all(
        upTo(4).map(async () => {
          while (said < to) {
            said += 1;
            await writer.ok("message", { room: "lobby", data: body });
            most = Math.max(most, await server.memory());
          }
        }),
      );
      return most;
    };
    const slow = await listening(t, server, { room: "lobby", user: "slow" }, opened);
    const reader = await listening(t, server, { room: "lobby", user: "reader" });
    const before = await flood(400);
    slow.stall();
    const most = await flood(900);
    await reader.nth("message", 900, LONG);
    assert.ok(most - before < 12, `${(most - before).toFixed(1)} MiB more`);
    await eventually(async () => (await closings(server, "slow")) === 1, "it was not closed as slow");
    slow.resume();
    await slow.ended();
    const back = await listening(t, server, { room: "lobby", user: "slow", lastEventId: slow.of("message").at(-1)?.id ?? slow.session.id });
    const had = slow.of("message").length;
    await back.nth("message", 900 - had, LONG);
    assert.deepEqual([...slow.of("message"), ...back.of("message")].map(({ data }) => data.seq), upTo(900));
  });
}
