// Every metric moves by everything that `docs/metrics.md` says it is moved by. A metric that is new there, or that a transport no
// longer moves, fails here until something below moves it: each way in does all it can, in steps. Those of the node itself, which
// the documentation says nothing moves, have tests of their own.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import * as Y from "yjs";
import { open, upTo } from "./support/clients.mjs";
import { edit } from "./support/documents.mjs";
import { stalling } from "./support/events.mjs";
import { nodes } from "./support/nodes.mjs";
import { http, pollingSession, rawClient } from "./support/raw.mjs";
import { redis } from "./support/redis.mjs";
import { eventually, Journal } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { Caller, call, metric, poll, polled } from "./support/web.mjs";
import { peer } from "./support/websocket.mjs";

const KEY = "a-key-of-a-back-end-for-these-tests";
const OPTIONS = {
  ...UNLIMITED,
  "limits-messages-per-second": 50,
  "limits-messages-burst": 50,
  "auth-api-keys": KEY,
  "limits-name-bytes": 24,
  "limits-outbox-bytes": "128KiB",
  "limits-stall": "1h",
  "limits-newest": "cursor",
  "presence-grace": "50ms",
  "socketio-relay": "draw",
  "sqlite-synchronous": "normal",
};
const LONG = "a-name-of-more-than-twenty-four-bytes";
const BODY = "x".repeat(60_000);

// The documentation's table: `{ name, kind, labels, ways }` of each metric.
const text = await readFile(new URL("../docs/metrics.md", import.meta.url), "utf8");
const TABLE = text
  .split("\n")
  .filter((line) => /^\| `(switchboard|process)_/.test(line))
  .map((line) => line.split("|").slice(1, -1).map((cell) => cell.replaceAll("`", "").trim()))
  .map(([name, kind, labels, , ways]) => ({ name, kind, labels: labels.split(", ").filter(Boolean), ways: ways.split(", ").filter(Boolean) }));

// What the server shows: the sum of each metric over its labels, and the names of all.
async function shown(server) {
  const { text } = await call(server, "GET", "/metrics");
  const sums = new Map();
  for (const line of text.split("\n")) {
    const [, name, value] = line.match(/^(switchboard_\w+?)(?:_count)?(?:\{.*\})? (\S+)$/) ?? [];
    if (name && !/_(bucket|sum)$/.test(name)) sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  const names = [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)].map(([, name, kind]) => name + (kind === "counter" ? "_total" : ""));
  return { sums, names, text };
}

// Checks that whatever `way` is to move has moved, at its height (gauges) or since before, and that gauges are down again.
async function moves(server, way, act) {
  const due = TABLE.filter(({ ways }) => ways.includes(way));
  const before = await shown(server);
  const heights = new Map();
  const height = async () => {
    const { sums } = await shown(server);
    for (const [name, value] of sums) heights.set(name, Math.max(value, heights.get(name) ?? 0));
  };
  await act(height);
  await height();
  const still = due.filter(({ name }) => (heights.get(name) ?? 0) <= (before.sums.get(name) ?? 0)).map(({ name }) => name);
  assert.deepEqual(still, [], `not moved by ${way}`);
  // Connections that this test itself keeps for its next request are idle until then.
  const lasting = ["switchboard_nodes", "switchboard_idle_connections"];
  const gauges = due.filter(({ kind, name }) => kind === "gauge" && !lasting.includes(name));
  await eventually(async () => {
    const { sums } = await shown(server);
    return gauges.every(({ name }) => sums.get(name) === before.sums.get(name));
  }, `gauges do not come down after ${way}: ${gauges.map(({ name }) => name)}`);
}

// Has a reader in the room `slow` fall behind, be given what it missed, and keep up again. `sip` has it take a little.
async function fallsBehind(server, height, sip) {
  const writer = new Caller(server, { key: KEY });
  const missed = async () => {
    await writer.say("slow", BODY);
    for (const event of ["cursor", "cursor", "other"]) {
      const body = { event, data: BODY, ephemeral: true };
      await writer.ok(202, "POST", "/v1/rooms/slow/messages", { body });
    }
  };
  const dropped = (reason) => metric(server, `switchboard_dropped_total{reason="${reason}"}`);
  const before = await dropped("behind");
  await eventually(async () => {
    await missed();
    // Its queue is full now, and empty when it is given what it missed.
    await height();
    return (await dropped("behind")) > before;
  }, "nothing is dropped", 60_000);
  const replayed = await metric(server, "switchboard_messages_replayed_total");
  // It does not read, so what it missed is still to be given.
  await eventually(async () => {
    await missed();
    return (await metric(server, "switchboard_connections_catching_up")) > 0;
  }, "it is not given what it missed", 60_000);
  await height();
  await eventually(async () => {
    await sip();
    const caughtUp = (await metric(server, "switchboard_connections_catching_up")) === 0;
    return caughtUp && (await metric(server, "switchboard_messages_replayed_total")) > replayed;
  }, "it does not catch up", 60_000);
}

// Has a stream that can be paused take some of what there is for it.
const sipping = (stream, journal) => async () => {
  const had = journal.items.length;
  stream.resume();
  // All may have come already.
  await journal.count(had + 1, 200).catch(() => {});
  stream.pause();
};

// A back end takes a user off: its connections are closed by the server.
async function removed(server, user, ended) {
  await new Caller(server, { key: KEY }).ok(200, "DELETE", `/v1/users/${user}/connections`);
  await ended;
}

// A reader over polling that polls when it is told to.
async function pollingReader(server, user, room) {
  const sid = await pollingSession(server);
  const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  const said = new Journal("polls");
  const sip = async () => said.add((await http(server, path)).body);
  const post = (body) => http(server, path, { method: "POST", body, headers: { "content-type": "text/plain" } });
  await post(`40${JSON.stringify({ user })}`);
  await sip();
  await post(`420["join","${room}"]`);
  while (!said.items.join("").includes("430[")) await sip();
  return { sip, close: () => post("1") };
}

for (const mode of ["polling", "websocket"]) {
  test(`Socket.IO over ${mode} moves every metric that it is to move`, async (t) => {
    const server = await serve(t, OPTIONS);
    await moves(server, "Socket.IO", async (height) => {
      const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { mode, user })));
      for (const client of [alice, bob]) await client.ok("join", "lobby");
      const heard = bob.on("message");
      for (let i = 0; i < 2; i += 1) await alice.ok("message", { room: "lobby", data: i, id: "the same" });
      await heard.count(1);
      await alice.ok("publish", { room: "lobby", event: "e", data: 1, ephemeral: true });
      alice.socket.emit("draw", 1);
      await alice.ok("typing", { room: "lobby", typing: true });
      const path = `/socket.io/?EIO=4&transport=polling&sid=${await pollingSession(server)}`;
      const asked = bob.on("signal");
      const answered = alice.ok("signal", { to: { user: "bob" }, event: "e", data: 1, timeout_ms: 30_000 });
      await asked.count(1);
      await height();
      await http(server, path, { method: "POST", body: "1", headers: { "content-type": "text/plain" } });
      asked.items[0][1]("answer");
      await answered;
      await alice.ok("typing", { room: "lobby", typing: false });
      await alice.refused("join", LONG, "too_large", "bad_request");
      await Promise.all(upTo(150).map(() => alice.ok("history", "lobby")));

      const back = alice.session(2);
      alice.socket.io.engine.close();
      await back;
      assert.equal(alice.socket.recovered, true);
      const first = await rawClient(t, server, { user: "carol" });
      const other = await rawClient(t, server, { user: "mallory", pid: first.pid });
      assert.notEqual(other.pid, first.pid);
      for (const raw of [first, other]) raw.socket.terminate();

      if (mode === "polling") {
        const reader = await pollingReader(server, "reader", "slow");
        await fallsBehind(server, height, reader.sip);
        await reader.close();
      } else {
        const reader = await rawClient(t, server, { user: "reader" });
        reader.send('420["join","slow"]');
        await reader.frame("430");
        reader.socket.pause();
        await fallsBehind(server, height, sipping(reader.socket, reader.frames));
        reader.socket.terminate();
      }
      const gone = new Promise((resolve) => bob.socket.once("disconnect", resolve));
      await removed(server, "bob", gone);
      alice.close();
    });
  });
}

