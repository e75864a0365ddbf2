// Room policies (`[[rooms]]`): every rule, by every transport that it concerns.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { acknowledged, open, upTo } from "./support/clients.mjs";
import { stream } from "./support/events.mjs";
import { backend } from "./support/hooks.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { binary, serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { call } from "./support/web.mjs";
import { peer } from "./support/websocket.mjs";

const KEY = "a-key-for-the-tests-of-policies";
const OPEN = { store: "memory", "auth-api-keys": KEY, ...UNLIMITED };

// A server with policies. In a file, so that they can be changed: `rewrite(tables)` and SIGHUP.
async function withPolicies(t, tables, options = {}) {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-policies-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "switchboard.toml");
  const rewrite = (text) => writeFile(file, text);
  await rewrite(tables);
  const server = await serve(t, { ...OPEN, config: file, ...options });
  const reload = async (text) => {
    await rewrite(text);
    const lines = () => server.log.match(/policies of rooms (?:are read again|stay)/g)?.length ?? 0;
    const before = lines();
    process.kill(server.pid, "SIGHUP");
    await eventually(() => lines() > before, "the line of the log");
  };
  return { server, folder, file, reload };
}

// Who asks, as every transport can: resolves to "ok" or the code of the refusal.
const code = (ack) => (ack?.ok === false ? ack.error.code : "ok");
const frameCode = ({ type, data }) => (type === "ack" ? "ok" : data.code);
const restCode = ({ status, body }) => (status < 300 ? "ok" : body.code);
const JOINS = {
  "a Socket.IO client": async (t, server, room, who) => code(await (await open(t, server, who)).ask("join", room)),
  "a plain WebSocket": async (t, server, room, who) => {
    const ws = await peer(t, server, who);
    return frameCode(await ws.ask("join", { room }));
  },
  "an event stream": async (t, server, room, { user, token }) => {
    const opened = await stream(t, server, { room, user, bearer: token });
    return opened.status === 200 ? "ok" : opened.body.code;
  },
  "a poll": async (t, server, room, { user, token }) => restCode(await call(server, "GET", `/poll/${room}`, { user, key: token })),
  "the history over REST": async (t, server, room, { user, token }) =>
    restCode(await call(server, "GET", `/v1/rooms/${room}/messages`, { user, key: token })),
};
const PUBLISHES = {
  "a message over Socket.IO": async (t, server, room, who, member) => {
    const client = await open(t, server, who);
    if (member) await client.ok("join", room);
    return code(await client.ask("message", { room, data: 1 }));
  },
  "an ephemeral event over Socket.IO": async (t, server, room, who, member) => {
    const client = await open(t, server, who);
    if (member) await client.ok("join", room);
    return code(await client.ask("publish", { room, event: "moved", data: 1, ephemeral: true }));
  },
  "a relayed event": async (t, server, room, who, member) => {
    if (!member) return undefined;
    const client = await open(t, server, who);
    await client.ok("join", room);
    return code(await client.ask("draw", 1));
  },
  "a message over a plain WebSocket": async (t, server, room, who, member) => {
    const ws = await peer(t, server, who);
    if (member) await ws.ask("join", { room });
    return frameCode(await ws.ask("text", { room, data: 1 }));
  },
  "a message over REST": async (t, server, room, { user, token }, member) =>
    member ? undefined : restCode(await call(server, "POST", `/v1/rooms/${room}/messages`, { user, key: token, body: { data: 1 } })),
};

const MATRIX_OF_RULES = `
[[rooms]]
match = "join-anyone"
join = "anyone"
[[rooms]]
match = "join-token"
join = "token"
[[rooms]]
match = "join-hook"
join = "hook"
[[rooms]]
match = "join-nobody"
join = "nobody"
[[rooms]]
match = "publish-anyone"
publish = "anyone"
[[rooms]]
match = "publish-members"
publish = "members"
[[rooms]]
match = "publish-backend"
publish = "backend"
[[rooms]]
match = "publish-hook"
publish = "hook"
[[rooms]]
match = "publish-nobody"
publish = "nobody"
`;

