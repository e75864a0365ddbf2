// What client libraries of other languages put on the wire that JavaScript's do not: each form is one that Socket.IO's own
// server takes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { address, ask, Frames, openFrames, Polling } from "./support/engineio.mjs";
import { serve } from "./support/server.mjs";

const CHAT = { "socketio-namespaces": "/,/chat" };

// The frame that begins with `start`, past whatever else is said.
async function until(socket, start) {
  for (;;) {
    const frame = await socket.next();
    if (frame === "2") socket.send("3");
    else if (frame.startsWith(start)) return frame;
  }
}

const JOINS = {
  "a slash in JSON escaped, as in PHP and Swift": ['["join","a\\/b"]', "a/b"],
  "all but ASCII escaped, as in Python": ['["join","gr\\u00f6\\u00dfe"]', "größe"],
  "an event name that is all escapes": ['["\\u006a\\u006f\\u0069\\u006e","lobby"]', "lobby"],
  "white space in front of its JSON": [' \t["join","lobby"]', "lobby"],
  "white space in JSON": ['[ "join" ,\n\t{ "room" : "lobby" } ]\n', "lobby"],
};

for (const [what, [event, room]] of Object.entries(JOINS)) {
  test(`an event with ${what} is understood`, async (t) => {
    const socket = await openFrames(t, await serve(t), 4);
    socket.send('40{"user":"alice"}');
    await until(socket, "40");
    socket.send(`421${event}`);
    assert.equal(JSON.parse((await until(socket, "431")).slice(3))[0].room, room);
  });
}

const CONNECTS = {
  "the main namespace by its name": ["40/,", "42/,1", "431"],
  "the main namespace by its name, with auth": ['40/,{"user":"alice"}', "421", "431"],
  "a namespace without a comma": ["40/chat", "42/chat,1", "43/chat,1"],
  "a namespace with a comma and nothing behind it": ["40/chat,", "42/chat,1", "43/chat,1"],
  "a namespace with an empty auth": ["40/chat,{}", "42/chat,1", "43/chat,1"],
};

for (const [what, [packet, event, ack]] of Object.entries(CONNECTS)) {
  test(`CONNECT to ${what} is understood`, async (t) => {
    const socket = await openFrames(t, await serve(t, CHAT), 4);
    socket.send(packet);
    await until(socket, ack.replace("43", "40").replace(/1$/, "{"));
    socket.send(`${event}["join","lobby"]`);
    assert.equal(JSON.parse((await until(socket, ack)).slice(ack.length))[0].ok, true);
  });
}

test("a query behind the namespace, where protocol 3 has its auth, is taken for that", async (t) => {
  const socket = await openFrames(t, await serve(t, CHAT), 3);
  socket.send("40/chat?user=alice,");
  assert.match(await until(socket, '42/chat,["session"'), /"user":"alice"/);
});

// As rust_socketio does: connected is what it calls itself once it has said CONNECT.
for (const namespace of ["", "/chat,"]) {
  test(`events of ${namespace || "/"} that come right behind CONNECT, before its answer, are handled in order`, async (t) => {
    const server = await serve(t, CHAT);
    for (let i = 0; i < 20; i += 1) {
      const socket = await openFrames(t, server, 4);
      socket.send(`40${namespace}{}`, `42${namespace}1["join","lobby"]`);
      for (let id = 2; id < 5; id += 1) {
        socket.send(`42${namespace}${id}["message",{"room":"lobby","data":${id},"echo":false}]`);
      }
      const sequence = [];
      for (let id = 1; id < 5; id += 1) {
        const ack = await until(socket, `43${namespace}${id}`);
        sequence.push(JSON.parse(ack.slice(3 + namespace.length))[0].seq);
      }
      const [first] = sequence;
      assert.deepEqual(sequence, [first, first + 1, first + 2, first + 3]);
    }
  });
}

test("CONNECT and events in one payload of a poll are handled", async (t) => {
  const session = await Polling.open(await serve(t), 4);
  assert.equal((await session.post("40", '421["join","lobby"]')).status, 200);
  await session.until((packets) => packets.some((packet) => packet.startsWith('431[{"ok":true')));
});

test("a path without its slash, an empty sid and more parameters open a session", async (t) => {
  const server = await serve(t);
  for (const path of [
    "/socket.io?EIO=4&transport=polling",
    address(4, "polling", { sid: "", t: "Pabc.0", b64: 1, j: undefined }),
    address(4, "polling", { t: 1, user: "älice", "x[]": "1" }),
  ]) {
    const { status, text } = await ask(server, path);
    assert.equal(status, 200, `${path}: ${text}`);
    assert.match(text, /^0\{"sid"/);
  }
  const socket = new Frames(t, server, address(4, "websocket", { t: 1, sid: "" }));
  assert.match(await socket.next(), /^0\{"sid"/);
});

test("an ack id as large as JavaScript can count is given back", async (t) => {
  const socket = await openFrames(t, await serve(t), 4);
  socket.send("40");
  await until(socket, "40");
  for (const id of [0, 4294967296, Number.MAX_SAFE_INTEGER]) {
    socket.send(`42${id}["join","lobby"]`);
    await until(socket, `43${id}[`);
  }
});
