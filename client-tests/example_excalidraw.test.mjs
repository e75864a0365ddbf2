// examples/excalidraw-room: its events as Excalidraw's front end uses them.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { start, upgrade } from "./support/clients.mjs";
import { network } from "./support/proxy.mjs";
import { within } from "./support/scope.mjs";
import { example, serve } from "./support/server.mjs";

const config = fileURLToPath(new URL("../examples/excalidraw-room/switchboard.toml", import.meta.url));
const MODES = ["polling", "websocket", "upgrade"];
const EVENTS = ["init-room", "first-in-room", "new-user", "room-user-change", "client-broadcast", "user-follow-room-change", "broadcast-unfollow"];

const begin = (t) => serve(t, { config, store: "memory" }, example("excalidraw-room"));
// The front end makes room ids of this form.
const roomId = () => randomBytes(10).toString("hex");
const sorted = (...clients) => clients.map(({ socket }) => socket.id).sort();

// A front end that joins `rooms` whenever it is told that it may, as Excalidraw does with its one; `heard(event)` are the arguments
// of each such event.
async function open(t, server, rooms, { mode = "websocket" } = {}) {
  const client = start(t, server, { mode });
  const upgraded = mode === "upgrade" ? upgrade(client.socket) : Promise.resolve();
  client.journals = new Map(EVENTS.map((event) => [event, client.on(event)]));
  client.heard = (event) => client.journals.get(event).items;
  client.expect = (event, n) => client.journals.get(event).count(n);
  client.socket.on("init-room", () => rooms.forEach((room) => client.socket.emit("join-room", room)));
  // It is in a room when it is told who else is.
  await client.expect("room-user-change", rooms.length);
  await within(upgraded, () => "it did not upgrade");
  return client;
}

// Waits until the last that a client was told is this list of ids.
const knows = (client, expected, event = "room-user-change") =>
  client.journals.get(event).until(
    (items) => JSON.stringify([...(items.at(-1)?.[0] ?? [null])].sort()) === JSON.stringify(expected),
    `the list ${expected}`,
  );

const following = (whom, action) => ({ userToFollow: { socketId: whom.socket.id, username: "somebody" }, action });
const follow = (client, whom, action) => client.socket.emit("user-follow", following(whom, action));

for (const mode of MODES) {
  test(`over ${mode} the first in a room is told so, the others are told of each that comes, and all of everybody`, async (t) => {
    const server = await begin(t);
    const room = roomId();
    const alice = await open(t, server, [room], { mode });
    await alice.expect("first-in-room", 1);
    await knows(alice, sorted(alice));
    const bob = await open(t, server, [room], { mode });
    await alice.expect("new-user", 1);
    assert.equal(alice.heard("new-user")[0][0], bob.socket.id);
    for (const client of [alice, bob]) await knows(client, sorted(alice, bob));
    const elsewhere = await open(t, server, [roomId()], { mode });
    await elsewhere.expect("first-in-room", 1);

    const told = alice.heard("room-user-change").length;
    bob.socket.disconnect();
    await knows(alice, sorted(alice));
    assert.equal(alice.heard("room-user-change").length, told + 1);
    for (const client of [alice, bob, elsewhere]) assert.equal(client.heard("init-room").length, 1);
    assert.deepEqual([bob.heard("first-in-room"), bob.heard("new-user"), elsewhere.heard("new-user")], [[], [], []]);
    assert.deepEqual([alice, bob, elsewhere].flatMap(({ errors }) => errors.items), []);
  });

  test(`over ${mode} scenes of a megabyte reach the others of their room, both ways, byte by byte and in order`, async (t) => {
    const server = await begin(t);
    const rooms = [roomId(), roomId(), roomId()];
    const [alice, bob] = [await open(t, server, rooms, { mode }), await open(t, server, rooms, { mode })];
    const carol = await open(t, server, [roomId()], { mode });
    const sent = new Map();
    for (const client of [alice, bob]) {
      sent.set(client, Array.from({ length: 6 }, (_, i) => [randomBytes(i % 2 ? 100 : 1 << 20), randomBytes(12)]));
    }
    for (const [client, scenes] of sent) {
      for (const [i, [scene, iv]] of scenes.entries()) {
        const event = i % 2 ? "server-volatile-broadcast" : "server-broadcast";
        // The front end has the one as an ArrayBuffer, the other as an Uint8Array.
        const buffer = scene.buffer.slice(scene.byteOffset, scene.byteOffset + scene.length);
        client.socket.emit(event, rooms[i % 3], buffer, new Uint8Array(iv));
      }
    }
    for (const [from, to] of [[alice, bob], [bob, alice]]) {
      const seen = await to.expect("client-broadcast", 6);
      for (const [i, [scene, iv]] of sent.get(from).entries()) {
        assert.equal(seen[i].length, 2);
        assert.ok(scene.equals(seen[i][0]), `scene ${i}`);
        assert.ok(iv.equals(seen[i][1]), `iv ${i}`);
      }
      assert.equal(seen.length, 6);
    }
    assert.deepEqual(carol.heard("client-broadcast"), []);
  });
}

