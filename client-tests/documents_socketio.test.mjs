// Documents over the protocol of y-socket.io, at the level of its events: acks, refusals, what a connection may have open besides.

import assert from "node:assert/strict";
import { test } from "node:test";
import { io } from "socket.io-client";
import * as Y from "yjs";
import { connect } from "./support/clients.mjs";
import { edit } from "./support/documents.mjs";
import { closings, http } from "./support/raw.mjs";
import { defer, eventually, Journal, within } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

// A socket in the namespace of a document.
function socketOf(t, server, name, { make = io, ...options } = {}) {
  const socket = make(`${server.url}/yjs|${name}`, { transports: ["websocket"], forceNew: true, auth: { user: "raw" }, ...options });
  defer(t, () => socket.disconnect());
  const errors = new Journal("errors");
  socket.on("error", (error) => errors.add(error));
  return Object.assign(socket, { errors });
}

const connected = (socket) => within(new Promise((resolve) => socket.once("connect", resolve)), () => "it did not connect");
const refused = (socket) => within(new Promise((resolve) => socket.once("connect_error", resolve)), () => "it was not refused");
const ask = (socket, event, ...data) => socket.timeout(5000).emitWithAck(event, ...data);

// An update that appends to the text.
function typed(text, doc = new Y.Doc()) {
  const before = Y.encodeStateVector(doc);
  doc.getText("text").insert(doc.getText("text").length, text);
  return Y.encodeStateAsUpdate(doc, before);
}

// What the server has of a document, as a client is told that has nothing.
async function textOf(socket) {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, new Uint8Array(await ask(socket, "sync-step-1", Y.encodeStateVector(doc))));
  return doc.getText("text").toString();
}

test("an update is acknowledged once it is stored, and is there after kill -9", async (t) => {
  const server = await serve(t, { store: "sqlite" });
  const alice = socketOf(t, server, "notes");
  await connected(alice);
  const doc = new Y.Doc();
  for (const word of ["one", " two", " three"]) {
    assert.deepEqual(await ask(alice, "sync-update", typed(word, doc)), { ok: true });
  }
  await server.kill();
  await server.start();
  await connected(alice);
  assert.equal(await textOf(alice), "one two three");
});

test("what was typed offline is asked for when the client is back", async (t) => {
  const server = await serve(t, { store: "memory" });
  const doc = new Y.Doc();
  typed("offline", doc);
  const alice = socketOf(t, server, "notes");
  const vectors = new Journal("state vectors");
  alice.on("sync-step-1", (vector, reply) => {
    vectors.add(vector);
    reply(Y.encodeStateAsUpdate(doc, new Uint8Array(vector)));
  });
  const bob = await edit(t, server, "notes", { user: "bob" });
  await eventually(() => bob.text.toString() === "offline", "bob has it");
  assert.deepEqual([...new Uint8Array(vectors.items[0])], [0], "the server had nothing");
});

for (const [transports, make] of [[["polling"], connect[4]], [["websocket"], connect[2]], [["polling"], connect[2]]]) {
  const version = make === connect[2] ? 2 : 4;
  test(`socket.io-client ${version} over ${transports} edits, too`, async (t) => {
    const server = await serve(t, { store: "memory" });
    const alice = socketOf(t, server, "notes", { make, transports, query: { user: "alice" } });
    const updates = new Journal("updates");
    alice.on("sync-update", (update) => updates.add(Buffer.from(update)));
    const bob = await edit(t, server, "notes", { user: "bob", client: "y-socket.io" });
    await eventually(() => alice.connected, "alice is connected");
    alice.emit("sync-update", Buffer.from(typed("Hello")));
    await eventually(() => bob.text.toString() === "Hello", "bob has it");
    bob.text.insert(5, "!");
    const [update] = await updates.until((items) => items.length > 0 && items, "an update");
    assert.deepEqual(Y.decodeUpdate(update).structs[0].content.str, "!");
    bob.awareness.setLocalStateField("name", "bob");
    await within(new Promise((resolve) => alice.once("awareness-update", resolve)), () => "alice does not see bob");
  });
}

