// What the client @switchboard/client makes of networks that break and servers that die: the list stays exact, and what was sent
// is stored once.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { client, data, enter, joined, LINKS, seqs, shows, states, Storage } from "./support/client.mjs";
import { open, upTo } from "./support/clients.mjs";
import { present } from "./support/presence.mjs";
import { network } from "./support/proxy.mjs";
import { defer, eventually, Journal } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const isOffline = ({ status }) => status === "offline";
const allSent = (n) => ({ messages }) => messages.length === n && messages.every(({ state }) => state === "sent");

for (const link of LINKS) {
  const suite = (name, run) => test(`${link}: ${name}`, run);

  suite("10,000 messages in a burst are all in the list, once, in order", async (t) => {
    const server = await serve(t, UNLIMITED);
    const [alice, bob] = ["alice", "bob"].map((user) => client(t, server, { link, user, queue: { max: 10_000 } }));
    const [room, other] = await Promise.all([alice, bob].map((each) => enter(t, each, "lobby")));
    const handled = [];
    other.on("message", (data) => handled.push(data));
    const began = performance.now();
    const sent = Promise.all(upTo(10_000).map((n) => room.send(n)));
    await shows(other, ({ messages }) => messages.length === 10_000, "all messages", 60_000);
    t.diagnostic(`a burst of 10,000 messages from one client to another: ${Math.round(performance.now() - began)} ms`);
    await sent;
    await shows(room, allSent(10_000));
    assert.deepEqual(data(other), upTo(10_000));
    assert.deepEqual(seqs(other), upTo(10_000));
    assert.deepEqual(data(room), upTo(10_000));
    assert.deepEqual(handled, upTo(10_000));
  });

  suite("10,000 messages are all in the list, once, in order, while connections are cut and the server is killed", async (t) => {
    const server = await serve(t, UNLIMITED);
    const ways = await Promise.all([network(t, server), network(t, server)]);
    const [alice, bob] = ["alice", "bob"].map((user, i) => client(t, ways[i], { link, user, queue: { max: 10_000 }, ackTimeout: 3000 }));
    const [room, other] = await Promise.all([alice, bob].map((each) => enter(t, each, "lobby")));
    const handled = [];
    other.on("message", (data) => handled.push(data));
    const acked = Promise.all(upTo(10_000).map(async (n) => [n, (await room.send(n)).seq]));

    let over = false;
    const trouble = (async () => {
      for (let n = 0; !over; n += 1) {
        await pause(80 + 40 * (n % 4));
        if (n % 3 === 2) {
          await server.kill();
          await server.start();
        } else {
          const way = ways[n % 2];
          way[n % 4 < 2 ? "cut" : "lose"]();
          await pause(30 * (n % 3));
          way.mend();
        }
        if (n > 25) break;
      }
    })();
    const results = await acked;
    over = true;
    await trouble;
    await shows(other, allSent(10_000), "all messages", 60_000);
    await shows(room, allSent(10_000), "all own messages", 60_000);
    assert.deepEqual(seqs(other), upTo(10_000));
    assert.deepEqual(seqs(room), upTo(10_000));
    assert.deepEqual(data(other), data(room));
    assert.deepEqual([...data(other)].sort((a, b) => a - b), upTo(10_000));
    assert.deepEqual(handled, data(other));
    const listed = data(room);
    for (const [n, seq] of results) assert.equal(listed[seq - 1], n);
    assert.equal(other.getSnapshot().gap, false);
  });

  suite("what is sent offline arrives once, in order, when the network is back", async (t) => {
    const server = await serve(t, UNLIMITED);
    const way = await network(t, server);
    const alice = client(t, way, { link, user: "alice" });
    const room = await enter(t, alice, "lobby");
    const other = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    await room.send(1);
    way.cut();
    await shows(room, isOffline);
    const sent = upTo(100).slice(1).map((n) => room.send(n));
    assert.deepEqual(states(room).slice(1), Array(99).fill("pending"));
    for (const n of upTo(20)) await other.send(`meanwhile ${n}`);
    way.mend();
    await Promise.all(sent);
    await shows(other, allSent(120));
    await shows(room, allSent(120));
    assert.deepEqual(data(room), data(other));
    assert.deepEqual(data(room).filter(Number), upTo(100));
  });

  suite("a message whose ack is lost is stored once, and sent", async (t) => {
    const server = await serve(t, UNLIMITED);
    const way = await network(t, server);
    const room = await enter(t, client(t, way, { link, user: "alice" }), "lobby");
    const other = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    await room.send("first");
    // What the client sends still arrives, and nothing comes back.
    const stored = new Journal("messages at bob");
    other.on("message", (data) => stored.add(data));
    way.mute();
    const sent = room.send("second");
    await stored.count(1);
    assert.equal(states(room)[1], "pending");
    way.cut();
    way.mend();
    assert.equal((await sent).seq, 2);
    await room.send("third");
    await shows(other, allSent(3));
    assert.deepEqual(data(other), ["first", "second", "third"]);
  });

  suite("a message is sent again if there is no ack in time, on the same connection", async (t) => {
    const server = await serve(t, UNLIMITED);
    const way = await network(t, server);
    const alice = client(t, way, { link, user: "alice", ackTimeout: 200 });
    const sessions = new Journal("sessions");
    alice.on("session", (session) => sessions.add(session));
    const room = await enter(t, alice, "lobby");
    const other = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    way.mute();
    const sent = room.send("hello");
    await shows(other, allSent(1));
    assert.deepEqual(states(room), ["pending"]);
    way.mend();
    assert.equal((await sent).seq, 1);
    await room.send("and again");
    await shows(room, allSent(2));
    await shows(other, allSent(2));
    assert.deepEqual(data(other), ["hello", "and again"]);
    assert.equal(sessions.items.length, 1);
  });

  suite("a rate limit is waited out", async (t) => {
    const server = await serve(t, { "limits-messages-per-second": 20, "limits-messages-burst": 20, "limits-backpressure": 0 });
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const sent = await Promise.all(upTo(40).map((n) => room.send(n)));
    await shows(room, allSent(40));
    assert.deepEqual(sent.map(({ data }) => data), upTo(40));
    assert.deepEqual([...data(room)].sort((a, b) => a - b), upTo(40));
  });

  suite("a queue that is full refuses more, and what failed can be sent later", async (t) => {
    const server = await serve(t, UNLIMITED);
    const way = await network(t, server);
    const room = await enter(t, client(t, way, { link, user: "alice", queue: { max: 3 } }), "lobby");
    way.cut();
    await shows(room, isOffline);
    const sent = upTo(3).map((n) => room.send(n));
    await assert.rejects(room.send(4), { code: "limit_reached" });
    assert.deepEqual(states(room), ["pending", "pending", "pending", "failed"]);
    way.mend();
    await Promise.all(sent);
    const { messages } = await shows(room, ({ messages }) => messages.filter(({ state }) => state === "sent").length === 3);
    messages.at(-1).retry();
    assert.equal(states(room).at(-1), "pending");
    await shows(room, allSent(4));
    assert.deepEqual(data(room), [1, 2, 3, 4]);
  });

  suite("a queue in a storage is sent by the next page, once, in order, whatever the order of its keys", async (t) => {
    const server = await serve(t, UNLIMITED);
    const storage = new Storage();
    const queue = { storage, key: "alice" };
    const way = await network(t, server);
    const first = client(t, way, { link, user: "alice", queue });
    const room = await enter(t, first, "lobby");
    way.cut();
    await shows(room, isOffline);
    for (const n of upTo(20)) room.send(n);
    assert.equal(storage.length, 20);

    // The page is gone without a word, and two others begin; another user of the browser has nothing to do with it.
    const copy = new Storage();
    for (const i of upTo(20).reverse()) copy.setItem(storage.key(i - 1), storage.getItem(storage.key(i - 1)));
    const stranger = client(t, server, { link, user: "mallory", queue: { storage: copy, key: "mallory" } });
    stranger.connect();
    const pages = [1, 2].map(() => client(t, server, { link, user: "alice", queue: { storage: copy, key: "alice" } }));
    for (const page of pages) page.connect();
    const other = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    await shows(other, allSent(20));
    assert.deepEqual(data(other), upTo(20));
    assert.deepEqual(new Set(other.getSnapshot().messages.map(({ from }) => from.user)), new Set(["alice"]));
    await eventually(() => copy.length === 0, "the storage is empty");
    for (const page of pages) await shows(page.room("lobby"), allSent(20));
  });

  suite("a message that was sent an hour ago is not sent again by itself", async (t) => {
    const server = await serve(t, UNLIMITED);
    const storage = new Storage();
    const hour = 3_600_000;
    const keep = (id, fields) =>
      storage.setItem(`switchboard:k:lobby ${id}`, JSON.stringify({ room: "lobby", id, event: "message", data: id, ...fields }));
    keep("old", { at: Date.now() - 2 * hour, tried: Date.now() - hour });
    keep("never tried", { at: Date.now() - hour });
    const alice = client(t, server, { link, user: "alice", queue: { storage, key: "k" } });
    const room = await enter(t, alice, "lobby");
    const { messages } = await shows(room, ({ messages }) => messages.length === 2 && messages.every(({ state }) => state !== "pending"));
    assert.deepEqual(messages.map(({ id, state }) => [id, state]), [["never tried", "sent"], ["old", "failed"]]);
    assert.equal(messages[1].error.code, "timeout");
    await eventually(() => storage.length === 0, "the storage is empty");
  });

  suite("a client that was away for long has all that it missed, over many pages", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "recovery-window": 0, "history-page": 50 });
    const way = await network(t, server);
    const room = await enter(t, client(t, way, { link, user: "alice" }), "lobby");
    const messages = [];
    room.on("message", (data) => messages.push(data));
    const bob = client(t, server, { link, user: "bob", queue: { max: 1000 } }).room("lobby");
    await bob.send(1);
    await shows(room, allSent(1));
    way.cut();
    await shows(room, isOffline);
    await Promise.all(upTo(700).slice(1).map((n) => bob.send(n)));
    way.mend();
    await shows(room, allSent(700));
    assert.deepEqual(data(room), upTo(700));
    assert.deepEqual(messages, upTo(700));
    assert.equal(room.getSnapshot().gap, false);
  });

  suite("what the log has no more is a gap, and the first message behind it says so", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "history-messages": 20 });
    const way = await network(t, server);
    const room = await enter(t, client(t, way, { link, user: "alice" }), "lobby");
    const bob = client(t, server, { link, user: "bob" }).room("lobby");
    for (const n of upTo(5)) await bob.send(n);
    await shows(room, allSent(5));
    way.cut();
    await shows(room, isOffline);
    await Promise.all(upTo(150).slice(5).map((n) => bob.send(n)));
    let last = 150;
    const reader = await open(t, server, { user: "reader" });
    // What is over the limit goes with a later write.
    await eventually(async () => {
      await bob.send((last += 1));
      return (await reader.ok("history", { room: "lobby", after: 0, limit: 1 })).messages[0].seq > 10;
    }, "the log is trimmed");
    way.mend();
    const { messages, gap } = await shows(room, ({ messages }) => messages.at(-1).seq === last);
    assert.equal(gap, true);
    const marked = messages.filter(({ afterGap }) => afterGap);
    assert.equal(marked.length, 1);
    assert.deepEqual(messages.slice(0, 5).map(({ seq }) => seq), upTo(5));
    assert.equal(messages[5], marked[0]);
    assert.deepEqual(messages.slice(5).map(({ seq }) => seq), upTo(last).slice(marked[0].seq - 1));
  });

  suite("a client that missed more than its list may have begins again at the end of the log", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "recovery-window": 0, "history-page": 20 });
    const way = await network(t, server);
    const room = await enter(t, client(t, way, { link, user: "alice", maxMessages: 40, history: 10 }), "lobby");
    const bob = client(t, server, { link, user: "bob" }).room("lobby");
    await bob.send(1);
    await shows(room, allSent(1));
    way.cut();
    await shows(room, isOffline);
    await Promise.all(upTo(100).slice(1).map((n) => bob.send(n)));
    way.mend();
    const { hasOlder, gap } = await shows(room, allSent(10));
    assert.deepEqual([hasOlder, gap], [true, false]);
    assert.deepEqual(data(room), upTo(100).slice(90));
    while (await room.loadOlder(30));
    assert.deepEqual(data(room), upTo(100));
  });

  suite("a log that was lost begins a new list, with a gap", async (t) => {
    const server = await serve(t, UNLIMITED);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    for (const n of upTo(5)) await room.send(n);
    await server.kill();
    await rm(join(server.folder, "data"), { recursive: true });
    const sent = room.send("new");
    await server.start();
    await sent;
    const { gap, messages } = await shows(room, allSent(1));
    assert.equal(gap, true);
    assert.deepEqual(messages.map(({ seq, data, afterGap }) => [seq, data, afterGap]), [[1, "new", true]]);
    await room.send("newer");
    await shows(room, allSent(2));
    assert.deepEqual(data(room), ["new", "newer"]);
  });

  suite("what was read while offline is told when the network is back", async (t) => {
    const server = await serve(t, UNLIMITED);
    const way = await network(t, server);
    const room = await enter(t, client(t, way, { link, user: "alice" }), "lobby");
    const bob = client(t, server, { link, user: "bob" }).room("lobby");
    for (const n of upTo(3)) await bob.send(n);
    await shows(room, ({ unread }) => unread === 3);
    way.cut();
    await shows(room, isOffline);
    await assert.rejects(room.markRead(), { code: "unavailable" });
    assert.equal(room.getSnapshot().unread, 0);
    way.mend();
    await joined(room);
    const tab = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    await shows(tab, ({ unread }) => unread === 0);
  });

  suite("a token that may join but not read history has what comes from then on", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "auth-grants": "*=join,publish,presence", "recovery-window": 0 });
    const way = await network(t, server);
    const other = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    await other.send(1);
    const room = await enter(t, client(t, way, { link, user: "alice" }), "lobby");
    await other.send(2);
    await shows(room, allSent(1));
    assert.deepEqual(data(room), [2]);
    assert.equal(room.getSnapshot().hasOlder, false);
    assert.equal(await room.loadOlder(), false);
    way.cut();
    await shows(room, isOffline);
    await other.send(3);
    way.mend();
    await shows(room, ({ gap }) => gap);
    await other.send(4);
    const { messages } = await shows(room, ({ messages }) => messages.at(-1).data === 4);
    assert.deepEqual(messages.map(({ data, afterGap }) => [data, afterGap]), [[2, undefined], [4, true]]);
  });
}

