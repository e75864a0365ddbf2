// Documents: stock clients of y-websocket 2 and 3 edit together, and nothing that is stored is lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import * as Y from "yjs";
import { upTo } from "./support/clients.mjs";
import { agreed, CLIENTS, content, edit, Editor } from "./support/documents.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { closings } from "./support/raw.mjs";
import { editAtRandom, LONG } from "./support/random_edits.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { metric } from "./support/web.mjs";

for (const client of CLIENTS) {
  test(`${client}: what one types the others have, also those that come later`, async (t) => {
    const server = await serve(t, { store: "memory" });
    const [alice, bob] = [await edit(t, server, "notes", { client, user: "alice" }), await edit(t, server, "notes", { client, user: "bob" })];
    alice.text.insert(0, "Hello");
    await eventually(() => bob.text.toString() === "Hello", "bob has it");
    bob.text.insert(5, ", world");
    bob.text.format(0, 5, { bold: true });
    await eventually(() => alice.text.toString() === "Hello, world", "alice has it");
    const carol = await edit(t, server, "notes", { client, user: "carol" });
    assert.equal((await agreed([alice, bob, carol])).text.length, 2);
    const other = await edit(t, server, "notes/other", { client });
    assert.equal(other.text.toString(), "");
  });

  test(`${client}: the others see who is there, and that one has gone, at once`, async (t) => {
    const server = await serve(t, { store: "memory" });
    const [alice, bob] = [await edit(t, server, "notes", { client }), await edit(t, server, "notes", { client })];
    alice.awareness.setLocalStateField("name", "alice");
    bob.awareness.setLocalStateField("name", "bob");
    await eventually(() => alice.others.includes("bob") && bob.others.includes("alice"), "they see each other");
    const carol = await edit(t, server, "notes", { client });
    await eventually(() => carol.others.length === 2, "carol sees both");
    assert.deepEqual(carol.others, ["alice", "bob"]);
    // Without a word, as when a network fails.
    bob.stop();
    bob.cut();
    await eventually(() => !alice.others.includes("bob") && !carol.others.includes("bob"), "bob has gone");
    bob.connect();
    await eventually(() => alice.others.includes("bob") && carol.others.includes("bob"), "bob is back");
  });
}

test("a document is there after a restart, and after kill -9; what is edited meanwhile is added", async (t) => {
  const server = await serve(t, { store: "sqlite" });
  const alice = await edit(t, server, "notes", { user: "alice" });
  alice.text.insert(0, "one");
  const bob = await edit(t, server, "notes", { user: "bob" });
  assert.equal(bob.text.toString(), "one");
  await server.kill();
  alice.text.insert(3, " two");
  await server.start();
  await eventually(() => bob.text.toString() === "one two", "bob has what was typed offline");
  alice.close();
  bob.close();
  await server.stop();
  await server.start();
  const carol = await edit(t, server, "notes");
  assert.equal(carol.text.toString(), "one two");
});

test("edits at random with cuts and kill -9, and compaction all the while: everybody ends with the same", async (t) => {
  const server = await serve(t, { store: "sqlite" });
  const clients = await Promise.all(CLIENTS.map((client, n) => edit(t, server, "notes", { client, user: `u${n}` })));
  const trouble = async () => {
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await server.kill();
    await server.start();
  };
  await editAtRandom(t, clients, { seconds: LONG ? 60 : 8, trouble });
  const end = await agreed(clients);
  const late = await edit(t, server, "notes");
  assert.deepEqual(content(late.doc), end);
  for (const client of [...clients, late]) client.close();
  await server.stop();
  await server.start();
  assert.deepEqual(content((await edit(t, server, "notes")).doc), end);
});

for (const { store, begin } of STORES) {
  test(`over ${store} two nodes have the same document, who is there, and what a killed node had`, async (t) => {
    const shared = await begin(t);
    const [one, two] = await nodes(t, shared);
    const [alice, bob] = [await edit(t, one, "notes", { user: "alice" }), await edit(t, two, "notes", { user: "bob" })];
    alice.awareness.setLocalStateField("name", "alice");
    bob.awareness.setLocalStateField("name", "bob");
    alice.text.insert(0, "Hello");
    await eventually(() => bob.text.toString() === "Hello", "bob has it");
    bob.text.insert(5, "!");
    await agreed([alice, bob]);
    await eventually(() => alice.others.includes("bob") && bob.others.includes("alice"), "they see each other");
    for (const n of upTo(300)) (n % 2 ? alice : bob).text.insert(n, `${n} `);
    await agreed([alice, bob]);
    await one.kill();
    const carol = await edit(t, two, "notes", { user: "carol" });
    assert.deepEqual(content(carol.doc), content(bob.doc));
  });
}