test("/ws moves every metric that it is to move", async (t) => {
  const server = await serve(t, OPTIONS);
  await moves(server, "/ws", async (height) => {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => peer(t, server, { user, room: "lobby" })));
    for (const data of [1, 2]) await alice.ok("text", { id: "the same", data });
    await bob.next("text");
    await alice.ok("event", { data: { event: "e", data: 1, ephemeral: true } });
    await alice.ok("typing", { data: { typing: true } });
    await height();
    await alice.ok("typing", { data: { typing: false } });
    await alice.refused("join", { room: LONG }, "too_large", "bad_request");
    await Promise.all(upTo(70).map(() => alice.ok("history")));

    const reader = await peer(t, server, { user: "reader", room: "slow" });
    reader.socket.pause();
    await fallsBehind(server, height, sipping(reader.socket, reader.frames));
    reader.socket.terminate();
    await removed(server, "bob", bob.ended());
    alice.socket.terminate();
  });
});

test("/events moves every metric that it is to move", async (t) => {
  const server = await serve(t, { ...OPTIONS, "limits-user-joins-per-second": 1, "limits-user-joins-burst": 20 });
  await moves(server, "/events", async (height) => {
    const many = await stalling(t, server, { user: "carol", rooms: upTo(20).map((n) => `many-${n}`) });
    const one = await stalling(t, server, { user: "carol", room: "one" });
    for (const stream of [many, one]) await stream.nth("session");
    const bob = await stalling(t, server, { user: "bob", room: "lobby" });
    await bob.nth("session");
    await new Caller(server, { key: KEY }).say("lobby", 1);
    await bob.nth("message");
    await height();
    const refused = await call(server, "GET", `/events/${LONG}`, { user: "bob" });
    assert.ok(refused.status >= 400);

    const reader = await stalling(t, server, { user: "reader", room: "slow" });
    await reader.nth("session");
    reader.stall();
    await fallsBehind(server, height, sipping({ resume: reader.resume, pause: reader.stall }, reader.events));
    await removed(server, "carol", Promise.all([many.ended(), one.ended()]));
    await removed(server, "reader", Promise.resolve());
    reader.resume();
    await reader.ended();
    await removed(server, "bob", bob.ended());
  });
});

