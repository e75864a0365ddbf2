// Namespaces: rooms of different namespaces are different rooms, and an unknown namespace is refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { manager, MATRIX, open, refusal, start } from "./support/clients.mjs";
import { serve } from "./support/server.mjs";

const TWO = { "socketio-namespaces": "/,/chat" };

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode}: a room of one namespace is not the room of the same name in another`, async (t) => {
    const server = await serve(t, TWO);
    const root = await open(t, server, { v, mode, user: "alice" });
    const chat = await open(t, server, { v, mode, user: "bob", namespace: "/chat" });
    const [atRoot, atChat] = [root.on("message"), chat.on("message")];
    const one = await root.ok("join", "lobby");
    const two = await chat.ok("join", "lobby");
    assert.equal(one.members.count, 1);
    assert.equal(two.members.count, 1);

    const first = await root.ok("message", { room: "lobby", id: "same", data: "root" });
    const second = await chat.ok("message", { room: "lobby", id: "same", data: "chat" });
    assert.deepEqual([first.seq, second.seq], [1, 1]);
    assert.ok(!second.duplicate, "an id belongs to its room");
    await atRoot.count(1);
    await atChat.count(1);
    assert.deepEqual(atRoot.items.map(([message]) => message.data), ["root"]);
    assert.deepEqual(atChat.items.map(([message]) => message.data), ["chat"]);
    assert.deepEqual((await root.history("lobby")).map((message) => message.data), ["root"]);
  });
}

for (const v of [2, 3, 4]) {
  test(`client ${v} uses two namespaces over one connection`, async (t) => {
    const server = await serve(t, TWO);
    const socket = manager(t, server, { v });
    const root = socket("/", { auth: { user: "alice" } });
    const chat = socket("/chat", { auth: { user: "alice" } });
    const sessions = await Promise.all([root.session(), chat.session()]);
    assert.equal(root.socket.io, chat.socket.io);
    assert.notEqual(sessions[0].connection, sessions[1].connection);
    const [atRoot, atChat] = [root.on("message"), chat.on("message")];
    await root.ok("join", "lobby");
    await chat.ok("join", "lobby");
    await root.ok("message", { room: "lobby", data: "root" });
    await chat.ok("message", { room: "lobby", data: "chat" });
    await atRoot.count(1);
    await atChat.count(1);
    assert.equal(atRoot.items[0][0].data, "root");
    assert.equal(atChat.items[0][0].data, "chat");

    chat.socket.disconnect();
    await root.ok("message", { room: "lobby", data: "the other goes on" });
    await atRoot.count(2);
    assert.equal(atChat.items.length, 1);
  });

  test(`client ${v} is refused an unknown namespace and keeps the ones it has`, async (t) => {
    const server = await serve(t, TWO);
    const error = await refusal(start(t, server, { v, user: "alice", namespace: "/nowhere" }));
    assert.equal(error.message, "Invalid namespace");

    const socket = manager(t, server, { v });
    const root = socket("/", { auth: { user: "alice" } });
    await root.session();
    assert.equal((await refusal(socket("/nowhere", {}))).message, "Invalid namespace");
    await root.ok("message", { room: "lobby", data: "still here" });
  });
}