// What a hook permits everywhere.
const permitting = async (t) => {
  const { url } = await backend(t);
  return { "hooks-call": JSON.stringify([{ url, on: ["join", "publish"] }]) };
};

for (const [what, join] of Object.entries(JOINS)) {
  test(`${what} may join where the policy says so`, async (t) => {
    const open = await withPolicies(t, MATRIX_OF_RULES, await permitting(t));
    const keyed = await withPolicies(t, MATRIX_OF_RULES, { ...(await permitting(t)), "auth-hmac-secret": SECRET });
    const alice = { user: "alice" };
    const signed = { token: sign({ sub: "alice", rooms: [{ match: "*", can: ["join", "history"] }] }) };
    const cases = [["join-anyone", "ok", "ok"], ["join-token", "forbidden", "ok"], ["join-hook", "ok", "ok"], ["join-nobody", "forbidden", "forbidden"], ["elsewhere", "ok", "ok"]];
    for (const [room, inOpenMode, withToken] of cases) {
      assert.equal(await join(t, open.server, room, alice), inOpenMode, `${room} in open mode`);
      assert.equal(await join(t, keyed.server, room, signed), withToken, `${room} with a token`);
    }
    // A policy never widens what a token grants.
    const narrow = { token: sign({ sub: "bob", rooms: [{ match: "team-*", can: ["join", "history"] }] }) };
    assert.equal(await join(t, keyed.server, "join-anyone", narrow), "forbidden");
  });
}

for (const [what, publish] of Object.entries(PUBLISHES)) {
  test(`${what} may be sent where the policy says so`, async (t) => {
    const { server } = await withPolicies(t, MATRIX_OF_RULES, { ...(await permitting(t)), "socketio-relay": "draw=ack" });
    const back = (room) => call(server, "POST", `/v1/rooms/${room}/messages`, { key: KEY, body: { data: 1 } }).then(restCode);
    const cases = [
      ["publish-anyone", "ok", "ok", "ok"],
      ["publish-members", "forbidden", "ok", "ok"],
      ["publish-backend", "forbidden", "forbidden", "ok"],
      // A relayed event is not asked about.
      ["publish-hook", "ok", what === "a relayed event" ? "forbidden" : "ok", "ok"],
      ["publish-nobody", "forbidden", "forbidden", "forbidden"],
      ["elsewhere", "ok", "ok", "ok"],
    ];
    for (const [room, outside, member, backend] of cases) {
      for (const [isMember, expected] of [[false, outside], [true, member]]) {
        const got = await publish(t, server, room, { user: "alice" }, isMember);
        if (got !== undefined) assert.equal(got, expected, `${room}, ${isMember ? "a member" : "no member"}`);
      }
      assert.equal(await back(room), backend, `${room}, a back end`);
    }
  });
}

test("the first policy that matches applies, and what it leaves out is as everywhere", async (t) => {
  const { server } = await withPolicies(t, `
[[rooms]]
match = "board-open-*"
typing = false
[[rooms]]
match = "board-*"
join = "nobody"
typing = false
message_bytes = "20 B"
`, { "limits-message-bytes": "1 KiB" });
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "board-open-7");
  await alice.ok("message", { room: "board-open-7", data: "x".repeat(100) });
  await alice.refused("typing", { room: "board-open-7", typing: true }, "forbidden");
  await alice.refused("join", "board-7", "forbidden");
  await alice.refused("message", { room: "board-7", data: "x".repeat(100) }, "too_large");
  await alice.ok("message", { room: "board-7", data: "short" });
  await alice.refused("message", { room: "other", data: "x".repeat(2000) }, "too_large");
  // A pattern for all rooms is not meant for personal rooms, as with grants.
  await alice.ok("join", "user:alice");
});

