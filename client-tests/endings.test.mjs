// However the server ends a connection: what neither time nor a new token heals is final, and from all else a stock client
// comes back by itself. docs/endings.md has the whole list.

import assert from "node:assert/strict";
import { test } from "node:test";
import { manager, open, refusal, start, upTo } from "./support/clients.mjs";
import { away, follow, hears, Speaker } from "./support/follow.mjs";
import { closings, http, pollingSession, Raw } from "./support/raw.mjs";
import { Journal } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";

const API = "an-api-key-of-twenty-characters";
const KEYED = { ...UNLIMITED, "auth-hmac-secret": SECRET, "auth-api-keys": API };
const STRICT = { ...KEYED, "auth-leeway": "0s", "auth-grace": "1s" };

// A token that is good for so many seconds, to the millisecond.
const lasting = (seconds, sub = "alice", more = {}) => sign({ sub, exp: Date.now() / 1000 + seconds, ...more });

// A client whose `auth` callback gives these one after another, the last again and again; `asked` is how often it was.
function callback(client, ...given) {
  client.asked = 0;
  client.socket.auth = (give) => {
    const next = given[Math.min(client.asked, given.length - 1)];
    client.asked += 1;
    give({ token: next() });
  };
  client.failures = client.on("connect_error");
  client.gone = client.on("disconnect");
  client.messages = client.on("message");
  client.returns = new Journal("returns");
  client.socket.on("connect", () => client.returns.add(client.socket.recovered));
  return client;
}

async function call(server, method, path) {
  return http(server, path, { method, headers: { authorization: `Bearer ${API}` } });
}

for (const mode of ["polling", "websocket", "upgrade"]) {
  test(`over ${mode} a client whose token ends comes back with the next one by itself, and is recovered`, async (t) => {
    const server = await serve(t, STRICT);
    const speaker = new Speaker(await open(t, server, { token: sign({ sub: "bob" }) }), "lobby");
    const alice = callback(start(t, server, { mode }), () => lasting(1.5), () => lasting(600));
    const { connection } = await alice.session();
    await alice.ok("join", "lobby");
    await alice.ok("message", { room: "lobby", data: 0 });
    await alice.gone.count(1);
    await speaker.say(3);
    await alice.session(2);
    assert.deepEqual(alice.errors.items.map(([error]) => error.code), ["token_expired"]);
    assert.deepEqual(alice.returns.items, [false, true]);
    assert.match(alice.gone.items[0][0], /^transport (close|error)$/);
    const [again] = alice.sessions.items[1];
    assert.equal(again.connection, connection);
    assert.deepEqual(again.rooms, ["user:alice", "lobby"]);
    await hears(alice, [0, ...upTo(3)]);
    assert.deepEqual(alice.failures.items, []);
    assert.equal(await closings(server, "expired"), 1);
  });
}

test("namespaces beside the one whose token ended come back, too, each with its session", async (t) => {
  const server = await serve(t, { ...STRICT, "socketio-namespaces": "/,/chat" });
  const socket = manager(t, server);
  const root = callback(socket("/", { autoConnect: false }), () => lasting(1.5), () => lasting(600));
  const chat = callback(socket("/chat", { autoConnect: false }), () => lasting(600));
  for (const client of [root, chat]) {
    await client.session();
    await client.ok("join", "lobby");
  }
  for (const client of [root, chat]) {
    await client.session(2);
    assert.deepEqual(client.returns.items, [false, true]);
    assert.deepEqual(client.sessions.items[1][0].rooms, ["user:alice", "lobby"]);
  }
  assert.deepEqual(chat.errors.items, []);
});

test("a session is not resumed by a token of somebody else, and its owner's still resumes it", async (t) => {
  const server = await serve(t, STRICT);
  const alice = callback(start(t, server, { reconnection: false }), () => lasting(1.5));
  await alice.session();
  await alice.ok("join", "lobby");
  await alice.gone.count(1);
  const { _pid: pid } = alice.socket;
  const mallory = await open(t, server, { auth: { pid, token: lasting(600, "mallory") } });
  assert.deepEqual(mallory.me.rooms, ["user:mallory"]);
  const again = await open(t, server, { auth: { pid, token: lasting(600) } });
  assert.deepEqual(again.me.rooms, ["user:alice", "lobby"]);
});

