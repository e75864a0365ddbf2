// A CONNECT that is refused says why: to the client, and once in the log.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, refusal, start } from "./support/clients.mjs";
import { Raw } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const KEYED = { ...UNLIMITED, "auth-hmac-secret": SECRET };

const TOKENS = {
  "names nobody": [{}, /no sub/],
  "has a sub with a space": [{ sub: "Alice Smith" }, /sub.*white space/],
  "has a sub that is an object": [{ sub: {} }, /sub.*string nor a whole number/],
  "has a rooms claim of the application's own": [{ sub: "a", rooms: ["a", "b"] }, /rooms.*match.*can/],
  "has a name that is too long": [{ sub: "a", name: "x".repeat(300) }, /name.*128 bytes/],
  "has an info that is a text": [{ sub: "a", info: "hello" }, /info.*object/],
  "has an exp that is a text": [{ sub: "a", exp: "soon" }, /exp.*number/],
};

for (const [name, [claims, reason]] of Object.entries(TOKENS)) {
  test(`a token that ${name} is refused by the name of the claim`, async (t) => {
    const server = await serve(t, KEYED);
    for (const v of [2, 3, 4]) {
      for (const mode of ["polling", "websocket"]) {
        const token = sign(claims);
        if (v === 2) continue; // its token travels with HTTP, and is answered 401
        const { message, data } = await refusal(start(t, server, { v, mode, token }));
        assert.equal(message, "unauthorized");
        assert.equal(data.code, "unauthorized");
        assert.match(data.message, reason);
      }
    }
    const lines = await eventually(() => {
      const found = server.log.match(/ INFO CONNECT refused .*\n/g);
      return found?.length >= 4 && found;
    }, "a line each");
    assert.equal(lines.length, 4, "one line each");
    for (const line of lines) assert.match(line, reason);
  });
}

test("a user that is a number is its digits, in a token and in open mode", async (t) => {
  const keyed = await serve(t, KEYED);
  for (const v of [3, 4]) assert.equal((await open(t, keyed, { v, token: sign({ sub: 42 }) })).me.user, "42");
  const server = await serve(t);
  for (const v of [3, 4]) assert.equal((await open(t, server, { v, auth: { user: 42 } })).me.user, "42");
  for (const v of [2, 3, 4]) assert.equal((await open(t, server, { v, query: { user: 42 } })).me.user, "42");
});

test("in open mode an invalid name is refused with its reason, and never replaced silently", async (t) => {
  const server = await serve(t);
  for (const [user, reason] of [
    ["Alice Smith", /white space/],
    ["x".repeat(129), /128 bytes/],
    [{}, /auth\.user is an object/],
    [["alice"], /auth\.user is a list/],
    [true, /auth\.user is true or false/],
    [4.2, /auth\.user is a number/],
  ]) {
    for (const mode of ["polling", "websocket"]) {
      const { message, data } = await refusal(start(t, server, { mode, auth: { user } }));
      assert.equal(message, "bad_request");
      assert.match(data.message, reason);
    }
  }
  for (const none of ["", null, undefined]) {
    assert.match((await open(t, server, { auth: { user: none } })).me.user, /^guest-/);
  }
});

test("a token that is not a string is refused by its type", async (t) => {
  const server = await serve(t, KEYED);
  const { message, data } = await refusal(start(t, server, { auth: { token: Promise.resolve("t") } }));
  assert.equal(message, "unauthorized");
  assert.match(data.message, /auth\.token is an object \(a promise/);
});

test("client 2 gets the same in its error event", async (t) => {
  const server = await serve(t);
  for (const mode of ["polling", "websocket"]) {
    const client = start(t, server, { v: 2, mode, query: { user: "a b" } });
    const [[error]] = await client.errors.count(1);
    assert.equal(error.message, "bad_request");
    assert.equal(error.data.code, "bad_request");
    assert.match(error.data.message, /white space/);
    client.close();
  }
});

test("the packet is Socket.IO's, and that of an unknown namespace is as everywhere", async (t) => {
  const server = await serve(t, { "socketio-namespaces": "/,/chat" });
  const raw = new Raw(t, server);
  await raw.frame("0{");
  raw.send('40/chat,{"user":"a b"}');
  const packet = await raw.frame("44/chat,");
  assert.deepEqual(JSON.parse(packet.slice(8)), {
    message: "bad_request",
    data: { code: "bad_request", message: "a user id must not contain white space or control characters" },
  });
  raw.send("40/nowhere,");
  assert.equal(await raw.frame("44/nowhere"), '44/nowhere,{"message":"Invalid namespace"}');
});

test("a user id may have 128 bytes, and its personal room is as good as any", async (t) => {
  const server = await serve(t);
  const user = "u".repeat(128);
  const alice = await open(t, server, { user });
  assert.deepEqual(alice.me.rooms, [`user:${user}`]);
  await alice.ok("history", `user:${user}`);
  const other = await open(t, server, { user: "ä".repeat(64) });
  await other.ok("join", "lobby");
  await alice.ok("join", "lobby");
  const { users } = await alice.ok("presence", "lobby");
  assert.deepEqual(users.map((each) => each.user).sort(), [user, "ä".repeat(64)].sort());
});
