// What client libraries of other languages put on the wire that JavaScript's do not: each form is one that Socket.IO's own
// server takes. An application's handlers (examples/own_events.rs) are called for each as the server's own events are.

import assert from "node:assert/strict";
import { test } from "node:test";
import { address, ask, Frames, openFrames, Polling } from "./support/engineio.mjs";
import { example, serve } from "./support/server.mjs";

const CHAT = { "socketio-namespaces": "/,/chat" };

// Who is sent an event with the name of a room, or with an object that has it; the ack says which.
const KINDS = {
  "the contract": { start: serve, event: "join", said: ({ room }) => room },
  "a handler": {
    start: (t, options) => serve(t, { ...options }, example("own_events")),
    event: "message-with-ack",
    said: (argument) => argument.room ?? argument,
  },
};

const escaped = (text) => [...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");

// The frame that begins with `start`, past whatever else is said.
async function until(socket, start) {
  for (;;) {
    const frame = await socket.next();
    if (frame === "2") socket.send("3");
    else if (frame.startsWith(start)) return frame;
  }
}

const EVENTS = {
  "a slash in JSON escaped, as in PHP and Swift": [(event) => `["${event}","a\\/b"]`, "a/b"],
  "all but ASCII escaped, as in Python": [(event) => `["${event}","gr\\u00f6\\u00dfe"]`, "größe"],
  "an event name that is all escapes": [(event) => `["${escaped(event)}","lobby"]`, "lobby"],
  "a key that is all escapes": [(event) => `["${event}",{"${escaped("room")}":"lobby"}]`, "lobby"],
  "white space in front of its JSON": [(event) => ` \t["${event}","lobby"]`, "lobby"],
  "white space in JSON": [(event) => `[ "${event}" ,\n\t{ "room" : "lobby" } ]\n`, "lobby"],
};

for (const [kind, { start, event, said }] of Object.entries(KINDS)) {
  for (const [what, [written, room]] of Object.entries(EVENTS)) {
    test(`an event of ${kind} with ${what} is understood`, async (t) => {
      const socket = await openFrames(t, await start(t), 4);
      socket.send('40{"user":"alice"}');
      await until(socket, "40");
      socket.send(`421${written(event)}`);
      assert.equal(said(JSON.parse((await until(socket, "431")).slice(3))[0]), room);
    });
  }

  test(`CONNECT and events of ${kind} in one payload of a poll are handled`, async (t) => {
    const session = await Polling.open(await start(t), 4);
    assert.equal((await session.post("40", `421["${event}",{"room":"lobby"}]`)).status, 200);
    await session.until((packets) => packets.some((packet) => packet.startsWith("431[{") && packet.includes('"room":"lobby"')));
  });

  test(`an ack id of ${kind} as large as JavaScript can count is given back`, async (t) => {
    const socket = await openFrames(t, await start(t), 4);
    socket.send("40");
    await until(socket, "40");
    for (const id of [0, 4294967296, Number.MAX_SAFE_INTEGER]) {
      socket.send(`42${id}["${event}","lobby"]`);
      await until(socket, `43${id}[`);
    }
  });
}

const CONNECTS = {
  "the main namespace by its name": ["40/,", "42/,1", "431"],
  "the main namespace by its name, with auth": ['40/,{"user":"alice"}', "421", "431"],
  "a namespace without a comma": ["40/chat", "42/chat,1", "43/chat,1"],
  "a namespace with a comma and nothing behind it": ["40/chat,", "42/chat,1", "43/chat,1"],
  "a namespace with an empty auth": ["40/chat,{}", "42/chat,1", "43/chat,1"],
};

for (const [kind, { start, event, said }] of Object.entries(KINDS)) {
  for (const [what, [connect, sent, ack]] of Object.entries(CONNECTS)) {
    test(`CONNECT to ${what} is understood before an event of ${kind}`, async (t) => {
      const socket = await openFrames(t, await start(t, CHAT), 4);
      socket.send(connect);
      await until(socket, ack.replace("43", "40").replace(/1$/, "{"));
      socket.send(`${sent}["${event}","lobby"]`);
      assert.equal(said(JSON.parse((await until(socket, ack)).slice(ack.length))[0]), "lobby");
    });
  }
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

for (const namespace of ["", "/chat,"]) {
  test(`events of a handler in ${namespace || "/"} that come right behind CONNECT are handled in order`, async (t) => {
    const server = await KINDS["a handler"].start(t, CHAT);
    for (let i = 0; i < 20; i += 1) {
      const socket = await openFrames(t, server, 4);
      socket.send(`40${namespace}{}`);
      for (let id = 1; id < 5; id += 1) socket.send(`42${namespace}${id}["message-with-ack",${id}]`);
      for (let id = 1; id < 5; id += 1) assert.equal(await until(socket, `43${namespace}`), `43${namespace}${id}[${id}]`);
    }
  });
}

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
