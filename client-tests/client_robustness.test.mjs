// What the client @switchboard/client makes of what should not happen: messages that are too large, servers that answer oddly, storages
// that are denied, users that change, handlers that close it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { EventSource } from "eventsource";
import { subscribe } from "../client/dist/esm/sse.js";
import { Timeline } from "../client/dist/esm/timeline.js";
import { client, data, enter, joined, LINKS, shows, states, Storage } from "./support/client.mjs";
import { open, upTo } from "./support/clients.mjs";
import { fake, log, message } from "./support/fake_server.mjs";
import { network } from "./support/proxy.mjs";
import { defer, eventually, Journal, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";

const KEY = "an-example-key-to-be-changed";
const HUGE = "x".repeat(5_000_000);

const isOffline = ({ status }) => status === "offline";
const isRefused = ({ status }) => status === "refused";
const soon = (promise, what) => within(promise, () => what, 6_000);
const outcome = (promise) => promise.then(() => "stored", ({ code }) => code);

// Nothing tells that something does not happen: that long it could have.
const watch = pause;

// Another user of the room, who has it open: whatever is stored there comes here.
const reader = (t, server, name = "lobby") => enter(t, client(t, server, { user: "reader" }), name);

for (const link of LINKS) {
  const suite = (name, run) => test(`${link}: ${name}`, run);

  suite("a message that is larger than the server takes at once fails alone, and is not kept", async (t) => {
    const server = await serve(t, UNLIMITED);
    const storage = new Storage();
    const alice = client(t, server, { link, user: "alice", queue: { storage, key: "k" } });
    const sessions = new Journal("sessions");
    alice.on("session", (session) => sessions.add(session));
    const room = await enter(t, alice, "lobby");
    const sent = ["before", HUGE, "behind"].map((each) => outcome(room.send(each)));
    assert.deepEqual(await soon(Promise.all(sent), "not all are stored or failed"), ["stored", "too_large", "stored"]);
    await shows(room, ({ messages }) => messages.every(({ state }) => state !== "pending"));
    assert.deepEqual(states(room), ["sent", "sent", "failed"]);
    assert.deepEqual(data(await reader(t, server)), ["before", "behind"]);
    assert.ok(sessions.items.length <= 5, `${sessions.items.length} connections`);
    assert.equal(storage.length, 0);
    await assert.rejects(room.publish("stroke", HUGE, { ephemeral: true }), { code: "too_large" });
    await room.send("later");
  });

  suite("a message is too large by its bytes, not by its characters", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "limits-message-bytes": "512KiB" });
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const sent = ["€".repeat(500_000), "behind"].map((each) => outcome(room.send(each)));
    assert.deepEqual(await soon(Promise.all(sent), "not all are stored or failed"), ["too_large", "stored"]);
  });

  suite("a token that has expired on the way is asked for again", async (t) => {
    const server = await serve(t, { "auth-hmac-secret": SECRET });
    let asked = 0;
    const auth = async () => ({ token: sign({ sub: "alice", exp: at((asked += 1) > 1 ? 600 : -600) }) });
    const alice = client(t, server, { link, auth });
    const statuses = new Set();
    defer(t, async () => end());
    const end = alice.connection.subscribe(() => statuses.add(alice.status));
    alice.connect();
    await shows(alice.connection, ({ status }) => status === "connected", "connected", 6_000);
    assert.ok(asked > 1);
    assert.equal(statuses.has("refused"), false);
  });

  suite("a token that has expired and stays the same is refused", async (t) => {
    const server = await serve(t, { "auth-hmac-secret": SECRET });
    const alice = client(t, server, { link, token: sign({ sub: "alice", exp: at(-600) }) });
    alice.connect();
    const { error } = await shows(alice.connection, isRefused, "refused", 6_000);
    assert.ok(["token_expired", "unauthorized"].includes(error.code), error.code);
  });

  suite("what a user wrote is not sent in the name of another one, who has a read marker of their own", async (t) => {
    const server = await serve(t, UNLIMITED);
    const way = await network(t, server);
    let user = "alice";
    const shared = client(t, way, { link, auth: () => ({ user }) });
    const room = await enter(t, shared, "lobby");
    const other = await enter(t, client(t, server, { user: "bob" }), "lobby");
    for (const n of upTo(5)) await other.send(n);
    await shows(room, ({ unread }) => unread === 5);
    await room.markRead();
    assert.equal(room.getSnapshot().unread, 0);
    way.cut();
    await shows(room, isOffline);
    const sent = room.send("of alice");
    user = "carol";
    way.mend();
    await assert.rejects(soon(sent, "the message neither fails nor is stored"));
    await shows(shared.connection, ({ status, user }) => status === "connected" && user === "carol");
    await joined(room);
    await shows(room, ({ unread }) => unread === 5, "the new user's number of unread messages", 6_000);
    const failed = room.getSnapshot().messages.filter(({ state }) => state === "failed");
    assert.deepEqual(failed.map(({ data, retry }) => [data, typeof retry]), [["of alice", "function"]]);
    await room.send("of carol");
    const { messages } = await shows(other, ({ messages }) => messages.length === 6);
    assert.deepEqual([messages[5].data, messages[5].from.user], ["of carol", "carol"]);
  });

  suite("no handler is called once one of them has closed the client", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "recovery-window": 0 });
    const way = await network(t, server);
    const alice = client(t, way, { link, user: "alice" });
    const room = await enter(t, alice, "lobby");
    const other = await enter(t, client(t, server, { user: "bob" }), "lobby");
    const calls = [];
    room.on("message", (n) => (calls.push(`first ${n}`), alice.close()));
    room.on("message", (n) => calls.push(`second ${n}`));
    alice.on("message", (n) => calls.push(`any room ${n}`));
    way.cut();
    await shows(room, isOffline);
    for (const n of upTo(20)) await other.send(n);
    way.mend();
    await eventually(() => alice.status === "closed", "the client is closed");
    await other.send("and one more");
    assert.deepEqual(calls, ["first 1"]);
  });

  suite("a token that may read history, after one that could not, lets nothing be missing after a cut", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "auth-hmac-secret": SECRET, "recovery-window": 0 });
    const way = await network(t, server);
    const other = await enter(t, client(t, server, { token: sign({ sub: "bob" }) }), "lobby");
    await other.send(1);
    let can = ["join", "publish", "presence"];
    const auth = async () => ({ token: sign({ sub: "alice", rooms: [{ match: "*", can }] }) });
    const room = await enter(t, client(t, way, { link, auth }), "lobby");
    await other.send(2);
    await shows(room, ({ messages }) => messages.length === 1);
    can = [...can, "history"];
    way.cut();
    await shows(room, isOffline);
    await other.send(3);
    way.mend();
    await joined(room);
    await other.send(4);
    await shows(room, ({ messages }) => messages.at(-1).data === 4);
    assert.deepEqual(data(room).slice(-3), [2, 3, 4]);
    assert.equal(room.getSnapshot().gap, false);
  });

  suite("a back end that disconnects a client which fills a hole makes no gap in its list", async (t) => {
    let joins = 0;
    const numbered = (from, to) => upTo(to).slice(from - 1).map((seq) => message("lobby", seq));
    const server = await fake(t, link, {
      join(request) {
        joins += 1;
        if (joins > 1) return request.ack(log(10, numbered(2, 10)));
        request.ack(log(1, numbered(1, 1)));
      },
      typing: (request, peer) => peer.message(message("lobby", 10)),
      history(request, peer) {
        if (joins === 1) peer.dismiss();
        else request.ack({ epoch: "e", seq: 10, more: false, messages: numbered(request.payload.after + 1, 10) });
      },
    });
    const alice = client(t, server, { link, user: "alice" });
    const room = await enter(t, alice, "lobby");
    room.typing.keystroke();
    const { error } = await shows(alice.connection, isRefused, "refused", 6_000);
    assert.equal(error.code, "forbidden");
    // A page that failed is asked for again within that time.
    await watch(1_600);
    assert.deepEqual(data(room), [1]);
    alice.connect();
    await shows(room, ({ messages }) => messages.length === 10, "all messages", 6_000);
    assert.deepEqual(data(room), upTo(10));
    assert.equal(room.getSnapshot().gap, false);
  });

  suite("a server that drains without saying for how long is no error", async (t) => {
    const server = await fake(t, link, {
      typing(request, peer) {
        peer.emit("draining");
        peer.message(message("lobby", 1));
      },
    });
    const alice = client(t, server, { link, user: "alice" });
    const warnings = new Journal("warnings");
    alice.on("draining", (payload) => warnings.add({ payload }));
    const room = await enter(t, alice, "lobby");
    room.typing.keystroke();
    await warnings.count(1, 6_000);
    await shows(room, ({ messages }) => messages.length === 1);
    assert.equal(alice.status, "connected");
  });

  suite("a read marker that is not a number is ignored", async (t) => {
    const server = await serve(t, UNLIMITED);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const other = await enter(t, client(t, server, { user: "bob" }), "lobby");
    for (const n of upTo(3)) await other.send(n);
    await shows(room, ({ unread }) => unread === 3);
    await room.markRead(NaN);
    assert.equal(room.getSnapshot().unread, 3);
    await room.markRead(2);
    assert.equal(room.getSnapshot().unread, 1);
    const tab = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    await shows(tab, ({ unread }) => unread === 1);
  });

  suite("an ephemeral event that cannot be written as JSON is refused as such", async (t) => {
    const server = await serve(t, UNLIMITED);
    const room = await enter(t, client(t, server, { link, user: "alice" }), "lobby");
    const circular = {};
    circular.self = circular;
    const published = room.publish("stroke", circular, { ephemeral: true });
    await assert.rejects(soon(published, "it does not fail"), { name: "SwitchboardError", code: "bad_request" });
    assert.equal((await room.send(1)).seq, 1);
  });
}