test("presence shows users, how many there are, or nothing", async (t) => {
  const { server } = await withPolicies(t, `
[[rooms]]
match = "count"
presence = "count"
[[rooms]]
match = "off"
presence = "off"
`);
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  const seen = alice.on("presence");
  const joined = {};
  for (const room of ["off", "count", "users"]) {
    joined[room] = await alice.ok("join", room);
    await bob.ok("join", room);
  }
  await seen.until((items) => items.some(([event]) => event.room === "users" && event.user === "bob"), "presence in the last room");
  assert.deepEqual(seen.items.map(([event]) => event.room).filter((room) => room !== "users"), []);
  assert.equal(joined.off.members, undefined);
  assert.deepEqual(joined.count.members, { count: 1, users: [] });
  assert.deepEqual(joined.users.members.users.map(({ user }) => user), ["alice"]);
  await alice.refused("presence", { room: "off" }, "forbidden");
  const { count, users } = await alice.ok("presence", { room: "count" });
  assert.deepEqual([count, users], [2, []]);
  const members = (room) => call(server, "GET", `/v1/rooms/${room}/presence`, { key: KEY });
  assert.equal((await members("off")).body.users.length, 2, "a back end sees all");
});

test("where users are not shown, nobody sees who has read what or who types, and typing can be allowed", async (t) => {
  const { server } = await withPolicies(t, `
[[rooms]]
match = "quiet"
presence = "count"
[[rooms]]
match = "lively"
presence = "off"
typing = true
`);
  const alice = await open(t, server, { user: "alice" });
  const again = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  const [seen, own, typing] = [bob.on("read"), again.on("read"), bob.on("typing")];
  for (const client of [alice, again, bob]) for (const room of ["quiet", "lively", "open"]) await client.ok("join", room);
  for (const room of ["quiet", "lively", "open"]) {
    await alice.ok("message", { room, data: 1 });
    await alice.ok("read", { room, seq: 1 });
  }
  await seen.until((items) => items.some(([{ room }]) => room === "open"), "the read marker in the open room");
  assert.deepEqual(seen.items.map(([{ room }]) => room), ["open"]);
  await own.count(3);
  await alice.refused("typing", { room: "quiet", typing: true }, "forbidden");
  await alice.ok("typing", { room: "lively", typing: true });
  await typing.until((items) => items.some(([{ room }]) => room === "lively"), "typing where it is allowed");
});

test("a relay from a sender in no room goes to everybody only if every policy takes it", async (t) => {
  const rules = (more) => `[[rooms]]\nmatch = "board-*"\n${more}\n`;
  const { server, reload } = await withPolicies(t, rules('publish = "backend"'), { "socketio-relay": "draw=ack" });
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  const seen = bob.on("draw");
  await bob.ok("join", "board-1");
  const sent = async () => code(await alice.ask("draw", 1));
  for (const [more, expected] of [['publish = "backend"', "forbidden"], ["events = { draw = false }", "forbidden"], ['rate = "1/h"', "forbidden"], ['message_bytes = "0 B"', "too_large"], ["typing = false", "ok"]]) {
    await reload(rules(more));
    assert.equal(await sent(), expected, more);
  }
  await seen.count(1);
  assert.equal(seen.items.length, 1);
});

test("rooms that a client may not join are not listed to it", async (t) => {
  const { server } = await withPolicies(t, '[[rooms]]\nmatch = "secret"\njoin = "token"\n[[rooms]]\nmatch = "quiet"\npresence = "off"\n');
  const alice = await open(t, server, { user: "alice" });
  for (const room of ["open", "quiet"]) await alice.ok("join", room);
  await call(server, "POST", "/v1/rooms/secret/messages", { key: KEY, body: { data: 1 } });
  const list = async (who) => (await call(server, "GET", "/v1/rooms", who)).body.rooms;
  assert.deepEqual((await list({ user: "alice" })).map(({ room }) => room), ["open", "quiet"]);
  assert.equal((await call(server, "GET", "/v1/rooms/secret", { user: "alice" })).status, 403);
  assert.equal((await call(server, "GET", "/v1/rooms/quiet", { user: "alice" })).body.users, undefined);
});