test("who may not write reads along, and is told; who may not read is refused", async (t) => {
  const server = await serve(t, { store: "memory", "auth-hmac-secret": SECRET });
  const token = (user, ...can) => sign({ sub: user, rooms: [{ match: "notes", can }] });
  const alice = await edit(t, server, "notes", { token: token("alice", "read", "write") });
  const bob = await edit(t, server, "notes", { token: token("bob", "read") });
  alice.text.insert(0, "Hello");
  await eventually(() => bob.text.toString() === "Hello", "bob reads");
  bob.text.insert(0, "x");
  alice.text.insert(5, "!");
  await eventually(() => bob.text.toString() === "xHello!", "bob still reads");
  assert.equal(alice.text.toString(), "Hello!");
  // He comes back: what he has typed for himself is refused again, and he is not closed for it.
  bob.cut();
  await eventually(() => bob.provider.synced, "bob is back");
  alice.text.insert(6, "?");
  await eventually(() => bob.text.toString() === "xHello!?", "bob reads on");
  for (const [name, can] of [["notes", ["write"]], ["other", ["read", "write"]]]) {
    assert.equal(await refusal(t, server, name, token("carol", ...can)), 4403, name);
  }
  assert.equal(await refusal(t, server, "notes", "no token"), 4401);
});

// The code with which a client is refused for good.
function refusal(t, server, name, token) {
  const editor = new Editor(server, name, { client: "y-websocket 3", token });
  defer(t, () => editor.close());
  return new Promise((resolve) => editor.provider.on("closed", ({ code }) => resolve(code)));
}

test("a document that nobody changes is not stored again by those who come back to it", async (t) => {
  const server = await serve(t, { store: "memory" });
  const alice = await edit(t, server, "notes", { user: "alice" });
  alice.text.insert(0, "Hello");
  alice.text.delete(1, 2);
  const bob = await edit(t, server, "notes", { user: "bob" });
  const stored = await eventually(() => server.log && bob.text.toString() === "Hlo", "bob has it");
  assert.ok(stored);
  for (const _ of upTo(5)) {
    alice.cut();
    await eventually(() => !alice.provider.synced, "alice is away");
    await eventually(() => alice.provider.synced, "alice is back");
  }
  await agreed([alice, bob]);
});

test("a document of many megabytes is opened by clients of every protocol", async (t) => {
  const server = await serve(t, { store: "memory" });
  const alice = await edit(t, server, "large");
  // More than the system keeps for a connection that is not read for a moment.
  const [parts, size] = [16, 900_000];
  for (const n of upTo(parts)) alice.text.insert(0, `${n % 10}`.repeat(size));
  await eventually(() => alice.isSynced, "alice is synced");
  for (const client of CLIENTS) {
    const editor = await edit(t, server, "large", { client });
    await eventually(() => editor.text.length === parts * size, `all of it is at ${client}`);
    editor.close();
  }
  assert.equal(await closings(server, "slow"), 0);
});

test("hostile bytes close their sender, and nobody else", async (t) => {
  const server = await serve(t, { store: "memory" });
  const alice = await edit(t, server, "notes", { user: "alice" });
  alice.text.insert(0, "Hello");
  const update = Y.encodeStateAsUpdate(alice.doc);
  const frame = (...bytes) => Buffer.concat(bytes.map((part) => Buffer.from(part)));
  const hostile = [
    frame([0, 2, 4, 255, 255, 255, 15]),
    frame([0, 2, 200, 1], [1, 2, 3]),
    frame([9, 9, 9]),
    frame([0, 0, 5, 255, 255, 255, 255, 15]),
    frame([1, 3, 1, 255, 255]),
    frame([0, 2, update.length, ...update.map((byte, i) => (i % 3 ? byte : 255 - byte))]),
    "text",
  ];
  for (const bytes of hostile) {
    const socket = new WebSocket(`ws://${server.address}/yjs/notes?user=mallory`);
    await new Promise((resolve) => socket.on("open", resolve));
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.send(bytes);
    assert.equal(await closed, 4400, bytes.toString("hex"));
  }
  alice.text.insert(5, "!");
  const bob = await edit(t, server, "notes", { user: "bob" });
  assert.equal(bob.text.toString(), "Hello!");
  assert.doesNotMatch(server.log, /panicked/);
});

test("what is too large is refused, and its sender goes on", async (t) => {
  const server = await serve(t, { store: "memory", "documents-update-bytes": 10_000, "documents-bytes": 20_000 });
  const socket = new WebSocket(`ws://${server.address}/yjs/notes?user=alice`);
  await new Promise((resolve) => socket.on("open", resolve));
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.send(Buffer.alloc(20_000));
  assert.equal(await closed, 4413, "a frame that is larger than any update");
  const [bob, carol] = await Promise.all(["y-websocket 3", "Hocuspocus 4"].map((client) => edit(t, server, "full", { client })));
  // How much fits depends on what is merged by then.
  for (const n of upTo(8)) bob.text.insert(0, `${n}`.repeat(6000));
  await eventually(async () => (await metric(server, 'switchboard_errors_total{code="too_large"}')) > 0, "bob is refused");
  bob.awareness.setLocalStateField("name", "bob");
  await eventually(() => carol.others.includes("bob"), "bob goes on");
  carol.text.insert(0, "x".repeat(9000));
  await eventually(() => carol.provider.hasUnsyncedChanges, "carol knows that it is not stored");
  carol.awareness.setLocalStateField("name", "carol");
  await eventually(() => bob.others.includes("carol"), "carol goes on");
});