test("socket.io: an ack without values is a failed request", async (t) => {
  const server = await fake(t, "socket.io", {
    join: (request) => (request.payload.room === "odd" ? request.ack() : request.ack(log(0))),
    publish: (request) => request.ack(),
  });
  const alice = client(t, server, { user: "alice" });
  const room = await enter(t, alice, "lobby");
  await assert.rejects(soon(room.send(1), "the message does not fail"), { name: "SwitchboardError", code: "bad_request" });
  const { error } = await shows(alice.room("odd"), isRefused, "the room is refused", 6_000);
  assert.equal(error.code, "bad_request");
  assert.equal(room.getSnapshot().status, "joined");
});

test("plain: a message that looks like the server's greeting changes nothing", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "auth-api-keys": KEY });
  const alice = client(t, server, { link: "plain", user: "alice" });
  const room = await enter(t, alice, "lobby");
  const other = await enter(t, client(t, server, { link: "plain", user: "bob" }), "lobby");
  await other.send({ event: "connected", user: "mallory", rooms: [] });
  await other.send({ event: "connected" });
  await shows(room, ({ messages }) => messages.length === 2);
  assert.equal(alice.connection.getSnapshot().user, "alice");
  const headers = { authorization: `Bearer ${KEY}` };
  const response = await fetch(`${server.url}/v1/users/alice/connections`, { method: "DELETE", headers });
  assert.equal(response.ok, true);
  const { error } = await shows(alice.connection, isRefused, "refused", 6_000);
  assert.equal(error.code, "forbidden");
});