test("whatever a policy says, a personal room is its user's, also after coming back", async (t) => {
  const { server } = await withPolicies(t, '[[rooms]]\nmatch = "user:*"\njoin = "nobody"\npublish = "backend"\n');
  const alice = await open(t, server, { user: "alice" });
  const [kicked, told] = [alice.on("kicked"), alice.on("notification")];
  await alice.ok("join", "lobby");
  alice.socket.io.engine.close();
  await alice.session(2);
  const bob = await open(t, server, { user: "bob" });
  await bob.refused("message", { room: "user:alice", data: 1 }, "forbidden");
  await call(server, "POST", "/v1/users/alice/notifications", { key: KEY, body: { data: "hello" } });
  await told.count(1);
  assert.deepEqual(kicked.items, []);
});

test("a room's rate delays a user's events, and refuses them over REST", async (t) => {
  const { server } = await withPolicies(t, '[[rooms]]\nmatch = "slow"\nrate = "10/s"\n');
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  const began = Date.now();
  await Promise.all(upTo(15).map((data) => alice.ok("message", { room: "slow", data })));
  const took = Date.now() - began;
  assert.ok(took > 350, `15 messages at 10/s in ${took} ms`);
  const other = Date.now();
  await bob.ok("message", { room: "slow", data: "bob's own" });
  await alice.ok("message", { room: "fast", data: 1 });
  assert.ok(Date.now() - other < 300, "another user, and another room, wait for nothing");
  const post = (room) => call(server, "POST", `/v1/rooms/${room}/messages`, { user: "carol", body: { data: 1 } });
  const answers = await Promise.all(upTo(15).map(() => post("slow")));
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length >= 3, `${refused.length} refused`);
  assert.equal(refused[0].body.code, "rate_limited");
  assert.ok(refused[0].body.retry_after_ms > 0);
});

test("a room's history is as long as its policy says", async (t) => {
  const { server } = await withPolicies(t, '[[rooms]]\nmatch = "short-*"\nhistory = "10, 1d"\n[[rooms]]\nmatch = "other-*"\n', { "history-rooms": "*=300,1d" });
  const alice = await open(t, server, { user: "alice" });
  for (const room of ["short-1", "other-1"]) {
    await Promise.all(upTo(200).map((data) => alice.ok("message", { room, data })));
  }
  const stored = async (room) => (await alice.history(room)).length;
  await eventually(async () => (await stored("short-1")) < 100, "the history is trimmed");
  assert.equal(await stored("other-1"), 200);
});

const CURSOR = {
  type: "object", required: ["x", "y"], additionalProperties: false,
  properties: { x: { $ref: "coordinate.json" }, y: { $ref: "coordinate.json" }, color: { type: "string", pattern: "^#[0-9a-f]{6}$" } },
};

async function withSchema(t, options = {}) {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-schemas-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "cursor.json"), JSON.stringify(CURSOR));
  await writeFile(join(folder, "coordinate.json"), JSON.stringify({ type: "number", minimum: 0 }));
  const tables = `[[rooms]]\nmatch = "board-*"\nevents = { cursor = "${folder}/cursor.json", message = true, "*" = false }\n`;
  return { folder, ...(await withPolicies(t, tables, options)) };
}