test("who may not read is refused by the reply to CONNECT, and who may not write by the ack", async (t) => {
  const server = await serve(t, { store: "memory", "auth-hmac-secret": SECRET });
  const token = (...can) => sign({ sub: "alice", rooms: [{ match: "notes", can }] });
  for (const [name, auth, code] of [["notes", {}, "unauthorized"], ["notes", { token: token("write") }, "forbidden"], ["other", { token: token("read", "write") }, "forbidden"]]) {
    const error = await refused(socketOf(t, server, name, { auth }));
    assert.equal(error.message, code);
    assert.equal(error.data.code, code);
  }
  const reader = socketOf(t, server, "notes", { auth: { token: token("read") } });
  await connected(reader);
  const { ok, error } = await ask(reader, "sync-update", typed("x"));
  assert.deepEqual([ok, error.code], [false, "forbidden"]);
  for (const text of ["y", "z"]) reader.emit("sync-update", typed(text));
  assert.equal(await textOf(reader), "");
  assert.deepEqual(reader.errors.items, [], "it has been told already");
  assert.equal((await ask(reader, "awareness-update", new Uint8Array([0]))).ok, true);
});

test("what is malformed, too large or unknown is refused, and the connection goes on", async (t) => {
  const server = await serve(t, { store: "memory", "documents-update-bytes": 10_000 });
  const socket = socketOf(t, server, "notes");
  await connected(socket);
  const code = async (event, ...data) => (await ask(socket, event, ...data)).error?.code;
  assert.equal(await code("sync-update", new Uint8Array([1, 2, 3])), "bad_request");
  assert.equal(await code("sync-update", "text"), "bad_request");
  assert.equal(await code("sync-update", new Uint8Array([0, 0]), new Uint8Array([0, 0])), "bad_request");
  assert.equal(await code("sync-update", typed("x".repeat(20_000))), "too_large");
  assert.equal(await code("sync-step-1", new Uint8Array([255, 255, 255, 255, 15])), "bad_request");
  assert.equal(await code("awareness-update", new Uint8Array([3, 1, 255])), "bad_request");
  assert.equal(await code("message", new Uint8Array([0])), "not_found");
  socket.emit("sync-update", new Uint8Array([1, 2, 3]));
  const error = await socket.errors.until(([first]) => first, "an error event");
  assert.deepEqual([error.code, error.event], ["bad_request", "sync-update"]);
  assert.deepEqual(await ask(socket, "sync-update", typed("fine")), { ok: true });
  assert.equal(await textOf(socket), "fine");
  assert.doesNotMatch(server.log, /panicked/);
});

test("a connection is of one document, and of any other namespace besides", async (t) => {
  const server = await serve(t, { store: "memory" });
  const first = socketOf(t, server, "notes");
  const { io: manager } = first;
  defer(t, () => manager._close());
  const second = manager.socket("/yjs|other", { auth: { user: "raw" } });
  second.connect();
  const error = await refused(second);
  assert.equal(error.data.code, "bad_request");
  assert.match(error.data.message, /forceNew/);
  second.disconnect();
  await eventually(() => first.connected, "the first is connected");
  const chat = manager.socket("/", { auth: { user: "raw" } });
  await connected(chat.connect());
  assert.equal((await ask(chat, "join", "lobby")).ok, true);
  assert.deepEqual(await ask(first, "sync-update", typed("kept")), { ok: true });
  first.disconnect();
  await connected(first.connect());
  assert.equal(await textOf(first), "kept");
  second.connect();
  assert.match((await refused(second)).data.message, /forceNew/, "also once the first has left");
});

