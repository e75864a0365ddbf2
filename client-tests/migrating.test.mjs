// docs/migrating-from-socketio-node.md, row by row: what a call of Socket.IO's server API did is done here, by configuration or by the handlers
// of examples/migrating.rs.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { open, refusal, start } from "./support/clients.mjs";
import { nodes } from "./support/nodes.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { example, serve, UNLIMITED } from "./support/server.mjs";
import { call } from "./support/web.mjs";

const KEY = "an-api-key-of-enough-characters";
const guide = new URL("../docs/migrating-from-socketio-node.md", import.meta.url);

const OPTIONS = {
  ...UNLIMITED,
  store: "memory",
  "auth-api-keys": KEY,
  "socketio-relay": "cursor, chat message=all",
  "http-origins": "https://app.example",
};

const application = (t, options) => serve(t, { ...OPTIONS, ...options }, example("migrating"));

const users = (t, server, ...names) => Promise.all(names.map((user) => open(t, server, { user })));

// The rows that are tried, by the text of their first cell.
const rows = {
  'io.on("connection", (socket) => ...)': async (t) => {
    const client = start(t, await application(t), { user: "alice", auth: { theme: "dark" } });
    const order = [];
    for (const event of ["greeting", "cursor"]) client.socket.on(event, () => order.push(event));
    await client.on("greeting").count(1);
    assert.deepEqual(order, ["greeting"]);
  },
  "socket.handshake.auth, .headers": async (t) => {
    const server = await application(t);
    for (const v of [2, 3, 4]) {
      const said = { [v === 2 ? "query" : "auth"]: { theme: "dark" } };
      const client = start(t, server, { v, user: "alice", ...said, extraHeaders: { "user-agent": "x" } });
      const greeting = client.on("greeting");
      await greeting.count(1);
      assert.deepEqual(greeting.items, [[{ theme: "dark", agent: true, recovered: false }]], `client ${v}`);
    }
  },
  "io.use((socket, next) => ...)": async (t) => {
    const server = await application(t);
    assert.equal((await refusal(start(t, server))).message, "who are you?");
    const answer = await call(server, "GET", "/v1/rooms/lobby/messages");
    assert.equal(answer.status, 401);
    assert.match(answer.text, /who are you\?/);
  },
  'next(new Error("not you")) with error.data': async (t) => {
    const error = await refusal(start(t, await application(t), { user: "mallory" }));
    assert.equal(error.message, "not you");
    assert.deepEqual(error.data, { code: 7 });
  },
  'socket.on("add", (a, b, callback) => ...)': async (t) => {
    const [alice] = await users(t, await application(t), "alice");
    assert.equal((await alice.ask("add", "x", 2)).error.code, "bad_request");
  },
  "callback(x, y, z)": async (t) => {
    const [alice] = await users(t, await application(t), "alice");
    const values = await new Promise((resolve) => alice.socket.emit("add", 2, 3, (...all) => resolve(all)));
    assert.deepEqual(values, [5, 2, 3]);
  },
  'socket.emit("shouted", ...)': (t) => shouts(t, "me", [1, 0]),
  "socket.broadcast.emit(...)": async (t) => {
    await shouts(t, "others", [0, 1]);
    const [alice, bob] = await users(t, await application(t), "alice", "bob");
    const [atAlice, atBob] = [alice, bob].map((client) => client.on("cursor"));
    alice.socket.emit("cursor", 1, 2);
    await atBob.count(1);
    await alice.ask("rooms");
    assert.deepEqual([atAlice.items, atBob.items], [[], [[1, 2]]]);
  },
  "io.emit(...)": async (t) => {
    await shouts(t, "all", [1, 1]);
    const [alice, bob] = await users(t, await application(t), "alice", "bob");
    const seen = [alice, bob].map((client) => client.on("chat message"));
    alice.socket.emit("chat message", { text: "hi" });
    for (const at of seen) {
      await at.count(1);
      assert.deepEqual(at.items, [[{ text: "hi" }]]);
    }
  },
  "socket.to(room).emit(...)": async (t) => {
    const [alice, bob, carol] = await users(t, await application(t), "alice", "bob", "carol");
    for (const client of [alice, bob]) await client.ok("join", { room: "red" });
    const [atBob, atCarol] = [bob, carol].map((client) => client.on("cursor"));
    alice.socket.emit("cursor", 1);
    await atBob.count(1);
    await carol.ask("rooms");
    assert.equal(atCarol.items.length, 0);
  },
  "socket.to(room).except(other)": async (t) => {
    const [alice, bob, carol] = await users(t, await application(t), "alice", "bob", "carol");
    for (const client of [alice, bob, carol]) await client.ok("join", { room: "red" });
    await carol.ok("join", { room: "blue" });
    const [atBob, atCarol] = [bob, carol].map((client) => client.on("whispered"));
    await alice.ok("whisper", "red", "blue");
    await atBob.count(1);
    await carol.ask("rooms");
    assert.equal(atCarol.items.length, 0);
  },
  "io.to(socketId).emit(...)": async (t) => {
    const [alice, bob] = await users(t, await application(t), "alice", "bob");
    const told = bob.on("told");
    await alice.ok("tell", bob.socket.id);
    await told.count(1);
  },
  "io.to(room).emit(...) outside of a handler": async (t) => {
    const server = await application(t);
    const [alice] = await users(t, server, "alice");
    await alice.ok("join", { room: "red" });
    const announced = alice.on("announced");
    assert.equal((await call(server, "POST", "/announce/red")).status, 200);
    await announced.count(1);
  },
  "socket.timeout(ms).emitWithAck(...)": async (t) => {
    const [alice] = await users(t, await application(t), "alice");
    assert.equal((await alice.ask("ask me", 2)).error.code, "unavailable");
    alice.socket.on("double", (n, callback) => callback(n * 2));
    assert.equal(await alice.ask("ask me", 2), 4);
  },
  "io.timeout(ms).emitWithAck(...)": async (t) => {
    const [alice, bob] = await users(t, await application(t), "alice", "bob", "mute");
    for (const client of [alice, bob]) client.socket.on("double", (n, callback) => callback(n * 2));
    assert.deepEqual(await alice.ask("ask all", 4), { ok: true, acks: [8, 8], missing: 1 });
  },
  "socket.join(room)": async (t) => {
    const server = await application(t);
    const [alice] = await users(t, server, "alice");
    await alice.ok("enter", "red");
    await announces(alice, server, "red", 1);
    alice.socket.io.engine.close();
    await alice.session(2);
    await announces(alice, server, "red", 2);
  },
  "socket.leave(room)": async (t) => {
    const server = await application(t);
    const [alice] = await users(t, server, "alice");
    for (const room of ["red", "blue"]) await alice.ok("enter", room);
    await alice.ok("exit", "red");
    await call(server, "POST", "/announce/red");
    await announces(alice, server, "blue", 1);
  },
  "socket.rooms": async (t) => {
    const [alice] = await users(t, await application(t), "alice");
    await alice.ok("enter", "red");
    await alice.ok("join", { room: "blue" });
    assert.deepEqual((await alice.ok("rooms")).rooms, ["red", "blue"]);
  },
  "io.in(room).fetchSockets()": async (t) => {
    const [alice, bob] = await users(t, await application(t), "alice", "bob");
    for (const client of [alice, bob]) await client.ok("enter", "red");
    const { sockets } = await alice.ok("sockets", "red");
    const expected = [alice, bob].map((client) => ({ id: client.socket.id, user: client.me.user }));
    const byUser = (one, other) => one.user.localeCompare(other.user);
    assert.deepEqual(sockets.sort(byUser), expected);
  },
  "io.in(user).socketsJoin(room), socketsLeave": async (t) => {
    const server = await application(t);
    const [one, two] = await users(t, server, "alice", "alice");
    assert.equal((await call(server, "POST", "/admit/red/alice")).text, "2");
    for (const tab of [one, two]) assert.deepEqual((await tab.ok("rooms")).rooms, ["red"]);
    assert.equal((await call(server, "POST", "/remove/red/alice")).text, "2");
    for (const tab of [one, two]) assert.deepEqual((await tab.ok("rooms")).rooms, []);
  },
  "io.in(user).disconnectSockets()": async (t) => {
    const server = await application(t);
    const [alice] = await users(t, server, "alice");
    const ended = new Promise((resolve) => alice.socket.on("disconnect", resolve));
    const answer = await call(server, "DELETE", "/v1/users/alice/connections", { key: KEY });
    assert.equal(answer.status, 200);
    assert.equal(await ended, "io server disconnect");
  },
  "socket.disconnect()": async (t) => {
    const [alice] = await users(t, await application(t), "alice");
    const ended = new Promise((resolve) => alice.socket.on("disconnect", resolve));
    alice.socket.emit("kick me");
    assert.equal(await ended, "io server disconnect");
  },
  "socket.data": async (t) => {
    const [alice] = await users(t, await application(t), "alice");
    assert.equal(await alice.ask("count"), 1);
    alice.socket.io.engine.close();
    await alice.session(2);
    assert.equal(await alice.ask("count"), 2);
  },
  "socket.id": async (t) => {
    const [alice, bob] = await users(t, await application(t), "alice", "bob");
    for (const client of [alice, bob]) await client.ok("enter", "red");
    const { sockets } = await bob.ok("sockets", "red");
    assert.ok(sockets.some(({ id }) => id === alice.socket.id));
  },
  'socket.on("disconnecting", (reason) => ...)': async (t) => {
    const [alice, bob] = await users(t, await application(t), "alice", "bob");
    for (const client of [alice, bob]) await client.ok("enter", "red");
    const [bye, id] = [bob.on("bye"), alice.socket.id];
    alice.socket.disconnect();
    await bye.count(1);
    assert.deepEqual(bye.items, [[id, "client namespace disconnect", 0]]);
  },
  "socket.recovered": async (t) => {
    const client = start(t, await application(t), { user: "alice" });
    const greeting = client.on("greeting");
    await greeting.count(1);
    await client.ok("enter", "red");
    client.socket.io.engine.close();
    await greeting.count(2);
    assert.deepEqual(greeting.items.map(([{ recovered }]) => recovered), [false, true]);
    assert.equal(client.socket.recovered, true);
  },
  "socket.volatile.emit(...)": async (t) => {
    const [alice, bob] = await users(t, await application(t), "alice", "bob");
    for (const client of [alice, bob]) await client.ok("join", { room: "red" });
    const moved = bob.on("moved");
    await alice.ok("publish", { room: "red", event: "moved", data: [1], ephemeral: true });
    await moved.count(1);
  },
  'io.of("/admin")': async (t) => {
    const client = start(t, await application(t), { user: "alice", namespace: "/admin" });
    assert.equal(await client.ask("ping"), "pong");
    assert.equal((await client.ask("message", {})).error.code, "not_found");
  },
  "app.post(...) of Express beside it": async (t) => {
    const server = await application(t);
    assert.equal((await call(server, "POST", "/admit/red/nobody")).text, "0");
  },
  "await db.insert(message); io.to(room).emit(...)": async (t) => {
    const [alice, bob] = await users(t, await application(t), "alice", "bob");
    for (const client of [alice, bob]) await client.ok("join", { room: "red" });
    const saved = bob.on("saved");
    assert.equal(await alice.ask("save", "red", "hi"), 1);
    await saved.count(1);
    const { messages } = await bob.ok("history", { room: "red" });
    assert.deepEqual(messages.map(({ event, data }) => [event, data]), [["saved", "hi"]]);
  },
  "new Server({ adapter: createAdapter(redis) })": async (t) => {
    const [one, two] = await nodes(t, await redis(t), 2, OPTIONS, example("migrating"));
    const [alice] = await users(t, one, "alice");
    const [bob] = await users(t, two, "bob");
    for (const client of [alice, bob]) await client.ok("enter", "red");
    const { sockets } = await alice.ok("sockets", "red");
    assert.equal(sockets.length, 2);
    const shouted = bob.on("shouted");
    await alice.ok("shout", "others", "hi");
    await shouted.count(1);
    bob.socket.on("double", (n, callback) => callback(n * 2));
    assert.deepEqual(await alice.ask("ask all", 4), { ok: true, acks: [8], missing: 1 });
    assert.equal((await call(one, "POST", "/admit/blue/bob")).text, "1");
    assert.deepEqual((await bob.ok("rooms")).rooms, ["red", "blue"]);
    assert.equal((await call(one, "POST", "/remove/blue/bob")).text, "1");
    await eventually(async () => (await bob.ok("rooms")).rooms.length === 1, "bob stays in blue");
  },
  "new Emitter(redis).to(room).emit(...)": async (t) => {
    const server = await application(t);
    const [alice] = await users(t, server, "alice");
    await alice.ok("join", { room: "red" });
    const seen = alice.on("message");
    const body = { data: "hi" };
    const answer = await call(server, "POST", "/v1/rooms/red/messages", { key: KEY, body });
    assert.equal(answer.status, 201);
    await seen.count(1);
  },
  "cors: { origin: [...] }": async (t) => {
    const server = await application(t);
    const path = "/socket.io/?EIO=4&transport=polling";
    for (const [origin, status] of [["https://app.example", 200], ["https://other.example", 403]]) {
      const answer = await call(server, "GET", path, { headers: { origin } });
      assert.equal(answer.status, status, origin);
    }
  },
  "path, transports, pingInterval, maxHttpBufferSize": async (t) => {
    const options = { "socketio-path": "/live", "socketio-transports": "websocket", "socketio-ping-interval": "7s" };
    const server = await application(t, options);
    const client = await open(t, server, { user: "alice", path: "/live" });
    await client.ok("rooms");
    const answer = await call(server, "GET", "/live/?EIO=4&transport=polling");
    assert.equal(answer.status, 400);
  },
  "io.close()": async (t) => {
    const server = await application(t);
    const [alice] = await users(t, server, "alice");
    const draining = alice.on("draining");
    const [ended] = await Promise.all([server.stop(), draining.count(1)]);
    assert.deepEqual(ended, { code: 0, signal: null });
  },
};

