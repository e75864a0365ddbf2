// A Node server with @socket.io/redis-adapter beside two nodes on one Redis: what it asks all servers is answered by each.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { compatible, nodeServer, subscribed } from "./support/emitters.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";

// Two nodes and a Node server, with a client at each: `alice` and `bob` at the nodes, both in `lobby`.
async function together(t, options) {
  const store = await redis(t);
  const [a, b] = await compatible(t, store);
  const { io, open: openNode } = await nodeServer(t, store, options);
  await subscribed(store, 3);
  const alice = await open(t, a, { user: "alice" });
  const bob = await open(t, b, { user: "bob" });
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  return { store, io, alice, bob, theirs: await openNode() };
}

for (const publishOnSpecificResponseChannel of [false, true]) {
  test(`none of a Node server's requests times out (specific response channel: ${publishOnSpecificResponseChannel})`, async (t) => {
    const { io, alice, bob, theirs } = await together(t, { publishOnSpecificResponseChannel });
    const everybody = [alice.socket.id, bob.socket.id, theirs.id].toSorted();
    const ids = (sockets) => sockets.map(({ id }) => id).toSorted();
    assert.deepEqual(ids(await io.fetchSockets()), everybody);
    const inLobby = await io.in("lobby").except(bob.socket.id).fetchSockets();
    assert.deepEqual(ids(inLobby), [alice.socket.id]);
    const [{ data, rooms, handshake }] = inLobby;
    assert.equal(data.user, "alice");
    assert.ok(rooms.has(alice.socket.id) && rooms.has("lobby"), [...rooms]);
    assert.ok(handshake.issued > 0 && typeof handshake.headers === "object");
    const all = await io.of("/").adapter.allRooms();
    for (const room of ["lobby", ...everybody]) assert.ok(all.has(room), room);
    assert.deepEqual(await io.in("nowhere").fetchSockets(), []);
    assert.deepEqual(await io.serverSideEmitWithAck("ping"), [null, null]);
    io.serverSideEmit("ping");
    assert.deepEqual(ids(await io.in("lobby").fetchSockets()), [alice.socket.id, bob.socket.id].toSorted());
  });
}

test("a Node server's events reach the nodes' sockets, and their acks come back", async (t) => {
  const { io, alice, bob, theirs } = await together(t);
  const heard = [alice, bob].map((client) => client.on("told"));
  io.emit("told", "all", Buffer.from([1]));
  io.to("lobby").emit("told", "lobby");
  io.except(alice.socket.id).emit("told", "not alice");
  io.local.emit("told", "local");
  io.emit("told", "end");
  const ends = (items) => items.at(-1)?.[0] === "end";
  for (const [n, expected] of [[0, ["all", "lobby", "end"]], [1, ["all", "lobby", "not alice", "end"]]]) {
    await heard[n].until(ends, "the end");
    assert.deepEqual(heard[n].items.map(([first]) => first), expected);
  }
  assert.deepEqual(heard[0].items[0][1], Buffer.from([1]));

  for (const [socket, answer] of [[alice.socket, "alice"], [bob.socket, { of: "bob" }], [theirs, 3]]) {
    socket.on("ask", (question, ack) => ack(answer, question));
  }
  const answers = await io.timeout(5_000).emitWithAck("ask", 1);
  assert.deepEqual(new Set(answers.map((answer) => JSON.stringify(answer))), new Set(['"alice"', '{"of":"bob"}', "3"]));
  assert.deepEqual(await io.in("lobby").except(bob.socket.id).timeout(5_000).emitWithAck("ask", 1), ["alice"]);
  assert.deepEqual(await io.to("nowhere").timeout(5_000).emitWithAck("ask", 1), []);
});

test("a Node server makes the nodes' sockets join, leave and disconnect", async (t) => {
  const { io, alice, bob } = await together(t);
  const gone = alice.on("disconnect");
  io.socketsJoin("new");
  const joined = (n) => async () => (await io.in("new").fetchSockets()).length === n;
  await eventually(joined(3), "not everybody is in the room");
  io.in("lobby").socketsLeave("new");
  await eventually(joined(1), "the nodes' sockets are still in the room");
  io.in(alice.socket.id).disconnectSockets();
  assert.equal((await gone.count(1))[0][0], "io server disconnect");
  assert.equal((await io.in("lobby").fetchSockets()).length, 1);
  assert.ok(bob.socket.connected);
});

test("a node that stops is not waited for", async (t) => {
  const store = await redis(t);
  const [a, b] = await compatible(t, store);
  const { io } = await nodeServer(t, store);
  await subscribed(store, 3);
  await a.stop();
  await b.kill();
  await subscribed(store, 1);
  assert.deepEqual(await io.fetchSockets(), []);
});