test("plain: connections that are closed as soon as they were accepted are made less and less often, and not for ever", async (t) => {
  const attempts = 6;
  const server = await fake(t, "plain", {}, (peer) => peer.socket.close(1011));
  const alice = client(t, server, { link: "plain", user: "alice", reconnect: { minDelay: 40, maxDelay: 10_000, attempts } });
  alice.connect();
  const { error } = await shows(alice.connection, isRefused, "refused", 6_000);
  assert.equal(error.code, "unavailable");
  const { accepted } = server;
  assert.ok(accepted.length > 2 && accepted.length <= attempts + 1, `${accepted.length} connections`);
  const took = accepted.at(-1) - accepted[0];
  assert.ok(took >= 300, `${accepted.length} connections in ${took} ms`);
});

test("plain: messages that were refused once, all together, are stored soon", async (t) => {
  const refused = new Set();
  let last = 0;
  const server = await fake(t, "plain", {
    publish(request) {
      const { id } = request.payload;
      if (refused.has(id)) return request.ack({ epoch: "e", seq: (last += 1), ts: 1 });
      refused.add(id);
      request.refuse("unavailable");
    },
  });
  const room = client(t, server, { link: "plain", user: "alice" }).room("lobby");
  await soon(Promise.all(upTo(20).map((n) => room.send(n))), "not all messages are stored");
  assert.deepEqual(data(room), upTo(20));
});

