// Relaying: events named in the configuration pass to the other sockets as they are, so that a front end written
// against a server that only broadcasts needs no change.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const RELAY = { ...UNLIMITED, "socketio-relay": "draw,cursor" };

for (const v of [2, 3, 4]) {
  for (const mode of ["polling", "websocket"]) {
    test(`client ${v} over ${mode} relays an event with all its arguments to the others in its room`, async (t) => {
      const server = await serve(t, RELAY);
      const [alice, bob, carol] = await Promise.all(
        ["alice", "bob", "carol"].map((user) => open(t, server, { v, mode, user })),
      );
      const [atAlice, atBob, atCarol] = [alice, bob, carol].map((client) => client.on("draw"));
      await alice.ok("join", "board");
      await bob.ok("join", "board");
      await carol.ok("join", "elsewhere");

      const args = [{ x: 1, y: [2, 3] }, "två", 3.5, null, true, []];
      alice.socket.emit("draw", ...args);
      alice.socket.emit("draw");
      await atBob.count(2);
      // Behind an event that ends in a string, its name perhaps, newer clients are given an offset.
      assert.deepEqual(atBob.items, [args, v === 2 ? [] : ["0~"]]);

      // Sent after it, so it comes after it: what did not arrive by then does not.
      const marks = [alice, carol].map((client) => client.on("message"));
      await alice.ok("join", "elsewhere");
      await alice.ok("message", { room: "elsewhere", data: "mark" });
      for (const mark of marks) await mark.count(1);
      assert.deepEqual(atAlice.items, [], "not back to the sender");
      assert.deepEqual(atCarol.items, [], "not to other rooms");
    });
  }
}

test("binary attachments are relayed as they are", async (t) => {
  const server = await serve(t, RELAY);
  const kinds = [2, 3, 4].flatMap((v) => [[v, "websocket", false], [v, "polling", false], [v, "polling", true]]);
  for (const [v, mode, forceBase64] of kinds) {
    const room = `board${v}${mode}${forceBase64}`;
    const alice = await open(t, server, { v, mode, user: "alice" });
    const bob = await open(t, server, { v, mode, forceBase64, user: "bob" });
    const drawn = bob.on("draw");
    await alice.ok("join", room);
    await bob.ok("join", room);
    const image = Buffer.from(upTo(256).map((i) => i - 1));
    const large = Buffer.alloc(30_000, 7);
    alice.socket.emit("draw", { at: [1, 2], image, more: [large] }, image, "end");
    alice.socket.emit("draw", "after");
    await drawn.count(2);
    const [[object, second, end], [after]] = drawn.items;
    assert.deepEqual(Buffer.from(object.image), image, room);
    assert.deepEqual(Buffer.from(object.more[0]), large);
    assert.deepEqual(object.at, [1, 2]);
    assert.deepEqual(Buffer.from(second), image);
    assert.equal(end, "end");
    assert.equal(after, "after");
  }
});

test("relayed events keep the order they were sent in, binary ones among them", async (t) => {
  const server = await serve(t, RELAY);
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { user })));
  const got = [];
  for (const event of ["draw", "cursor"]) bob.socket.on(event, (i) => got.push(i));
  const last = bob.on("cursor");
  await alice.ok("join", "board");
  await bob.ok("join", "board");
  const n = 1000;
  for (let i = 0; i < n; i += 1) {
    if (i % 7 === 0) alice.socket.emit("draw", i, Buffer.from([i % 256]));
    else alice.socket.emit(i % 2 ? "draw" : "cursor", i);
  }
  alice.socket.emit("cursor", n);
  await last.until((items) => items.at(-1)?.[0] === n, "the last event");
  assert.deepEqual(got, [...upTo(n).map((i) => i - 1), n]);
});

test("without a room of its own a socket relays to everybody in the namespace, once", async (t) => {
  const server = await serve(t, { ...RELAY, "socketio-namespaces": "/,/chat" });
  const [alice, bob, carol] = await Promise.all(
    [["alice", 4], ["bob", 2], ["carol", 3]].map(([user, v]) => open(t, server, { v, user })),
  );
  const elsewhere = await open(t, server, { user: "dave", namespace: "/chat" });
  const journals = [alice, bob, carol, elsewhere].map((client) => client.on("cursor"));
  const ends = [bob, carol].map((client) => client.on("draw"));
  await carol.ok("join", "board");
  alice.socket.emit("cursor", 1, 2);
  alice.socket.emit("draw", "end");
  for (const end of ends) await end.count(1);
  await elsewhere.ok("join", "somewhere");
  assert.deepEqual(
    journals.map((journal) => journal.items),
    [[], [[1, 2]], [[1, 2]], []],
  );
});

test("a socket that shares several rooms with the sender gets a relayed event once", async (t) => {
  const server = await serve(t, RELAY);
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { user })));
  for (const room of ["a", "b", "c"]) {
    await alice.ok("join", room);
    await bob.ok("join", room);
  }
  const [drawn, ends] = [bob.on("draw"), bob.on("cursor")];
  alice.socket.emit("draw", 1);
  alice.socket.emit("cursor", "end");
  await ends.count(1);
  assert.deepEqual(drawn.items, [[1]]);
});

test("an event that is neither known nor relayed is refused and delivered nowhere", async (t) => {
  const server = await serve(t, RELAY);
  for (const v of [2, 3, 4]) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(t, server, { v, user })));
    const [erased, drawn] = [bob.on("erase"), bob.on("draw")];
    await alice.ok("join", "board");
    await bob.ok("join", "board");
    alice.socket.emit("erase", 1);
    const [[error]] = await alice.errors.count(1);
    assert.equal(error.event, "erase");
    assert.ok(["bad_request", "not_found"].includes(error.code), JSON.stringify(error));
    await alice.refused("erase", 1, "bad_request", "not_found");
    alice.socket.emit("draw", "end");
    await drawn.count(1);
    assert.deepEqual(erased.items, []);
    for (const client of [alice, bob]) client.close();
  }
});
