// Connecting: every supported client receives its session over every transport.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MATRIX, open, refusal, start } from "./support/clients.mjs";
import { http, pollingSession, rawClient } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode} connects under the name it gives and receives its session`, async (t) => {
    const server = await serve(t);
    const before = Date.now();
    const { me, socket } = await open(t, server, { v, mode, user: "alice" });

    assert.equal(me.user, "alice");
    assert.equal(typeof me.connection, "string");
    assert.ok(me.connection.length >= 16, "a connection id cannot be guessed");
    // Client 2 makes its id itself, from the transport's.
    if (v !== 2) assert.equal(socket.id, me.connection);
    assert.notEqual(me.connection, socket.io.engine.id, "whoever knows the transport's id can post into its session");
    assert.deepEqual(me.rooms, ["user:alice"]);
    assert.equal(me.expires_at ?? null, null, "no token, no expiry");
    assert.equal(typeof me.node, "string");
    assert.equal(typeof me.limits, "object");
    assert.match(me.version, /^\d+\.\d+\.\d+/);
    assert.ok(Number.isInteger(me.ts), "ts is whole milliseconds");
    assert.ok(me.ts >= before - 1000 && me.ts <= Date.now() + 1000, `ts ${me.ts} is now`);
  });

  test(`client ${v} over ${mode} that gives no name is a guest`, async (t) => {
    const server = await serve(t);
    const { me } = await open(t, server, { v, mode });
    assert.match(me.user, /^guest-[0-9a-z]{6}$/);
    assert.deepEqual(me.rooms, [`user:${me.user}`]);
  });
}

test("two connections of one user have different connection ids and one personal room", async (t) => {
  const server = await serve(t);
  const [one, two] = await Promise.all([
    open(t, server, { user: "alice", v: 4 }),
    open(t, server, { user: "alice", v: 2 }),
  ]);
  assert.notEqual(one.me.connection, two.me.connection);
  assert.deepEqual(one.me.rooms, two.me.rooms);
});

test("the session event comes once and before anything else", async (t) => {
  const server = await serve(t);
  const raw = await rawClient(t, server, { user: "alice" });
  raw.send('421["join",{"room":"lobby"}]');
  await raw.frame("431");
  const packets = raw.frames.items.map((frame) => frame.replace(/^(0|40)\{.*/s, "$1"));
  assert.deepEqual(packets.slice(0, 2), ["0", "40"]);
  assert.ok(packets[2].startsWith('42["session",'), packets[2]);
  assert.equal(packets.filter((frame) => frame.startsWith('42["session"')).length, 1);
});

test("every client takes part in the server's heartbeat and stays connected", async (t) => {
  const server = await serve(t, { "socketio-ping-interval": "200ms", "socketio-ping-timeout": "1s" });
  await Promise.all(
    MATRIX.map(async ({ v, mode }) => {
      const client = await open(t, server, { v, mode, user: "alice" });
      const lost = client.on("disconnect");
      let beats = 0;
      // Said by every version after each heartbeat, whichever side began it.
      client.socket.io.engine.on("pong", () => (beats += 1));
      await eventually(() => beats >= 8, `client ${v} over ${mode} had ${beats} heartbeats`);
      await client.ok("join", "lobby");
      assert.deepEqual(lost.items, [], `client ${v} over ${mode} lost its connection`);
    }),
  );
});

test("a handshake that never connects to a namespace is closed", async (t) => {
  const server = await serve(t, { "socketio-connect-timeout": "300ms" });
  const sid = await pollingSession(server);
  await eventually(async () => {
    const { status, body } = await http(server, `/socket.io/?EIO=4&transport=polling&sid=${sid}`);
    return status === 400 || body === "1";
  }, "the idle session was not closed");
});

test("a client that asks for a user name that is not one is refused", async (t) => {
  const server = await serve(t);
  const error = await refusal(start(t, server, { user: "white space" }));
  assert.equal(error.message, "bad_request");
});