test("plain: of the messages that failed a room lists the last", async (t) => {
  const server = await fake(t, "plain", { publish: (request) => request.refuse("bad_request") });
  const room = await enter(t, client(t, server, { link: "plain", user: "alice" }), "lobby");
  for (let n = 0; n < 600; n += 100) {
    const codes = await soon(Promise.all(upTo(100).map((i) => outcome(room.send(n + i)))), "not all messages fail");
    assert.deepEqual(new Set(codes), new Set(["bad_request"]));
  }
  await shows(room, ({ messages }) => messages.at(-1)?.data === 600 && messages.every(({ state }) => state === "failed"));
  assert.deepEqual(data(room), upTo(600).slice(-200));
});

test("plain: a server that answers the same for ever is not asked all the time", async (t) => {
  const hole = (page) => ({
    join: (request) => request.ack(log(3)),
    typing: (request, peer) => peer.message(message("lobby", 10)),
    history: (request) => request.ack({ epoch: "e", more: false, ...page }),
  });
  const cases = {
    "an empty page of an older log": hole({ seq: 3, messages: [] }),
    "a page of known messages": hole({ seq: 3, messages: [message("lobby", 1)] }),
    "a room that is never joined": { publish: (request) => request.refuse("not_joined") },
    "an ack of another log": { publish: (request) => request.ack({ epoch: "other", seq: 1, ts: 1 }) },
  };
  const asked = async ([name, answers]) => {
    const server = await fake(t, "plain", answers);
    const room = await enter(t, client(t, server, { link: "plain", user: "alice" }), "lobby");
    if (answers.publish) room.send(1);
    else room.typing.keystroke();
    await eventually(() => server.count(answers.publish ? "publish" : "history") > 0, `${name}: it is asked`);
    await watch(2_000);
    return [name, server.requests.length];
  };
  const requests = await Promise.all(Object.entries(cases).map(asked));
  assert.deepEqual(requests.filter(([, n]) => n >= 20), []);
});

test("plain: of 2,000 rooms that nobody uses any more few keep their messages, and they have them again when they are used", async (t) => {
  const server = await fake(t, "plain", { join: (request) => request.ack(log(1, [message(request.payload.room, 1)])) });
  const alice = client(t, server, { link: "plain", user: "alice" });
  const used = await enter(t, alice, "used");
  const rooms = upTo(2_000).map((n) => alice.room(`room ${n}`));
  const ends = rooms.map((room) => room.subscribe(() => {}));
  const filled = () => rooms.filter((room) => room.getSnapshot().messages.length > 0);
  await eventually(() => filled().length === 2_000, "all rooms have their message");
  ends.forEach((end) => end());
  await eventually(() => filled().length <= 200, "the messages of the rooms are let go", 4_000);
  assert.deepEqual(data(used), [1]);
  const again = await enter(t, alice, "room 7");
  assert.deepEqual(data(again), [1]);
  assert.equal(alice.room("room 7"), again);
});

