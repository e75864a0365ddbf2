// Documents over the protocol of Hocuspocus: what it has besides that of y-websocket.

import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import { agreed, edit, Editor, HOCUSPOCUS } from "./support/documents.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const token = (user, can = ["read", "write"], more = {}) => sign({ sub: user, rooms: [{ match: "notes*", can }], ...more });

for (const client of HOCUSPOCUS) {
  test(`${client}: several documents over one connection, each with its own token`, async (t) => {
    const server = await serve(t, { store: "memory", "auth-hmac-secret": SECRET });
    const one = await edit(t, server, "notes/1", { client, token: token("alice") });
    const { websocket } = one;
    const two = await edit(t, server, "notes/2", { client, websocket, token: token("alice", ["read"]) });
    const bob = await edit(t, server, "notes/1", { client, token: token("bob") });
    one.text.insert(0, "one");
    await eventually(() => bob.text.toString() === "one", "bob has it");
    assert.equal(two.text.toString(), "");
    assert.deepEqual([one, two].map(({ provider }) => provider.authorizedScope ?? provider.authScope), ["read-write", "readonly"]);
    two.text.insert(0, "x");
    await eventually(() => two.provider.hasUnsyncedChanges, "a reader's change is not stored");
    const refused = new Editor(server, "other", { client, websocket, token: token("alice") });
    defer(t, () => refused.close());
    const { reason } = await new Promise((resolve) => refused.provider.on("authenticationFailed", resolve));
    assert.match(reason, /may not read document other/);
    two.close();
    one.text.insert(3, "!");
    await one.synced();
    await agreed([one, bob]);
  });

  test(`${client}: an update is acknowledged when it is stored, and is there after kill -9`, async (t) => {
    const server = await serve(t, { store: "sqlite" });
    const alice = await edit(t, server, "notes", { client });
    alice.text.insert(0, "Hello");
    await alice.synced();
    await server.kill();
    alice.text.insert(5, "!");
    assert.ok(alice.provider.hasUnsyncedChanges);
    await server.start();
    await alice.synced();
    await server.kill();
    await server.start();
    assert.equal((await edit(t, server, "notes", { client })).text.toString(), "Hello!");
  });

  test(`${client}: a wrong token is refused, the connection stays, and a right one opens the document`, async (t) => {
    const server = await serve(t, { store: "memory", "auth-hmac-secret": SECRET });
    let current = "wrong";
    const alice = new Editor(server, "notes", { client, token: () => current });
    defer(t, () => alice.close());
    await new Promise((resolve) => alice.provider.on("authenticationFailed", resolve));
    assert.equal(alice.websocket.webSocket.readyState, WebSocket.OPEN);
    alice.text.insert(0, "typed meanwhile");
    current = token("alice");
    await alice.provider.sendToken();
    alice.provider.startSync();
    await alice.synced();
    const bob = await edit(t, server, "notes", { client, token: token("bob") });
    assert.equal(bob.text.toString(), "typed meanwhile");
  });

  test(`${client}: a document whose token expires is closed, and opened with the next one`, async (t) => {
    const server = await serve(t, { store: "memory", "auth-hmac-secret": SECRET });
    const lasting = await edit(t, server, "notes/1", { client, token: token("alice") });
    const until = Math.ceil(Date.now() / 1000) + 2;
    const brief = await edit(t, server, "notes/2", { client, websocket: lasting.websocket, token: token("alice", undefined, { exp: until }) });
    const { event } = await new Promise((resolve) => brief.provider.on("close", resolve));
    assert.equal(event.reason, "expired");
    assert.ok(lasting.isSynced);
    lasting.text.insert(0, "x");
    await lasting.synced();
  });
}

test("Hocuspocus 4: two sessions of one document over one connection", async (t) => {
  const server = await serve(t, { store: "memory" });
  const [client, sessionAwareness] = ["Hocuspocus 4", true];
  const one = await edit(t, server, "notes", { client, sessionAwareness });
  const two = await edit(t, server, "notes", { client, sessionAwareness, websocket: one.websocket });
  one.text.insert(0, "Hello");
  await eventually(() => two.text.toString() === "Hello", "the other has it");
  two.awareness.setLocalStateField("name", "two");
  await eventually(() => one.others.includes("two"), "they see each other");
  two.close();
  await eventually(() => one.others.length === 0, "one has gone");
});

test("what is malformed closes the connection, and what no document has is ignored", async (t) => {
  const server = await serve(t, { store: "memory" });
  for (const bytes of [[], [200, 1, 1], [1, 97, 0, 9, 0], [1, 97, 2, 0, 9]]) {
    const socket = new WebSocket(`ws://${server.address}/collab`);
    await new Promise((resolve) => socket.on("open", resolve));
    // To a document that is not open, and a type that nobody knows.
    socket.send(Buffer.from([1, 97, 0, 0, 1, 0]));
    socket.send(Buffer.from([1, 97, 99]));
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.send(Buffer.from(bytes));
    assert.equal(await closed, 1002, `${bytes}`);
  }
  assert.doesNotMatch(server.log, /panicked/);
});
