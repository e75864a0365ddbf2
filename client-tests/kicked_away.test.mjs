// A client that is kicked from a room while it is away receives kicked when it comes back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { away, follow, hears, Speaker } from "./support/follow.mjs";
import { nodes } from "./support/nodes.mjs";
import { http } from "./support/raw.mjs";
import { redis } from "./support/redis.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const API = "an-api-key-of-twenty-characters";
const KEYED = { ...UNLIMITED, "auth-api-keys": API };

const kick = async (server, reason) => {
  const path = `/v1/rooms/lobby/members/alice${reason ? `?reason=${reason}` : ""}`;
  const { status, body } = await http(server, path, { method: "DELETE", headers: { authorization: `Bearer ${API}` } });
  assert.equal(status, 200, body);
};

for (const store of ["sqlite", "memory"]) {
  for (const how of ["cut", "lose"]) {
    test(`with the log in ${store}, a client whose network is ${how === "cut" ? "cut" : "lost"} receives kicked after its recovery`, async (t) => {
      const server = await serve(t, { ...KEYED, store });
      const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby", "news");
      const alice = await follow(t, server, { user: "alice" });
      const kicked = alice.on("kicked");
      await alice.ok("join", "lobby");
      await alice.ok("join", "news");
      await speaker.say(2);
      await hears(alice, [1, 2]);
      const meanwhile = async () => {
        await kick(server);
        await speaker.say(2);
      };
      assert.equal(await away(alice, how, meanwhile), true);
      const [[told]] = await kicked.count(1);
      assert.equal(told.room, "lobby");
      assert.equal(typeof told.reason, "string");
      const [session] = alice.sessions.items[1];
      assert.deepEqual(session.rooms, ["user:alice", "news"]);
      await hears(alice, [1, 2, 3]);
      await alice.ok("join", "lobby");
      assert.equal(await away(alice, "cut"), true);
      assert.equal(kicked.items.length, 1, "it is in there again");
    });
  }
}

test("a client that is kicked before a restart receives kicked after it", async (t) => {
  const server = await serve(t, KEYED);
  const alice = await follow(t, server, { user: "alice" });
  const kicked = alice.on("kicked");
  await alice.ok("join", "lobby");
  const meanwhile = async () => {
    await kick(server);
    await server.kill();
    await server.start();
  };
  assert.equal(await away(alice, "cut", meanwhile), true);
  assert.equal((await kicked.count(1))[0][0].room, "lobby");
});

for (const how of ["cut", "lose"]) {
  test(`a client whose network is ${how === "cut" ? "cut" : "lost"} receives kicked from another node`, async (t) => {
    const [a, b] = await nodes(t, await redis(t), 2, KEYED);
    const alice = await follow(t, a, { user: "alice" });
    const kicked = alice.on("kicked");
    await alice.ok("join", "lobby");
    alice.network.server = b;
    assert.equal(await away(alice, how, () => kick(b, "rude")), true);
    assert.deepEqual(await kicked.count(1), [[{ room: "lobby", reason: "rude" }]]);
    assert.deepEqual(alice.sessions.items[1][0].rooms, ["user:alice"]);
  });
}

test("a client whose new token grants less receives kicked for each room that it lost", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "auth-hmac-secret": SECRET });
  const rooms = [{ match: "news", can: ["join", "history"] }];
  const alice = await follow(t, server, { token: sign({ sub: "alice" }) });
  const kicked = alice.on("kicked");
  await alice.ok("join", "lobby");
  await alice.ok("join", "news");
  alice.socket.auth = { token: sign({ sub: "alice", rooms }) };
  assert.equal(await away(alice, "cut"), true);
  assert.deepEqual(await kicked.count(1), [[{ room: "lobby", reason: "forbidden" }]]);
  assert.deepEqual(alice.sessions.items[1][0].rooms, ["user:alice", "news"]);
});