test("/poll moves every metric that it is to move", async (t) => {
  const server = await serve(t, OPTIONS);
  await moves(server, "/poll", async (height) => {
    const { cursor } = await polled(server, "lobby", { user: "alice" });
    const waiting = poll(server, "lobby", { user: "alice", since: cursor, wait: 30 });
    await eventually(async () => (await metric(server, "switchboard_polls_waiting")) === 1, "it does not wait");
    await height();
    assert.ok((await poll(server, LONG, { user: "alice" })).status >= 400);
    await new Caller(server, { key: KEY }).say("lobby", 1);
    await waiting;
  });
});

test("/v1 moves every metric that it is to move", async (t) => {
  const server = await serve(t, OPTIONS);
  await moves(server, "/v1", async () => {
    const back = new Caller(server, { key: KEY });
    await back.say("lobby", 1, { id: "the same" });
    await back.ok(200, "POST", "/v1/rooms/lobby/messages", { body: { data: 1, id: "the same" } });
    await back.ok(202, "POST", "/v1/rooms/lobby/messages", { body: { event: "e", data: 1, ephemeral: true } });
    assert.ok((await back.call("POST", `/v1/rooms/${LONG}/messages`, { body: { data: 1 } })).status >= 400);
    const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/octet-stream" };
    const doc = new Y.Doc();
    doc.getText("text").insert(0, "Hello");
    const { status } = await fetch(`${server.url}/v1/documents/notes/updates`, { method: "POST", headers, body: Y.encodeStateAsUpdate(doc) });
    assert.equal(status, 201);
  });
});

test("clients of documents move every metric that they are to move", async (t) => {
  const server = await serve(t, OPTIONS);
  await moves(server, "documents", async (height) => {
    const alice = await edit(t, server, "notes", { client: "Hocuspocus 4" });
    for (const word of ["Hello", ", ", "world"]) alice.text.insert(alice.text.length, word);
    await alice.synced();
    await height();
    alice.close();
    await eventually(async () => (await metric(server, "switchboard_document_compactions_total")) === 1, "it is compacted");
  });
});

test("other nodes move every metric that they are to move", async (t) => {
  const shared = await redis(t);
  const [a, b] = await nodes(t, shared, 2, OPTIONS);
  await eventually(async () => (await metric(a, "switchboard_nodes")) === 2, "they do not know each other");
  const [alice, bob] = [await open(t, a, { user: "alice" }), await open(t, b, { user: "bob" })];
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const counts = async (name) => [await metric(a, name), await metric(b, name)];
  await alice.ok("message", { room: "lobby", data: 1 });
  assert.deepEqual(await counts("switchboard_messages_total"), [1, 0], "a message counts where it came in");
  shared.freeze();
  await eventually(async () => {
    for (const n of upTo(5)) alice.socket.emit("draw", n, BODY);
    const dropped = await Promise.all(["full", "lost"].map((reason) => metric(a, `switchboard_words_dropped_total{reason="${reason}"}`)));
    return dropped.some((count) => count > 0);
  }, "nothing is dropped", 30_000);
  shared.thaw();
});

test("the server shows the metrics that the documentation lists, with those labels", async (t) => {
  const hooks = (event) => JSON.stringify([{ url: "http://127.0.0.1:1/", events: [event] }]);
  const server = await serve(t, { ...OPTIONS, store: "sqlite", "hooks-call": hooks("asked"), "hooks-notify": hooks("message") });
  const client = await open(t, server, { user: "alice" });
  await removed(server, "alice", new Promise((resolve) => client.socket.once("disconnect", resolve)));
  const { names, text } = await shown(server);
  // Of a server with TLS, and of one that takes what emitters send: tls.test.mjs, emitters.test.mjs.
  const others = ["switchboard_tls_certificate_not_after_seconds", "switchboard_emitter_messages_total", "switchboard_emitter_messages_refused_total"];
  const own = TABLE.filter(({ name, ways }) => !ways.includes("other nodes") && !others.includes(name)).map(({ name }) => name);
  assert.deepEqual([...names].filter((name) => !["switchboard_nodes", "switchboard_words_dropped_total"].includes(name)).sort(), own.sort());
  const known = ["Socket.IO", "/ws", "/events", "/poll", "/v1", "documents", "application", "other nodes"];
  for (const { name, labels, ways } of TABLE) {
    assert.deepEqual(ways.filter((way) => !known.includes(way)), [], `${name}: nothing here tries this`);
    const line = text.split("\n").find((each) => (each.startsWith(`${name}{`) || each.startsWith(`${name}_sum{`)) && !each.includes("le="));
    const shownLabels = [...(line?.match(/\{(.*)\}/)?.[1] ?? "").matchAll(/(\w+)="/g)].map(([, label]) => label);
    if (own.includes(name)) assert.deepEqual(shownLabels, labels, name);
  }
});