test("data that a schema refuses says where it is wrong, and what is right passes as it is", async (t) => {
  const { server } = await withSchema(t, { "socketio-relay": "cursor=ack" });
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  const seen = bob.on("cursor");
  for (const client of [alice, bob]) await client.ok("join", "board-1");
  const send = (data) => alice.ask("publish", { room: "board-1", event: "cursor", data, ephemeral: true });
  const refusals = [
    [{ x: -1, y: 2 }, "/x"], [{ x: 1, y: "two" }, "/y"], [{ x: 1 }, ""], [{ x: 1, y: 1, z: 1 }, ""], [7, ""], [{ x: 1, y: 1, color: "red" }, "/color"],
  ];
  for (const [data, at] of refusals) {
    const { ok, error } = await send(data);
    assert.deepEqual([ok, error.code, error.at], [false, "bad_request", at], JSON.stringify(data));
    assert.ok(error.message.includes("cursor") && error.message.length < 300, error.message);
  }
  const long = await send({ x: "y".repeat(5000), y: 1 });
  assert.ok(long.error.message.length < 300, "a long value is cut");
  assert.equal((await send({ x: 1.0, y: 1e2 })).ok, true);
  assert.equal((await alice.ask("cursor", { x: -5, y: 1 })).error?.code, "bad_request", "relayed");
  // To receivers what stands in the place of binary data is that data.
  assert.equal((await alice.ask("cursor", { x: 1, y: 1 }, Buffer.from("x"))).error?.code, "bad_request", "with an attachment");
  assert.deepEqual(await acknowledged(alice, "cursor", { x: 5, y: 1 }), []);
  await seen.count(2);
  await alice.refused("publish", { room: "board-1", event: "other", data: 1 }, "forbidden");
  await alice.ok("message", { room: "board-1", data: { any: "thing" } });
  // Back ends are held to it, too, and over every transport.
  const rest = await call(server, "POST", "/v1/rooms/board-1/messages", { key: KEY, body: { event: "cursor", data: { x: -1, y: 0 } } });
  assert.deepEqual([rest.status, rest.body.code, rest.body.at], [400, "bad_request", "/x"]);
  const ws = await peer(t, server, { user: "carol", room: "board-1" });
  const error = await ws.refused("event", { room: "board-1", data: { event: "cursor", data: { x: 1, y: -1 } } }, "bad_request");
  assert.equal(error.at, "/y");
});

test("what gets stricter applies to who is there, and what gets wider to who comes", async (t) => {
  const strict = '[[rooms]]\nmatch = "club"\njoin = "token"\n[[rooms]]\nmatch = "board"\npublish = "backend"\npresence = "off"\n';
  const { server, reload } = await withPolicies(t, "");
  const alice = await open(t, server, { user: "alice" });
  const ws = await peer(t, server, { user: "bob", room: "club" });
  for (const room of ["club", "board", "other"]) await alice.ok("join", room);
  const kicked = alice.on("kicked");
  const presence = alice.on("presence");
  await reload(strict);
  const [[notice]] = await kicked.count(1);
  assert.deepEqual(notice, { room: "club", reason: "the policy of the room has changed" });
  await ws.next("system kicked");
  await alice.refused("message", { room: "board", data: 1 }, "forbidden");
  await alice.ok("message", { room: "other", data: 1 });
  const carol = await open(t, server, { user: "carol" });
  await carol.ok("join", "board");
  await carol.ok("join", "other");
  await presence.until((items) => items.some(([event]) => event.room === "other" && event.user === "carol"), "presence elsewhere");
  assert.ok(!presence.items.some(([event]) => event.room === "board" && event.user === "carol"));
  // A file that is wrong changes nothing.
  await reload("[[rooms]]\nmatch = 'club'\njoin = 'somebody'\n");
  await alice.refused("join", "club", "forbidden");
  await reload("");
  await alice.ok("join", "club");
  await alice.ok("message", { room: "board", data: 1 });
});

test("a client that comes back is not in a room that it may not be in any more", async (t) => {
  const { server, reload } = await withPolicies(t, "", { "presence-grace": "100ms" });
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "club");
  await alice.ok("join", "other");
  const kicked = alice.on("kicked");
  alice.socket.io.reconnection(false);
  alice.socket.io.engine.close();
  await reload('[[rooms]]\nmatch = "club"\njoin = "nobody"\n');
  alice.socket.connect();
  await alice.session(2);
  await kicked.until((items) => items.some(([{ room }]) => room === "club"), "told that it is out");
  const gone = async () => (await call(server, "GET", "/v1/rooms/club/presence", { key: KEY })).body.users.length === 0;
  await eventually(gone, "it is no member");
});

