// Rooms of the client @switchboard/client, over each of its links: their list, their members, and when they are joined and left.

import assert from "node:assert/strict";
import { test } from "node:test";
import { client, connected, data, enter, joined, LINKS, seqs, shows, states } from "./support/client.mjs";
import { open, upTo } from "./support/clients.mjs";
import { watch } from "./support/presence.mjs";
import { eventually, Journal } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const SERVER = { ...UNLIMITED, "presence-grace": "100ms" };

for (const link of LINKS) {
  const suite = (name, run) => test(`${link}: ${name}`, run);

  suite("a message is pending at once, then sent, and sending resolves with what is stored", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const sent = room.send({ text: "hello" });
    assert.deepEqual(states(room), ["pending"]);
    assert.equal(room.getSnapshot().messages[0].seq, undefined);
    const message = await sent;
    assert.equal(message.seq, 1);
    assert.deepEqual(message.from, { user: "alice" });
    assert.deepEqual(message.data, { text: "hello" });
    const { messages } = await shows(room, ({ messages }) => messages[0].state === "sent");
    assert.equal(messages.length, 1);
    assert.equal(messages[0].id, message.id);
    assert.equal(messages[0].ts, message.ts);
  });

  suite("messages of several members are one list, in one order", async (t) => {
    const server = await serve(t, SERVER);
    const names = ["alice", "bob", "carol"];
    const rooms = await Promise.all(names.map((user) => enter(t, client(t, server, { link, user }), "lobby")));
    await Promise.all(upTo(50).flatMap((n) => rooms.map((room, i) => room.send(`${names[i]} ${n}`))));
    const complete = ({ messages }) => messages.length === 150 && messages.every(({ state }) => state === "sent");
    for (const room of rooms) await shows(room, complete);
    const [first, ...others] = rooms.map(data);
    for (const other of others) assert.deepEqual(other, first);
    for (const room of rooms) assert.deepEqual(seqs(room), upTo(150));
    const own = first.filter((text) => text.startsWith("bob"));
    assert.deepEqual(own, upTo(50).map((n) => `bob ${n}`));
  });

  suite("what was sent first is first, also when many wait", async (t) => {
    const server = await serve(t, SERVER);
    const alice = client(t, server, { link, user: "alice" });
    const room = alice.room("lobby");
    await Promise.all(upTo(150).map((n) => room.send(n)));
    assert.deepEqual(data(await entered(t, client(t, server, { link, user: "bob", history: 150 }))), upTo(150));
  });

  suite("a member that joins has the history it asked for, and loads the rest page by page", async (t) => {
    const server = await serve(t, SERVER);
    const alice = client(t, server, { link, user: "alice" });
    await Promise.all(upTo(95).map((n) => alice.room("lobby").send(n)));
    const room = await entered(t, client(t, server, { link, user: "bob", history: 20 }));
    assert.deepEqual(data(room), upTo(95).slice(75));
    assert.equal(room.getSnapshot().hasOlder, true);
    assert.equal(await room.loadOlder(), true);
    assert.deepEqual(data(room), upTo(95).slice(55));
    const [once, twice] = await Promise.all([room.loadOlder(50), room.loadOlder(50)]);
    assert.ok(once && twice);
    assert.deepEqual(data(room), upTo(95).slice(5));
    assert.equal(await room.loadOlder(50), false);
    assert.deepEqual(data(room), upTo(95));
    assert.equal(await room.loadOlder(), false);
  });

  suite("events of any name are in the list, and ephemeral ones only have handlers", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "board");
    const bob = client(t, server, { link, user: "bob" });
    const other = await enter(t, bob, "board");
    const strokes = handled(other, "stroke");
    const cursors = handled(other, "cursor");
    const anywhere = new Journal("strokes anywhere");
    bob.on("stroke", (data, meta) => anywhere.add({ data, room: meta.room }));

    const stored = await room.publish("stroke", { x: 1 });
    assert.equal(stored.seq, 1);
    assert.equal(stored.event, "stroke");
    assert.equal(await room.publish("cursor", [3, 4], { ephemeral: true }), undefined);
    await cursors.count(1);
    assert.deepEqual(cursors.items[0].data, [3, 4]);
    assert.equal(cursors.items[0].meta.seq, undefined);
    assert.deepEqual(cursors.items[0].meta.from, { user: "alice" });
    assert.deepEqual(strokes.items.map(({ data, meta }) => [data, meta.seq, meta.room]), [[{ x: 1 }, 1, "board"]]);
    await anywhere.count(1);
    assert.deepEqual(anywhere.items, [{ data: { x: 1 }, room: "board" }]);
    assert.deepEqual((await shows(other, ({ messages }) => messages.length === 1)).messages[0].event, "stroke");
  });

  suite("handlers are called for each message that comes, in order, once, and not for history", async (t) => {
    const server = await serve(t, SERVER);
    const alice = client(t, server, { link, user: "alice" });
    const room = await enter(t, alice, "lobby");
    await room.send("before");
    const bob = client(t, server, { link, user: "bob" });
    const other = bob.room("lobby");
    const messages = handled(other, "message");
    await joined(other);
    const own = handled(room, "message");
    await Promise.all(upTo(300).map((n) => (n % 2 ? room : other).send(n)));
    await messages.count(300);
    await own.count(300);
    assert.deepEqual(messages.items.map(({ meta }) => meta.seq), upTo(301).slice(1));
    assert.deepEqual(own.items, messages.items);
  });

  suite("a handler that throws stops no other", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const reported = new Journal("reported errors");
    const { error } = console;
    console.error = (failure) => reported.add(failure.message);
    t.after(() => (console.error = error));
    room.on("message", () => {
      throw new Error("a mistake");
    });
    const messages = handled(room, "message");
    await room.send(1);
    await room.send(2);
    await messages.count(2);
    assert.deepEqual(reported.items, ["a mistake", "a mistake"]);
  });

  suite("fifty subscribers that come and go are one connection and one join", async (t) => {
    const server = await serve(t, SERVER);
    const watcher = await open(t, server, { user: "watcher" });
    const presence = watch(watcher);
    await watcher.ok("join", "lobby");
    const alice = client(t, server, { link, user: "alice" });
    const sessions = new Journal("sessions");
    alice.on("session", (session) => sessions.add(session));
    const room = alice.room("lobby");
    // As StrictMode does: subscribed, unsubscribed, subscribed.
    const ends = upTo(50).map(() => {
      room.subscribe(() => {})();
      return room.subscribe(() => {});
    });
    await joined(room);
    for (const end of ends) {
      end();
      end();
    }
    const again = room.subscribe(() => {});
    await room.send("still here");
    again();
    await presence.until("leave alice 1");
    assert.deepEqual(presence.brief(), ["join alice 2", "leave alice 1"]);
    assert.equal(sessions.items.length, 1);
    assert.equal(alice.room("lobby"), room);
    assert.equal(room.getSnapshot().status, "idle");
  });

  suite("a room is left a second after its last user is gone, and goes on where it was", async (t) => {
    const server = await serve(t, SERVER);
    const alice = client(t, server, { link, user: "alice" });
    const room = alice.room("lobby");
    const end = room.subscribe(() => {});
    await joined(room);
    await room.send(1);
    const left = Date.now();
    end();
    assert.equal(room.getSnapshot().status, "joined");
    await eventually(() => room.getSnapshot().status === "idle", "it is left");
    assert.ok(Date.now() - left > 900, `it was left after ${Date.now() - left} ms`);

    const bob = client(t, server, { link, user: "bob" });
    await bob.room("lobby").send(2);
    const messages = handled(room, "message");
    await joined(room);
    await shows(room, ({ messages }) => messages.length === 2);
    assert.deepEqual(data(room), [1, 2]);
    await bob.room("lobby").send(3);
    await messages.count(1);
    assert.deepEqual(messages.items.map(({ data }) => data), [3]);
  });

  suite("parts of a snapshot that did not change are the same objects", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const bob = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    await shows(room, ({ members }) => members.count === 2);
    await room.send(1);
    const first = await shows(room, ({ messages }) => messages[0]?.state === "sent");
    assert.equal(room.getSnapshot(), room.getSnapshot());
    bob.typing.keystroke();
    const typing = await shows(room, ({ typing }) => typing.length === 1);
    assert.notEqual(typing, first);
    assert.equal(typing.messages, first.messages);
    assert.equal(typing.members, first.members);
    await bob.send(2);
    const second = await shows(room, ({ messages }) => messages.length === 2);
    assert.notEqual(second.messages, first.messages);
    assert.equal(second.messages[0], first.messages[0]);
    assert.equal(second.members, first.members);
  });

  suite("a list is trimmed to what it may keep, and the rest is loaded again", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice", maxMessages: 30 }), "lobby");
    await Promise.all(upTo(100).map((n) => room.send(n)));
    const { hasOlder, gap } = await shows(room, ({ messages }) => messages.length === 30);
    assert.deepEqual([hasOlder, gap], [true, false]);
    assert.deepEqual(data(room), upTo(100).slice(70));
    assert.equal(await room.loadOlder(50), true);
    assert.deepEqual(data(room), upTo(100).slice(20));
    await room.send(101);
    await shows(room, ({ messages }) => messages.at(-1).data === 101 && messages.at(-1).state === "sent");
    assert.equal(data(room).length, 80);
  });

  suite("who is in the room is shown, and their status", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const bob = client(t, server, { link, user: "bob" });
    const leave = bob.room("lobby").subscribe(() => {});
    const { members } = await shows(room, ({ members }) => members.count === 2);
    assert.deepEqual(members.users.map(({ user, status }) => [user, status]), [["alice", "online"], ["bob", "online"]]);
    await bob.setStatus("busy", { until: "noon" });
    await shows(room, ({ members }) => members.users[1]?.status === "busy" && members.users[1].info?.until === "noon");
    leave();
    await shows(room, ({ members }) => members.count === 1 && members.users.length === 1);
  });

  suite("typing is shown to others, ends with a message, and ends by itself", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const bob = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    bob.typing.keystroke();
    bob.typing.keystroke();
    const { typing } = await shows(room, ({ typing }) => typing.length === 1);
    assert.deepEqual(typing, [{ user: "bob" }]);
    assert.deepEqual(bob.getSnapshot().typing, []);
    await bob.send("done");
    await shows(room, ({ typing }) => typing.length === 0);
    bob.typing.keystroke();
    await shows(room, ({ typing }) => typing.length === 1);
    bob.typing.stop();
    await shows(room, ({ typing }) => typing.length === 0);
    bob.typing.keystroke();
    await shows(room, ({ typing }) => typing.length === 1);
    await shows(room, ({ typing }) => typing.length === 0, "the end three seconds after the last key");
  });

  suite("unread counts the messages of others, and reading in another tab counts", async (t) => {
    const server = await serve(t, SERVER);
    const bob = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    for (const n of [1, 2, 3]) await bob.send(n);
    const tabs = await Promise.all([1, 2].map(() => enter(t, client(t, server, { link, user: "alice" }), "lobby")));
    for (const tab of tabs) assert.equal(tab.getSnapshot().unread, 3);
    await tabs[0].send("mine");
    await bob.send(5);
    for (const tab of tabs) await shows(tab, ({ unread, messages }) => unread === 4 && messages.length === 5);
    const read = tabs[0].markRead(2);
    assert.equal(tabs[0].getSnapshot().unread, 2);
    await read;
    for (const tab of tabs) await shows(tab, ({ unread }) => unread === 2);
    await tabs[1].markRead();
    for (const tab of tabs) await shows(tab, ({ unread }) => unread === 0);
    const third = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    assert.equal(third.getSnapshot().unread, 0);
  });

  suite("notifications are the personal room, with history, read markers and handlers", async (t) => {
    const key = "an-example-key-to-be-changed";
    const server = await serve(t, { ...SERVER, "auth-api-keys": key });
    const notify = (user, text) =>
      fetch(`${server.url}/v1/users/${user}/notifications`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify({ data: { text } }),
      }).then((response) => assert.equal(response.ok, true));
    await notify("alice", "while away");
    const { notifications } = client(t, server, { link, user: "alice" });
    assert.equal(notifications.getSnapshot().status, "idle");
    const shown = new Journal("notifications");
    notifications.on((data, message) => shown.add([data.text, message.event, message.seq]));
    const first = await shows(notifications, ({ status }) => status === "joined");
    assert.deepEqual(first.messages.map(({ data }) => data.text), ["while away"]);
    assert.equal(first.unread, 1);
    await notify("alice", "now");
    await shown.count(1);
    assert.deepEqual(shown.items, [["now", "notification", 2]]);
    await shows(notifications, ({ unread, messages }) => unread === 2 && messages.length === 2);
    await notifications.markRead();
    assert.equal(notifications.getSnapshot().unread, 0);
    assert.equal(await notifications.loadOlder(), false);
  });

  suite("a room that may not be joined is refused with the reason, and what is sent to it fails", async (t) => {
    const server = await serve(t, SERVER);
    const room = client(t, server, { link, user: "alice" }).room("user:bob");
    const { error } = await shows(room, ({ status }) => status === "refused");
    assert.equal(error.code, "forbidden");
    await assert.rejects(room.send("hello"), { code: "forbidden" });
    const [message] = (await shows(room, ({ messages }) => messages[0]?.state === "failed")).messages;
    assert.equal(message.error.code, "forbidden");
  });

  suite("a message that is too large fails, and may be tried again", async (t) => {
    const server = await serve(t, { ...SERVER, "limits-message-bytes": 1000 });
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    await assert.rejects(room.send("x".repeat(2000)), { code: "too_large", name: "SwitchboardError" });
    await room.send("small");
    const failed = (await shows(room, ({ messages }) => messages[1]?.state === "failed")).messages[1];
    assert.equal(failed.error.code, "too_large");
    failed.retry();
    assert.equal(room.getSnapshot().messages[1].state, "pending");
    const again = await shows(room, ({ messages }) => messages[1].state === "failed");
    assert.equal(again.messages[1].id, failed.id);
  });

  suite("data that is no JSON is refused at once", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    await assert.rejects(room.send(10n), { code: "bad_request" });
    assert.deepEqual(room.getSnapshot().messages, []);
    const data = { n: 1 };
    const sent = room.send(data);
    data.n = 2;
    assert.deepEqual((await sent).data, { n: 1 });
  });

  suite("the same id again is the same message", async (t) => {
    const server = await serve(t, SERVER);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const first = await room.send("one", { id: "order-7" });
    const second = await room.send("one", { id: "order-7" });
    assert.equal(second.seq, first.seq);
    await room.send("two");
    await shows(room, ({ messages }) => messages.length === 2 && messages.every(({ state }) => state === "sent"));
    assert.deepEqual(data(room), ["one", "two"]);
  });

  suite("a user who is kicked sees why, and comes back when the room is used anew", async (t) => {
    const key = "an-example-key-to-be-changed";
    const server = await serve(t, { ...SERVER, "auth-api-keys": key });
    const alice = client(t, server, { link, user: "alice" });
    const room = alice.room("lobby");
    const end = room.subscribe(() => {});
    await joined(room);
    const response = await fetch(`${server.url}/v1/rooms/lobby/members/alice?reason=spam`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${key}` },
    });
    assert.equal(response.ok, true, await response.text());
    const { error } = await shows(room, ({ status }) => status === "refused");
    assert.equal(error.code, "forbidden");
    assert.equal(error.message, "spam");
    end();
    await eventually(() => room.getSnapshot().status === "idle", "it is not used any more");
    await joined(room);
  });

  suite("closing fails what waits, and everything after it", async (t) => {
    const server = await serve(t, SERVER);
    const alice = client(t, server, { link, user: "alice" });
    const room = await enter(t, alice, "lobby");
    const other = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    const waiting = room.send("never");
    alice.close();
    await assert.rejects(waiting, { code: "closed" });
    await assert.rejects(room.send("later"), { code: "closed" });
    assert.equal(alice.status, "closed");
    const { status, error } = await shows(room, ({ status }) => status === "refused");
    assert.deepEqual([status, error.code], ["refused", "closed"]);
    await shows(other, ({ members }) => members.count === 1);
    alice.connect();
    assert.equal(alice.status, "closed");
  });

  suite("nothing connects before the first use", async (t) => {
    const server = await serve(t, SERVER);
    let asked = 0;
    const auth = () => ((asked += 1), { user: "alice" });
    const alice = client(t, server, { link, auth });
    alice.room("lobby").getSnapshot();
    alice.notifications.getSnapshot();
    alice.on("session", () => {});
    alice.connection.subscribe(() => {});
    assert.equal(alice.status, "idle");
    alice.connect();
    const { user, connection } = await connected(alice);
    assert.equal(user, "alice");
    assert.equal(typeof connection, "string");
    assert.equal(asked, 1);
  });
}

async function entered(t, made) {
  return enter(t, made, "lobby");
}

// Collects what `room` hands to a handler of `event`.
function handled(room, event) {
  const journal = new Journal(`${event} in ${room.name}`);
  room.on(event, (data, meta) => journal.add({ data, meta }));
  return journal;
}
