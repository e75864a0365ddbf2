// Identity: where a token may come from, how a bad one is refused, what it permits, when it expires.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { open, refusal, start } from "./support/clients.mjs";
import { http, Raw } from "./support/raw.mjs";
import { serve } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";

const KEYED = { "auth-hmac-secret": SECRET, "auth-cookie": "session" };
const STRICT = { ...KEYED, "auth-leeway": "0s", "auth-grace": "1s" };
const all = ["join", "publish", "history", "presence"];

const bearer = (token) => ({ extraHeaders: { authorization: `Bearer ${token}` } });

for (const v of [3, 4]) {
  test(`client ${v} is who its auth.token says`, async (t) => {
    const server = await serve(t, KEYED);
    const exp = at(600);
    for (const mode of ["polling", "websocket", "upgrade"]) {
      const { me } = await open(t, server, { v, mode, token: sign({ sub: "alice", name: "Alice", exp }) });
      assert.equal(me.user, "alice");
      assert.equal(me.name, "Alice");
      assert.equal(me.expires_at, exp * 1000, "expires_at is in milliseconds");
    }
  });
}

for (const v of [2, 3, 4]) {
  test(`client ${v} is who the token of its HTTP request says`, async (t) => {
    const server = await serve(t, KEYED);
    const token = sign({ sub: "alice" });
    for (const mode of ["polling", "websocket", "upgrade"]) {
      for (const place of [
        bearer(token),
        { extraHeaders: { cookie: `theme=dark; session=${token}` } },
        { query: { token } },
      ]) {
        const { me } = await open(t, server, { v, mode, ...place });
        assert.equal(me.user, "alice", `${mode} ${Object.keys(place)}`);
      }
    }
  });
}

test("auth.token comes before the header, the header before the cookie, the cookie before the query", async (t) => {
  const server = await serve(t, KEYED);
  const [a, b, c, d] = ["a", "b", "c", "d"].map((sub) => sign({ sub }));
  const who = async (options) => (await open(t, server, options)).me.user;
  assert.equal(await who({ token: a, extraHeaders: { authorization: `Bearer ${b}` }, query: { token: d } }), "a");
  const headers = { authorization: `Bearer ${b}`, cookie: `session=${c}` };
  assert.equal(await who({ extraHeaders: headers, query: { token: d } }), "b");
  assert.equal(await who({ extraHeaders: { cookie: `session=${c}` }, query: { token: d } }), "c");
});

test("a name that is only claimed counts for nothing where tokens are asked for", async (t) => {
  const server = await serve(t, KEYED);
  assert.equal((await refusal(start(t, server, { user: "alice" }))).message, "unauthorized");
  assert.equal((await open(t, server, { user: "mallory", token: sign({ sub: "alice" }) })).me.user, "alice");
});

const BAD = {
  "signed with another key": [sign({ sub: "alice" }, "another secret of thirty-two bytes!!"), "unauthorized"],
  "without a user": [sign({}), "unauthorized"],
  "of the algorithm none": [
    `${Buffer.from('{"alg":"none"}').toString("base64url")}.${sign({ sub: "alice" }).split(".")[1]}.`,
    "unauthorized",
  ],
  "not good yet": [sign({ sub: "alice", nbf: at(600) }), "unauthorized"],
  expired: [sign({ sub: "alice", exp: at(-600) }), "token_expired"],
};

for (const [name, [token, code]] of Object.entries(BAD)) {
  test(`a token ${name} gets ${code} on every transport`, async (t) => {
    const server = await serve(t, KEYED);
    for (const v of [3, 4]) {
      for (const mode of ["polling", "websocket"]) {
        assert.equal((await refusal(start(t, server, { v, mode, token }))).message, code, `client ${v} over ${mode}`);
      }
    }

    const headers = { authorization: `Bearer ${token}` };
    for (const [place, sent] of [["", { headers }], [`&token=${token}`, {}], ["", { headers: { cookie: `session=${token}` } }]]) {
      for (const eio of [3, 4]) {
        const polling = await http(server, `/socket.io/?EIO=${eio}&transport=polling${place}`, sent);
        assert.equal(polling.status, 401, polling.body);
        assert.equal(JSON.parse(polling.body).code, code);
        assert.equal(typeof JSON.parse(polling.body).message, "string");

        const path = `/socket.io/?EIO=${eio}&transport=websocket${place}`;
        const socket = await new Raw(t, server, { path, ...sent }).ended();
        assert.equal(socket.status, 401, "refused before the upgrade");
        assert.equal(JSON.parse(socket.body).code, code);
      }
    }
  });
}

// A proxy's token, or a parameter of the application's: with the CONNECT a better one may come.
test("text that is not a JSON Web Token admits nobody, and does not stop a valid token elsewhere", async (t) => {
  const server = await serve(t, KEYED);
  const token = sign({ sub: "alice" });
  for (const mode of ["polling", "websocket"]) {
    for (const v of [3, 4]) {
      assert.equal((await refusal(start(t, server, { v, mode, token: "garbage" }))).message, "unauthorized");
      for (const place of [bearer("opaque"), { query: { token: "abc" } }, { extraHeaders: { authorization: "Basic dTpw" } }]) {
        const refused = await refusal(start(t, server, { v, mode, ...place }));
        assert.equal(refused.message, "unauthorized");
        assert.match(refused.data.message, /auth\.token/);
        assert.equal((await open(t, server, { v, mode, token, ...place })).me.user, "alice");
      }
    }
  }
});