test("of many that join at once all end with the full list, and at least one is the first", async (t) => {
  const server = await begin(t);
  for (let round = 0; round < 10; round += 1) {
    const room = roomId();
    const clients = await Promise.all(Array.from({ length: 12 }, () => open(t, server, [room])));
    // Acknowledged when what the client sent before is handled: then every list is on its way, and what is broadcast in the room comes
    // behind it.
    await Promise.all(clients.map((client) => client.ok("user-follow", following(client, "UNFOLLOW"))));
    for (const client of clients.slice(0, 2)) client.socket.emit("server-broadcast", room, Buffer.from("scene"), Buffer.from("iv"));
    for (const client of clients) {
      await client.expect("client-broadcast", 1);
      assert.deepEqual([...client.heard("room-user-change").at(-1)[0]].sort(), sorted(...clients));
    }
    assert.ok(clients.some((client) => client.heard("first-in-room").length === 1));
    for (const client of clients) client.socket.disconnect();
  }
});

for (const how of ["cut", "lose"]) {
  test(`a client whose network is gone (${how}) comes back as itself, in its rooms and in the lists`, async (t) => {
    const server = await begin(t);
    const rooms = [roomId(), roomId(), roomId()];
    const alice = await open(t, server, rooms);
    const way = await network(t, server);
    const bob = await open(t, way, rooms);
    await alice.expect("new-user", 3);
    await knows(alice, sorted(alice, bob));
    const { id } = bob.socket;
    const gone = bob.on("disconnect");
    way[how]();
    await gone.count(1);
    if (how === "cut") await knows(alice, sorted(alice));
    // From here on it joins nothing by itself.
    bob.socket.off("init-room");
    const welcomed = bob.on("init-room");
    way.mend();
    await welcomed.count(1);
    assert.deepEqual([bob.socket.recovered, bob.socket.id], [true, id]);
    for (const client of [alice, bob]) await knows(client, sorted(alice, bob));
    for (const room of rooms) alice.socket.emit("server-broadcast", room, Buffer.from(room), Buffer.from("iv"));
    const seen = await bob.expect("client-broadcast", 3);
    assert.deepEqual(seen.map(([scene]) => scene.toString()), rooms);

    // What the front end does then: it joins again, is no second one, and the other one sends it the scene.
    const before = alice.heard("new-user").length;
    bob.socket.emit("join-room", rooms[0]);
    await alice.expect("new-user", before + 1);
    for (const client of [alice, bob]) await knows(client, sorted(alice, bob));
    assert.deepEqual(bob.heard("first-in-room"), []);
  });
}

test("who is followed is told by whom, sends its view to them alone, and is told when the last has left", async (t) => {
  const server = await begin(t);
  const room = roomId();
  const way = await network(t, server);
  const [alice, carol, dave] = [await open(t, server, [room]), await open(t, server, [room]), await open(t, server, [room])];
  const bob = await open(t, way, [room]);
  const followers = (...clients) => knows(alice, sorted(...clients), "user-follow-room-change");
  follow(bob, alice, "FOLLOW");
  await followers(bob);
  follow(carol, alice, "FOLLOW");
  await followers(bob, carol);
  alice.socket.emit("server-volatile-broadcast", `follow@${alice.socket.id}`, Buffer.from("view"), Buffer.from("iv"));
  for (const client of [bob, carol]) await client.expect("client-broadcast", 1);
  follow(carol, alice, "UNFOLLOW");
  await followers(bob);

  // The last follower loses its network, and follows again once it is back.
  way.cut();
  await alice.expect("broadcast-unfollow", 1);
  const told = alice.heard("user-follow-room-change").length;
  way.mend();
  await bob.expect("init-room", 2);
  await alice.expect("user-follow-room-change", told + 1);
  await followers(bob);

  follow(carol, alice, "FOLLOW");
  await followers(bob, carol);
  carol.socket.disconnect();
  await knows(alice, sorted(alice, bob, dave));
  assert.equal(alice.heard("broadcast-unfollow").length, 1, "one still follows");
  follow(bob, alice, "UNFOLLOW");
  await followers();
  follow(bob, alice, "FOLLOW");
  await followers(bob);
  bob.socket.disconnect();
  await alice.expect("broadcast-unfollow", 2);

  for (const event of ["client-broadcast", "user-follow-room-change", "broadcast-unfollow"]) {
    assert.deepEqual(dave.heard(event), [], event);
  }
});