test("a room is found fast among many", async (t) => {
  const alice = client(t, { url: "http://127.0.0.1:9" }, { link: "plain" });
  // The time of the processor, which others on the machine do not change.
  const began = process.cpuUsage();
  for (const n of upTo(20_000)) alice.room(`room ${n}`);
  const took = Math.round(process.cpuUsage(began).user / 1000);
  t.diagnostic(`20,000 rooms: ${took} ms`);
  assert.ok(took < 1_200, `${took} ms`);
});

test("queues whose keys begin alike do not mix", async (t) => {
  const server = await serve(t, UNLIMITED);
  const storage = new Storage();
  const keep = (key, name) => {
    const page = client(t, { url: "http://127.0.0.1:9" }, { user: key.replace(":", "-"), queue: { storage, key } });
    page.room(name).send(`kept under ${key}`);
  };
  // The names of the two together are the same.
  keep("bob", "work:notes");
  keep("bob:work", "notes");
  assert.equal(storage.length, 2);
  const copy = copyOf(storage);
  const pages = ["bob", "bob:work"].map((key) => client(t, server, { user: key.replace(":", "-"), queue: { storage: copy, key } }));
  for (const page of pages) page.connect();
  // What a page has found is sent before this.
  await Promise.all(pages.flatMap((page) => ["work:notes", "notes"].map((name) => page.room(name).send("new"))));
  await eventually(() => copy.length === 0, "both are sent", 6_000);
  for (const [name, key] of [["work:notes", "bob"], ["notes", "bob:work"]]) {
    const { messages } = (await reader(t, server, name)).getSnapshot();
    const old = messages.filter(({ data }) => data !== "new").map(({ data, from }) => [data, from.user]);
    assert.deepEqual(old, [[`kept under ${key}`, key.replace(":", "-")]]);
  }
});

test("a message that another page has sent meanwhile is not sent again by one that wakes later", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-idempotency": "1s" });
  const way = await network(t, server);
  const queue = { storage: new Storage(), key: "k" };
  const sleeping = await enter(t, client(t, way, { user: "alice", queue }), "lobby");
  way.cut();
  await shows(sleeping, isOffline);
  const sent = outcome(sleeping.send("once"));
  client(t, server, { user: "alice", queue }).connect();
  const other = await reader(t, server);
  await shows(other, ({ messages }) => messages.length === 1);
  await eventually(() => queue.storage.length === 0, "it is not kept any more");
  // From now on the server takes the same message for a new one.
  const probe = await open(t, server, { user: "probe" });
  await probe.ok("join", "probes");
  const publish = () => probe.ok("publish", { room: "probes", event: "message", id: "probe", data: 1 });
  await publish();
  await eventually(async () => !(await publish()).duplicate, "the server has forgotten the message");
  way.mend();
  assert.ok(["stored", "timeout"].includes(await soon(sent, "the message is neither stored nor failed")));
  await sleeping.send("later");
  await shows(other, ({ messages }) => messages.at(-1).data === "later");
  assert.deepEqual(data(other), ["once", "later"]);
});

for (const denied of ["length", "key", "getItem", "setItem", "removeItem"]) {
  test(`a storage that denies \`${denied}\` does not disturb`, async (t) => {
    const server = await serve(t, UNLIMITED);
    const storage = new Storage();
    storage.setItem("of something else", "{}");
    storage.setItem("switchboard:k:lobby x", "{}");
    const deny = () => {
      throw new Error("denied");
    };
    const value = denied === "length" ? { get: deny } : { value: deny };
    Object.defineProperty(storage, denied, value);
    const room = await enter(t, client(t, server, { user: "alice", queue: { storage, key: "k" } }), "lobby");
    assert.equal((await room.send(1)).seq, 1);
    await shows(room, ({ messages }) => messages.length === 1);
  });
}