test("a token may have its scheme in front everywhere, and an empty one is none", async (t) => {
  const server = await serve(t, KEYED);
  const [alice, bob] = [sign({ sub: "alice" }), sign({ sub: "bob" })];
  const who = async (options) => (await open(t, server, options)).me.user;
  for (const form of [`Bearer ${alice}`, `bearer  ${alice} `]) {
    assert.equal(await who({ token: form }), "alice");
    assert.equal(await who({ query: { token: form } }), "alice");
    assert.equal(await who({ extraHeaders: { cookie: `session=${encodeURIComponent(form)}` } }), "alice");
    assert.equal(await who({ extraHeaders: { authorization: form } }), "alice");
  }
  for (const none of ["", "Bearer ", null]) {
    assert.equal(await who({ auth: { token: none }, ...bearer(bob) }), "bob");
    assert.equal(await who({ auth: { token: none }, query: { token: bob } }), "bob");
  }
});

test("with auth.http off, tokens in HTTP requests of Socket.IO are not read, and those of other transports are", async (t) => {
  const server = await serve(t, { ...KEYED, "auth-http": false });
  const token = sign({ sub: "alice" });
  const foreign = sign({ sub: "proxy" }, "another secret of thirty-two bytes!!");
  for (const mode of ["polling", "websocket"]) {
    for (const place of [bearer(foreign), { query: { token: foreign } }, { extraHeaders: { cookie: `session=${foreign}` } }]) {
      assert.equal((await open(t, server, { mode, token, ...place })).me.user, "alice");
    }
    for (const v of [3, 4]) assert.equal((await refusal(start(t, server, { v, mode, ...bearer(token) }))).message, "unauthorized");
  }
  assert.equal((await http(server, "/poll/lobby?wait=0", { headers: { authorization: `Bearer ${token}` } })).status, 200);
  assert.equal((await http(server, "/poll/lobby?wait=0", { headers: { authorization: `Bearer ${foreign}` } })).status, 401);
});

test("without any token a client is refused as unauthorized", async (t) => {
  const server = await serve(t, KEYED);
  for (const v of [3, 4]) assert.equal((await refusal(start(t, server, { v }))).message, "unauthorized");
  await refusal(start(t, server, { v: 2 }));
});

test("a token of another issuer or audience, or of none, is refused where those are asked for", async (t) => {
  const server = await serve(t, { ...KEYED, "auth-issuer": "https://id.example", "auth-audience": "chat" });
  const good = { sub: "alice", iss: "https://id.example", aud: "chat" };
  assert.equal((await open(t, server, { token: sign(good) })).me.user, "alice");
  assert.equal((await open(t, server, { token: sign({ ...good, aud: ["x", "chat"] }) })).me.user, "alice");
  for (const claims of [{ ...good, iss: "https://evil.example" }, { ...good, aud: "mail" }, { sub: "alice" }]) {
    assert.equal((await refusal(start(t, server, { token: sign(claims) }))).message, "unauthorized");
  }
});

test("a token's grants say what may be done in which room", async (t) => {
  const server = await serve(t, KEYED);
  const rooms = [
    { match: "team-7:*", can: all },
    { match: "news", can: ["join"] },
    { match: "box:*:in", can: ["publish"] },
    { match: "archive", can: ["history"] },
  ];
  for (const v of [2, 3, 4]) {
    const token = sign({ sub: `alice${v}`, rooms });
    const alice = await open(t, server, v === 2 ? { v, query: { token } } : { v, token });

    await alice.ok("join", "team-7:general");
    await alice.ok("message", { room: "team-7:general", data: 1 });
    await alice.ok("history", { room: "team-7:general" });

    await alice.ok("join", "news");
    await alice.refused("message", { room: "news", data: 1 }, "forbidden");
    await alice.refused("publish", { room: "news", event: "e", data: 1, ephemeral: true }, "forbidden");
    await alice.refused("history", { room: "news" }, "forbidden");

    await alice.ok("message", { room: "box:1:in", data: 1 });
    await alice.refused("join", "box:1:in", "forbidden");
    await alice.refused("message", { room: "box:1:out", data: 1 }, "forbidden");

    await alice.ok("history", { room: "archive" });
    await alice.refused("join", "archive", "forbidden");

    for (const room of ["team-7", "team-70:general", "xteam-7:general", "lobby", "*"]) {
      await alice.refused("join", room, "forbidden");
      await alice.refused("message", { room, data: 1 }, "forbidden");
    }
  }
});