// How often two clients, the first of which asks for it, receive what is emitted.
async function shouts(t, whom, expected) {
  const clients = await users(t, await application(t), "alice", "bob");
  const seen = clients.map((client) => client.on("shouted"));
  await clients[0].ok("shout", whom, "hi");
  for (const client of clients) await client.ok("rooms");
  await eventually(() => seen.every(({ items }, n) => items.length === expected[n]), "it was not received");
  assert.deepEqual(seen.flatMap(({ items }) => items), expected.flatMap((n) => Array(n).fill(["hi", 0])));
}

// What is announced to a room reaches a client, for the `n`th time in all.
async function announces(client, server, room, n) {
  client.announced ??= client.on("announced");
  assert.equal((await call(server, "POST", `/announce/${room}`)).status, 200);
  await client.announced.count(n);
  assert.equal(client.announced.items.length, n);
}

test("every row of the guide is tried", async () => {
  const text = await readFile(guide, "utf8");
  const [, table] = text.split("## The server API\n");
  const cells = table.split("\n## ")[0].matchAll(/^\| (`.*?) \| /gm);
  const documented = [...cells].map(([, cell]) => cell.replaceAll("`", "").replaceAll("\\|", "|"));
  assert.deepEqual(documented, Object.keys(rows));
});

for (const [name, body] of Object.entries(rows)) test(name, body);
