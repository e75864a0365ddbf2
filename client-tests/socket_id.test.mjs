// `socket.id`: the connection's public id, which stays over a recovery; never the id of the transport's session, with which
// others could post into it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { manager, open } from "./support/clients.mjs";
import { away, follow } from "./support/follow.mjs";
import { serve } from "./support/server.mjs";

for (const mode of ["polling", "websocket", "upgrade"]) {
  test(`a client over ${mode} keeps its socket.id when it is recovered, and its transport has another`, async (t) => {
    const server = await serve(t);
    const alice = await follow(t, server, { mode, user: "alice" });
    const { id } = alice.socket;
    assert.equal(id, alice.me.connection);
    const engines = [alice.socket.io.engine.id];
    for (const how of ["cut", "lose"]) {
      assert.equal(await away(alice, how), true, how);
      assert.equal(alice.socket.id, id);
      engines.push(alice.socket.io.engine.id);
    }
    assert.equal(new Set([...engines, id]).size, 4);
  });

  test(`a client over ${mode} that cannot be recovered has a new socket.id`, async (t) => {
    const server = await serve(t, { "recovery-window": 0 });
    const alice = await follow(t, server, { mode, user: "alice" });
    const { id } = alice.socket;
    assert.equal(id, alice.me.connection);
    assert.ok(!(await away(alice, "cut")));
    assert.notEqual(alice.socket.id, id);
    assert.equal(alice.socket.id, alice.sessions.items[1][0].connection);
    assert.notEqual(alice.socket.id, alice.socket.io.engine.id);
  });

  test(`each namespace over ${mode} has a socket.id of its own, by which others signal it`, async (t) => {
    const server = await serve(t, { "socketio-namespaces": "/,/chat" });
    const socket = manager(t, server, { mode });
    const clients = ["/", "/chat"].map((namespace) => socket(namespace, { auth: { user: "alice" } }));
    const signals = clients.map((client) => {
      const journal = client.on("signal");
      client.socket.on("signal", (_, ack) => ack(client.socket.nsp));
      return journal;
    });
    for (const client of clients) assert.equal((await client.session()).connection, client.socket.id);
    const [root, chat] = clients.map((client) => client.socket.id);
    assert.notEqual(root, chat);
    const bob = await open(t, server, { user: "bob", namespace: "/chat" });
    for (const client of [clients[1], bob]) await client.ok("join", "lobby");
    const { replies } = await bob.ok("signal", { to: { connection: chat }, event: "ring", data: 1 });
    assert.deepEqual(replies, [{ user: "alice", connection: chat, data: "/chat" }]);
    assert.equal(signals[0].items.length, 0);
    assert.equal(signals[1].items[0][0].from.connection, bob.socket.id);
  });
}