// What the command prints, or why not.
function config(args) {
  try {
    return execFileSync(binary, ["config", ...args], { encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    return error.stderr;
  }
}

test("switchboard config --room says what applies, where it is set, and what a token may do", async (t) => {
  const { file } = await withSchema(t);
  const tables = `[auth]
hmac_secret = "${SECRET}"
[[rooms]]
match = "a"

[[rooms]]
match = "board-*"
publish = "members"
history = "1000, 30d"
rate = "20/s"
events = { "*" = false }
`;
  await writeFile(file, tables);
  const token = sign({ sub: "alice", rooms: [{ match: "board-*", can: ["join", "publish"] }] });
  const text = config(["--config", file, "--room", "board-7", "--token", token]);
  assert.match(text, new RegExp(`^room board-7: rooms\\[1\\], match = "board-\\*" \\(${file}:6\\)$`, "m"));
  for (const line of [
    /^ {2}join +anyone +everywhere$/m, /^ {2}publish +members +rooms\[1\]$/m, /^ {2}history +1000, 30d +rooms\[1\]$/m, /^ {2}rate +20\/s of each user +rooms\[1\]$/m,
    /^ {2}events +\*: refused +rooms\[1\]$/m, /^user alice$/m, /^ {2}publish +yes +as a member$/m, /^ {2}history +no +the token does not grant it$/m,
  ]) assert.match(text, line);
  assert.match(config(["--config", file, "--room", "elsewhere"]), /no table of \[\[rooms\]\] matches it/);
  assert.match(config(["--config", file, "--room", "board-7", "--token", "nonsense"]), /the token is refused/);
});

test("policies that cannot be are refused with what is wrong", async (t) => {
  const { folder, file } = await withSchema(t);
  await writeFile(join(folder, "outside.json"), JSON.stringify({ $ref: "https://example.com/schema.json" }));
  await writeFile(join(folder, "above.json"), JSON.stringify({ $ref: "../secret.json" }));
  await writeFile(join(folder, "passwd.json"), JSON.stringify({ $ref: "file:///etc/passwd" }));
  await writeFile(join(folder, "backtracking.json"), JSON.stringify({ pattern: "^(a+)+(?=b)\\1$" }));
  await writeFile(join(folder, "broken.json"), "{");
  const schema = (name) => `match = "a"\nevents = { e = "${folder}/${name}" }`;
  for (const [table, ...parts] of [
    ['join = "anyone"', "rooms[0].match", "is not set"],
    ['match = "a"\njoin = "somebody"', "rooms[0].join", "anyone or token or hook or nobody"],
    ['match = "a"\njoin = "hook"', "rooms[0].join", 'on = ["join"]'],
    ['match = "a"\npublish = "hook"', "rooms[0].publish", 'on = ["publish"]'],
    ['match = "a"\nrate = "fast"', "rooms[0].rate", "20/s"],
    ['match = "a"\nrate = "0/s"', "rooms[0].rate"],
    ['match = "a"\nhistory = "many"', "rooms[0].history", "1000, 30d"],
    ['match = "a"\nmessage_bytes = "10 MiB"', "rooms[0].message_bytes", "max_payload"],
    ['match = "a"\nevents = "all"', "rooms[0].events"],
    ['match = "a"\nevents = { "error" = true }', "rooms[0].events", "no event name"],
    ['match = "a"\nevents = { e = 7 }', "rooms[0].events", "JSON Schema"],
    ['match = "a"\ncolour = "red"', "rooms[0].colour", "there is no such key"],
    [schema("missing.json"), "rooms[0].events", "missing.json"],
    [schema("broken.json"), "broken.json"],
    [schema("outside.json"), "nothing else is read"],
    [schema("above.json"), "above.json"],
    [schema("passwd.json"), "nothing else is read"],
    [schema("backtracking.json"), "backtracking.json"],
  ]) {
    await writeFile(file, `[[rooms]]\n${table}\n`);
    const said = config(["--check", "--config", file]);
    for (const part of ["invalid configuration", ...parts]) assert.ok(said.includes(part), `${table}\n→ ${said}`);
  }
});