test("events of rooms, and those that are relayed, never reach a document's clients", async (t) => {
  const server = await serve(t, { store: "memory", "socketio-relay": "*" });
  const reader = socketOf(t, server, "notes", { auth: { user: "reader" } });
  const events = new Journal("events");
  reader.onAny((name) => events.add(name));
  await connected(reader);
  const mallory = io(server.url, { transports: ["websocket"], forceNew: true, auth: { user: "mallory" } });
  defer(t, () => mallory.disconnect());
  const seen = io(server.url, { transports: ["websocket"], forceNew: true, auth: { user: "reader" } });
  defer(t, () => seen.disconnect());
  const others = new Journal("events");
  seen.onAny((name) => others.add(name));
  await Promise.all([connected(mallory), connected(seen)]);
  // From its session event on, a client is sent what is relayed.
  await others.until((names) => names.includes("session"), "its session");
  mallory.emit("sync-update", typed("forged"));
  await others.until((names) => names.includes("sync-update"), "it is relayed");
  assert.deepEqual(await ask(reader, "sync-update", typed("mine")), { ok: true });
  assert.deepEqual(events.items, ["sync-step-1"]);
});

test("a client that was behind for a moment is sent what it missed, also if it sends nothing more", async (t) => {
  const server = await serve(t, { store: "memory", "limits-outbox-bytes": "64KiB" });
  const slow = await edit(t, server, "notes", { client: "y-socket.io", user: "slow" });
  const fast = await edit(t, server, "notes", { user: "fast" });
  slow.provider.socket.io.engine.transport.ws._socket.pause();
  // More than the system keeps for a connection that is not read.
  for (let n = 0; n < 12; n += 1) fast.text.insert(0, `${n % 10}`.repeat(900_000));
  await eventually(() => fast.isSynced, "they are sent");
  slow.provider.socket.io.engine.transport.ws._socket.resume();
  await eventually(() => slow.text.length === 12 * 900_000, "slow has everything");
  assert.equal(await closings(server, "slow"), 0);
});

test("a name that cannot be a document's is refused", async (t) => {
  const server = await serve(t, { store: "memory" });
  for (const name of ["", "x".repeat(130)]) {
    const socket = socketOf(t, server, name);
    const refusals = new Journal("refusals");
    socket.on("connect_error", (error) => refusals.add(error.data.code));
    const chat = socket.io.socket("/", { auth: { user: "raw" } });
    defer(t, () => chat.disconnect());
    await connected(chat.connect());
    assert.equal((await ask(chat, "join", "lobby")).ok, true, "the connection goes on");
    assert.deepEqual(refusals.items, ["bad_request"], name);
  }
  const socket = socketOf(t, server, "team/plan|2");
  await connected(socket);
  assert.deepEqual(await ask(socket, "sync-update", typed("a")), { ok: true });
  assert.equal((await edit(t, server, "team/plan|2")).text.toString(), "a", "the same document as of other protocols");
});

test("a server without documents has no such namespaces", async (t) => {
  const server = await serve(t, { store: "memory", "http-routes": "rest" });
  assert.equal((await refused(socketOf(t, server, "notes"))).message, "Invalid namespace");
});

test("a back end that disconnects a user ends its documents, and the client knows that it is to stay away", async (t) => {
  const key = "a-key-of-the-back-end-of-some-length";
  const server = await serve(t, { store: "memory", "auth-hmac-secret": SECRET, "auth-api-keys": key });
  const socket = socketOf(t, server, "notes", { auth: { token: sign({ sub: "alice", rooms: [{ match: "*", can: ["read", "write"] }] }) } });
  const opened = new Promise((resolve) => socket.once("sync-step-1", resolve));
  await connected(socket);
  // The reply to CONNECT comes before the server knows it as a connection of alice's.
  await within(opened, () => "the document was not opened");
  const gone = within(new Promise((resolve) => socket.once("disconnect", resolve)), () => "it was not disconnected");
  const { status } = await http(server, "/v1/users/alice/connections", { method: "DELETE", headers: { authorization: `Bearer ${key}` } });
  assert.equal(status, 200);
  assert.equal(await gone, "io server disconnect");
});