test("what is in the storage and is no message is ignored", async (t) => {
  const server = await serve(t, UNLIMITED);
  const storage = new Storage();
  const good = { room: "lobby", id: "good", event: "message", data: "good", at: 1 };
  const odd = ["{}", "5", "[]", "null", '"text"', "not json", '{"room":"lobby"}', '{"room":5,"id":7}'];
  [...odd, JSON.stringify(good)].forEach((text, i) => storage.setItem(`switchboard:k:lobby ${text.includes("good") ? "good" : i}`, text));
  const room = await enter(t, client(t, server, { user: "alice", queue: { storage, key: "k" } }), "lobby");
  await room.send("new");
  await shows(room, ({ messages }) => messages.every(({ state }) => state !== "pending"));
  assert.deepEqual(data(room), ["good", "new"]);
  assert.deepEqual(data(await reader(t, server)), ["good", "new"]);
});

test("what an earlier page has left is sent before the first new message", async (t) => {
  const server = await serve(t, UNLIMITED);
  const storage = new Storage();
  const before = client(t, { url: "http://127.0.0.1:9" }, { user: "alice", queue: { storage, key: "k" } }).room("lobby");
  for (const n of upTo(3)) before.send(`old ${n}`);
  const queue = { storage: copyOf(storage), key: "k" };
  const room = client(t, server, { user: "alice", queue }).room("lobby");
  await room.send("new");
  await shows(room, ({ messages }) => messages.length === 4 && messages.every(({ state }) => state === "sent"));
  assert.deepEqual(data(room), ["old 1", "old 2", "old 3", "new"]);
});

test("a handler that another one has removed is not called any more, not even for the same event", async (t) => {
  const server = await fake(t, "plain", { typing: (request, peer) => (request.ack({}), peer.message(message("lobby", 1))) });
  const room = await enter(t, client(t, server, { link: "plain", user: "alice" }), "lobby");
  const calls = [];
  room.on("message", () => (calls.push("first"), remove()));
  const remove = room.on("message", () => calls.push("removed"));
  room.on("message", () => calls.push("last"));
  room.typing.keystroke();
  await eventually(() => calls.includes("last"), "the last handler is called");
  assert.deepEqual(calls, ["first", "last"]);
});

test("an event stream has no gap where durable events were that it does not listen to", async (t) => {
  const server = await serve(t, UNLIMITED);
  const room = await enter(t, client(t, server, { user: "alice" }), "lobby");
  const stream = subscribe(server.url, "lobby", { EventSource, auth: { user: "reader" }, reconnect: { minDelay: 40 } });
  defer(t, async () => stream.close());
  stream.subscribe(() => {});
  await shows(stream, ({ status }) => status === "connected");
  await room.send(1);
  await room.publish("stroke", 2);
  await room.send(3);
  const { messages, gap } = await shows(stream, ({ messages }) => messages.length === 2);
  assert.deepEqual(messages.map(({ data, afterGap }) => [data, afterGap]), [[1, undefined], [3, undefined]]);
  assert.equal(gap, false);
});

test("a list takes 200,000 messages behind a hole", () => {
  const timeline = new Timeline();
  timeline.begin({ epoch: "e", seq: 1, messages: [{ seq: 1 }] });
  for (let seq = 3; seq <= 200_002; seq += 1) timeline.add([{ seq }]);
  assert.equal(timeline.fill([{ seq: 2 }], 200_002).length, 200_001);
  assert.equal(timeline.list.length, 200_002);
  assert.equal(timeline.gap, false);
  assert.equal(timeline.missing, 0);
});

test("a list that begins behind a message it was told before knows that some are missing", () => {
  const timeline = new Timeline();
  timeline.add([{ seq: 9 }]);
  timeline.begin({ epoch: "e", seq: 5, messages: [{ seq: 4 }, { seq: 5 }] });
  assert.equal(timeline.missing, 4);
  timeline.fill([6, 7, 8].map((seq) => ({ seq })), 9);
  assert.deepEqual(timeline.list.map(({ seq }) => seq), [4, 5, 6, 7, 8, 9]);
  assert.equal(timeline.missing, 0);
  assert.equal(timeline.gap, false);
});

function copyOf(storage) {
  const copy = new Storage();
  for (let i = 0; i < storage.length; i += 1) copy.setItem(storage.key(i), storage.getItem(storage.key(i)));
  return copy;
}