test("without the grant for history a join brings no old messages", async (t) => {
  const server = await serve(t, KEYED);
  const writer = await open(t, server, { token: sign({ sub: "writer", rooms: [{ match: "*", can: all }] }) });
  const { epoch } = await writer.ok("message", { room: "news", data: "old" });
  const reader = await open(t, server, { token: sign({ sub: "reader", rooms: [{ match: "news", can: ["join"] }] }) });
  for (const payload of [{ room: "news", history: 10 }, { room: "news", since: `${epoch}:0` }]) {
    const ack = await reader.ask("join", payload);
    assert.ok(ack.ok ? ack.messages.length === 0 : ack.error.code === "forbidden", JSON.stringify(ack));
  }
});

test("no token permits joining another user's personal room", async (t) => {
  const server = await serve(t, KEYED);
  const alice = await open(t, server, { token: sign({ sub: "alice", rooms: [{ match: "*", can: all }] }) });
  await alice.refused("join", "user:bob", "forbidden");
  await alice.refused("history", { room: "user:bob" }, "forbidden");

  const open_ = await serve(t);
  const guest = await open(t, open_, { user: "alice" });
  await guest.refused("join", "user:bob", "forbidden");
  await guest.refused("history", { room: "user:bob" }, "forbidden");
});

test("a client whose token expires gets an error, and its transport closes after the grace time", async (t) => {
  const server = await serve(t, STRICT);
  for (const mode of ["polling", "websocket"]) {
    const exp = at(2);
    const alice = await open(t, server, { mode, reconnection: false, token: sign({ sub: "alice", exp }) });
    const gone = alice.on("disconnect");
    const [[error]] = await alice.errors.count(1);
    assert.equal(error.code, "token_expired");
    assert.ok(Date.now() >= exp * 1000, "not before its time");
    assert.deepEqual(gone.items, [], "there is a time of grace");
    const [[reason]] = await gone.count(1);
    assert.match(reason, /^transport (close|error)$/);
    assert.ok(Date.now() >= exp * 1000 + 900, "the grace time was kept");
  }
});

// By then its worker has no task (src/transport/socketio/parking.rs).
test("a client that has been silent for long is served, told of its token's end, and seen to leave", async (t) => {
  const server = await serve(t, { ...STRICT, "presence-grace": "100ms" });
  const alice = await open(t, server, { reconnection: false, token: sign({ sub: "alice", exp: at(14) }) });
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  const carol = await open(t, server, { token: sign({ sub: "carol" }) });
  for (const client of [alice, bob, carol]) await client.ok("join", "lobby");
  const left = carol.on("presence");
  await pause(5000);
  assert.equal((await bob.ok("message", { room: "lobby", data: "still here" })).seq, 1);
  await pause(5000);
  bob.socket.disconnect();
  await left.until((items) => items.some(([{ event, user }]) => event === "leave" && user === "bob"), "bob's leave");
  assert.equal((await carol.ok("message", { room: "lobby", data: "bye" })).seq, 2);
  const [[error]] = await alice.errors.count(1);
  assert.equal(error.code, "token_expired");
});

test("a client that refreshes its token in time stays connected, with the new token's end and grants", async (t) => {
  const server = await serve(t, STRICT);
  const rooms = [{ match: "lobby", can: all }];
  const alice = await open(t, server, { reconnection: false, token: sign({ sub: "alice", exp: at(2), rooms }) });
  const bob = await open(t, server, { reconnection: false, token: sign({ sub: "bob", exp: at(2), rooms }) });
  const lost = alice.on("disconnect");
  const bobLost = bob.on("disconnect");
  await alice.refused("join", "kitchen", "forbidden");

  await alice.errors.until((items) => items.some(([error]) => error.code === "token_expired"));
  const exp = at(600);
  const more = [...rooms, { match: "kitchen", can: all }];
  assert.deepEqual(await alice.ok("refresh", { token: sign({ sub: "alice", exp, rooms: more }) }), {
    ok: true,
    expires_at: exp * 1000,
  });
  await bobLost.count(1);
  await alice.ok("join", "kitchen");
  await alice.ok("message", { room: "lobby", data: 1 });
  assert.deepEqual(lost.items, []);
});

test("a refresh with another user's token, or an invalid one, is refused and changes nothing", async (t) => {
  const server = await serve(t, STRICT);
  const alice = await open(t, server, { token: sign({ sub: "alice" }) });
  await alice.refused("refresh", { token: sign({ sub: "bob" }) }, "forbidden", "unauthorized");
  await alice.refused("refresh", { token: "garbage" }, "unauthorized");
  await alice.refused("refresh", { token: sign({ sub: "alice", exp: at(-600) }) }, "token_expired");
  await alice.ok("message", { room: "lobby", data: "still alice" });
});

test("the secret is in no response and no log line", async (t) => {
  const server = await serve(t, { ...KEYED, "log-filter": "debug" });
  const token = sign({ sub: "alice" });
  const alice = await open(t, server, { query: { token } });
  await alice.ok("join", "lobby");
  assert.ok(!JSON.stringify(alice.me).includes(token));
  assert.ok(!server.log.includes(SECRET), "the key is in the log");
  assert.ok(!server.log.includes(token), "the token is in the log");
});