test("a client whose token ended a moment ago is asked for another one", async (t) => {
  const server = await serve(t, { ...STRICT, "auth-grace": "30s" });
  for (const mode of ["polling", "websocket"]) {
    const alice = callback(start(t, server, { mode }), () => lasting(-2), () => lasting(-1), () => lasting(600));
    await alice.session();
    assert.equal(alice.asked, 3, mode);
    for (const [error] of alice.failures.items) {
      assert.notEqual(error.message, "token_expired", "it would be final");
    }
  }
});

test("a client that keeps a token that has ended is refused in the end, and gets in when it connects with a new one", async (t) => {
  const server = await serve(t, STRICT);
  const given = [() => lasting(1.5)];
  const alice = callback(start(t, server), () => given[0]());
  const token = given[0]();
  given[0] = () => token;
  await alice.session();
  const [[error]] = await alice.failures.until((items) => items.some(([error]) => error.message === "token_expired") && items.slice(-1));
  assert.equal(error.data.code, "token_expired");
  assert.equal(alice.socket.active, false, "it does not go on for ever");
  given[0] = () => lasting(600);
  alice.socket.connect();
  await alice.session(2);
  assert.equal(alice.socket.recovered, true);
});

test("a client whose token is in the HTTP request gets 401 until it has a new one, and is recovered then", async (t) => {
  const server = await serve(t, STRICT);
  for (const mode of ["polling", "websocket"]) {
    const alice = start(t, server, { mode, query: { token: lasting(1.5) } });
    const failures = alice.on("connect_error");
    await alice.session();
    await alice.ok("join", "lobby");
    await failures.count(1);
    assert.equal(alice.socket.active, true, "it keeps trying");
    alice.socket.io.opts.query.token = lasting(600);
    await alice.session(2);
    assert.equal(alice.socket.recovered, true);
    alice.close();
  }
});

test("a namespace that is entered after the handshake's token has ended has the client come back for a new one", async (t) => {
  const server = await serve(t, { ...STRICT, "auth-grace": "30s", "socketio-namespaces": "/,/chat" });
  const alice = start(t, server, { query: { token: lasting(1) } });
  await alice.session();
  await alice.errors.count(1);
  alice.socket.io.opts.query.token = lasting(600);
  const chat = alice.socket.io.socket("/chat");
  const entered = new Journal("sessions in /chat");
  chat.on("session", (session) => entered.add(session));
  chat.connect();
  await entered.count(1);
  await alice.session(2);
  assert.equal(alice.socket.recovered, true);
  chat.disconnect();
});

test("a refresh to another user or with an invalid token changes nothing; one that grants less removes the connection from rooms", async (t) => {
  const server = await serve(t, STRICT);
  const alice = await open(t, server, { token: lasting(600) });
  const [gone, kicked] = [alice.on("disconnect"), alice.on("kicked")];
  await alice.ok("join", "lobby");
  await alice.refused("refresh", { token: lasting(600, "bob") }, "forbidden");
  await alice.refused("refresh", { token: "garbage" }, "unauthorized");
  await alice.ok("refresh", { token: lasting(600, "alice", { rooms: [] }) });
  assert.deepEqual(await kicked.count(1), [[{ room: "lobby", reason: "forbidden" }]]);
  await alice.ok("refresh", { token: lasting(600) });
  await alice.ok("join", "lobby");
  assert.deepEqual(gone.items, []);
});