test("a recovered connection keeps its rooms, and learns who came and went", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "presence-grace": "50ms" });
  const way = await network(t, server);
  const alice = client(t, way, { user: "alice" });
  const sessions = new Journal("sessions");
  alice.on("session", ({ connection }) => sessions.add(connection));
  const room = await enter(t, alice, "lobby");
  const statuses = [];
  defer(t, async () => end());
  const end = room.subscribe(() => statuses.push(room.getSnapshot().status));
  const carol = await open(t, server, { user: "carol" });
  await carol.ok("join", "lobby");
  await shows(room, ({ members }) => members.count === 2);
  way.cut();
  await shows(room, isOffline);
  carol.close();
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("join", "lobby");
  await bob.ok("message", { room: "lobby", data: 1 });
  await eventually(async () => Object.keys(await present(bob)).join() === "bob", "the others have left");
  way.mend();
  const isHere = (name) => ({ members }) => members.users.some(({ user }) => user === name);
  const { members } = await shows(room, (snapshot) => snapshot.messages.length === 1 && isHere("bob")(snapshot));
  assert.deepEqual(members.users.map(({ user }) => user), ["alice", "bob"]);
  assert.equal(sessions.items.length, 2);
  assert.equal(sessions.items[0], sessions.items[1]);
  assert.equal(statuses.slice(statuses.indexOf("offline")).includes("joining"), false);
});

test("a user who was kicked while away is not joined again", async (t) => {
  const key = "an-example-key-to-be-changed";
  const server = await serve(t, { ...UNLIMITED, "auth-api-keys": key });
  const way = await network(t, server);
  const room = await enter(t, client(t, way, { user: "alice" }), "lobby");
  const other = await enter(t, client(t, server, { user: "bob" }), "lobby");
  way.cut();
  await shows(room, isOffline);
  const headers = { authorization: `Bearer ${key}` };
  const response = await fetch(`${server.url}/v1/rooms/lobby/members/alice?reason=spam`, { method: "DELETE", headers });
  assert.equal(response.ok, true);
  way.mend();
  const { error } = await shows(room, ({ status, error }) => status === "refused" && error.message === "spam");
  assert.equal(error.code, "forbidden");
  assert.deepEqual(other.getSnapshot().members.users.map(({ user }) => user), ["bob"]);
});
