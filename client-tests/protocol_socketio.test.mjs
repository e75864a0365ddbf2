// Socket.IO protocol 5 as its own test suite looks at it, in an application's namespaces (examples/own_namespaces.rs). Its
// cases of Engine.IO are in protocol_engineio.test.mjs. In the server's own namespaces the answer to CONNECT has a `pid`
// besides the `sid`, and then comes `session`, where the suite has its application say `auth`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openFrames } from "./support/engineio.mjs";
import { example, serve } from "./support/server.mjs";

const application = (t, options = {}) =>
  serve(t, { ...options, "socketio-namespaces": "/rooms" }, example("own_namespaces"));

const KINDS = {
  "an application's namespace": { start: application, keys: ["sid"], greeting: "auth" },
  "the server's namespace": { start: (t, options) => serve(t, options), keys: ["pid", "sid"], greeting: "session" },
};

// Connects to a namespace (`/custom,` or nothing for `/`); returns what it was answered and the greeting's argument.
async function connect(socket, { prefix = "", auth = "", greeting = "auth" } = {}) {
  socket.send(`40${prefix}${auth}`);
  const answer = await socket.next();
  assert.ok(answer.startsWith(`40${prefix}{`), answer);
  const start = `42${prefix}["${greeting}",`;
  const greeted = await socket.next();
  assert.ok(greeted.startsWith(start), greeted);
  return { answer: JSON.parse(answer.slice(2 + prefix.length)), told: greeted.slice(start.length, -1) };
}

async function connected(t, options) {
  const socket = await openFrames(t, await application(t, options), 4);
  await connect(socket);
  return socket;
}

for (const [kind, { start, keys, greeting }] of Object.entries(KINDS)) {
  const check = (title, options, body) =>
    test(`Socket.IO 5, ${kind}: ${title}`, async (t) => body(await openFrames(t, await start(t, options), 4)));

  for (const prefix of ["", "/custom,"]) {
    for (const auth of ["", '{"token":"123"}']) {
      const options = greeting === "session" ? { "socketio-namespaces": "/,/custom" } : {};
      check(`CONNECT ${prefix}${auth} is answered`, options, async (socket) => {
        const { answer, told } = await connect(socket, { prefix, auth, greeting });
        assert.deepEqual(Object.keys(answer).sort(), keys);
        assert.equal(typeof answer.sid, "string");
        if (greeting === "auth") assert.equal(told, auth || "{}");
      });
    }
  }

  check("CONNECT to an unknown namespace is refused", {}, async (socket) => {
    socket.send("40/random");
    assert.equal(await socket.next(), '44/random,{"message":"Invalid namespace"}');
  });

  check("a first packet that is none closes the connection", {}, async (socket) => {
    socket.send("4abc");
    await socket.ended();
  });

  check("a connection without CONNECT is closed", { "socketio-connect-timeout": "300ms" }, async (socket) => {
    await socket.ended();
  });

  const broken = {
    "of an unknown type": "4abc",
    "whose payload is no array": "42{}",
    "whose ack id is none": '42abc["message-with-ack",1,"2",{"3":[false]}]',
  };
  for (const [what, packet] of Object.entries(broken)) {
    check(`a packet ${what} closes the connection`, {}, async (socket) => {
      await connect(socket, { greeting });
      socket.send(packet);
      await socket.ended();
    });
  }

  check("DISCONNECT from the main namespace is not answered, and the connection stays", { "socketio-ping-interval": "300ms" }, async (socket) => {
    await connect(socket, { greeting });
    socket.send("41");
    assert.equal(await socket.next(), "2");
  });
}

test("Socket.IO 5: DISCONNECT from a namespace leaves the main one connected", async (t) => {
  const socket = await connected(t);
  await connect(socket, { prefix: "/custom," });
  socket.send("41/custom", '42["message","message to main namespace"]');
  assert.equal(await socket.next(), '42["message-back","message to main namespace"]');
});

test("Socket.IO 5: an event comes and goes with all its arguments", async (t) => {
  const socket = await connected(t);
  socket.send('42["message",1,"2",{"3":[true]}]');
  assert.equal(await socket.next(), '42["message-back",1,"2",{"3":[true]}]');
});

test("Socket.IO 5: an event is acknowledged with all the ack's arguments", async (t) => {
  const socket = await connected(t);
  socket.send('42456["message-with-ack",1,"2",{"3":[false]}]');
  assert.equal(await socket.next(), '43456[1,"2",{"3":[false]}]');
});

const ATTACHED = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

for (const [what, sent, expected] of [
  ["an event", `452-["message",${ATTACHED}]`, `452-["message-back",${ATTACHED}]`],
  ["an ack", `452-789["message-with-ack",${ATTACHED}]`, `462-789[${ATTACHED}]`],
]) {
  test(`Socket.IO 5: ${what} comes back with its attachments`, async (t) => {
    const socket = await connected(t);
    const attachments = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
    socket.send(sent, ...attachments);
    assert.equal(await socket.next(), expected);
    for (const attachment of attachments) assert.deepEqual(await socket.next(), attachment);
  });
}