test("a kick leaves the connection; a removal by a back end is final, and a new connect begins anew", async (t) => {
  const server = await serve(t, KEYED);
  for (const mode of ["polling", "websocket"]) {
    const alice = await open(t, server, { mode, token: lasting(600) });
    const [gone, kicked] = [alice.on("disconnect"), alice.on("kicked")];
    await alice.ok("join", "lobby");
    await call(server, "DELETE", "/v1/rooms/lobby/members/alice");
    await kicked.count(1);
    await alice.ok("join", "lobby");
    assert.deepEqual(gone.items, []);
    await call(server, "DELETE", "/v1/users/alice/connections");
    assert.equal((await gone.count(1))[0][0], "io server disconnect");
    assert.equal(alice.socket.active, false);
    alice.socket.connect();
    await alice.session(2);
    assert.equal(alice.socket.recovered, false);
    assert.deepEqual(alice.sessions.items[1][0].rooms, ["user:alice"]);
    alice.close();
  }
});

test("a CONNECT that is held in vain ends with its transport, which tells why, and the client tries again", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "limits-connections-per-user": 1 });
  const first = await open(t, server, { user: "alice" });
  const [socket, polling] = ["websocket", "polling"].map((mode) => start(t, server, { mode, user: "alice" }));
  const gone = socket.on("disconnect");
  // What the answer was is known at this moment only.
  const answers = new Journal("answers to polls");
  polling.socket.on("connect_error", ({ context }) => answers.add(context.responseText));
  const [[reason, details]] = await gone.count(1);
  assert.equal(reason, "transport close");
  assert.equal(details.context.reason, "limit_reached");
  const [answer] = await answers.count(1);
  assert.equal(JSON.parse(answer).code, "limit_reached");
  assert.ok(socket.socket.active && polling.socket.active);
  polling.close();
  first.close();
  await socket.session();
});

test("while other namespaces live on its transport, a CONNECT is held for as long as it takes", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "limits-connections-per-user": 2, "socketio-namespaces": "/,/chat" });
  const first = await open(t, server, { user: "alice" });
  const socket = manager(t, server);
  const root = socket("/", { auth: { user: "alice" } });
  const gone = root.on("disconnect");
  await root.session();
  const chat = socket("/chat", { auth: { user: "alice" } });
  // A client that is held alone is sent away meanwhile.
  const alone = start(t, server, { user: "alice" });
  await alone.on("disconnect").count(1);
  alone.close();
  await root.ok("join", "lobby");
  assert.deepEqual([gone.items.length, chat.sessions.items.length], [0, 0]);
  first.close();
  await chat.session();
  assert.deepEqual(gone.items, []);
});

for (const version of [3, 4]) {
  test(`a session of Engine.IO ${version} that connects to nothing is closed in time`, async (t) => {
    const server = await serve(t, { ...KEYED, "socketio-connect-timeout": "1s" });
    const raw = new Raw(t, server, { path: `/socket.io/?EIO=${version}&transport=websocket` });
    await raw.ended();
    const sid = await pollingSession(server, version);
    for (;;) {
      const { status } = await http(server, `/socket.io/?EIO=${version}&transport=polling&sid=${sid}`);
      if (status === 400) break;
      assert.equal(status, 200);
    }
    const { body } = await http(server, "/metrics");
    assert.match(body, /^switchboard_sessions 0$/m);
  });
}

test("a client whose heartbeat fails comes back by itself and is recovered", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-ping-interval": "500ms", "socketio-ping-timeout": "500ms" });
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(1);
  await hears(alice, [1]);
  assert.equal(await away(alice, "freeze", () => speaker.say(1)), true);
  assert.equal(alice.gone.items[0][0], "ping timeout");
  await hears(alice, [1, 2]);
});

test("a permanent refusal has its reason, and the client stays away", async (t) => {
  const server = await serve(t, KEYED);
  for (const token of [sign({ sub: "alice" }, "another secret of thirty-two bytes!!"), sign({ sub: "alice", nbf: at(600) })]) {
    const alice = start(t, server, { token });
    const error = await refusal(alice);
    assert.deepEqual([error.message, error.data.code], ["unauthorized", "unauthorized"]);
    assert.equal(alice.socket.active, false);
  }
});
