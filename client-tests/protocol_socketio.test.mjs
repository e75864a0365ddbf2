// Socket.IO protocol 5 as its own test suite looks at it: in namespaces that are an application's alone (examples/own_namespaces.rs), in
// the server's own, and there with an application's handlers (examples/own_events.rs). Its cases of Engine.IO are in
// protocol_engineio.test.mjs. In the server's own namespaces the answer to CONNECT has a `pid` besides the `sid`, and then
// comes `session`, unless the contract is off, and then the `auth` of an application.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openFrames } from "./support/engineio.mjs";
import { example, serve } from "./support/server.mjs";

const BOTH = { "socketio-namespaces": "/,/custom" };
const handled = (t, options) => serve(t, { ...options, ...BOTH }, example("own_events"));

// `echoes`: `message` comes back as `message-back`, and `message-with-ack` in its ack.
const KINDS = {
  "an application's namespace": {
    start: (t, options) => serve(t, { ...options, "socketio-namespaces": "/rooms" }, example("own_namespaces")),
    keys: ["sid"],
    greetings: ["auth"],
    echoes: true,
  },
  "the server's namespace": { start: (t, options) => serve(t, { ...options, ...BOTH }), keys: ["pid", "sid"], greetings: ["session"] },
  "an application's handlers": { start: handled, keys: ["pid", "sid"], greetings: ["session", "auth"], echoes: true },
  "an application's handlers, without the contract": {
    start: (t, options) => handled(t, { ...options, "socketio-contract": false }),
    keys: ["pid", "sid"],
    greetings: ["auth"],
    echoes: true,
  },
};

const ATTACHED = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

// Connects to a namespace (`/custom,` or nothing for `/`); returns what it was answered and the last greeting's argument.
async function connect(socket, { prefix = "", auth = "", greetings = ["auth"] } = {}) {
  socket.send(`40${prefix}${auth}`);
  const answer = await socket.next();
  assert.ok(answer.startsWith(`40${prefix}{`), answer);
  const found = { answer: JSON.parse(answer.slice(2 + prefix.length)) };
  for (const greeting of greetings) {
    const start = `42${prefix}["${greeting}",`;
    const greeted = await socket.next();
    assert.ok(greeted.startsWith(start), greeted);
    found.told = greeted.slice(start.length, -1);
  }
  return found;
}

for (const [kind, { start, keys, greetings, echoes }] of Object.entries(KINDS)) {
  const check = (title, options, body) =>
    test(`Socket.IO 5, ${kind}: ${title}`, async (t) => body(await openFrames(t, await start(t, options), 4)));

  for (const prefix of ["", "/custom,"]) {
    for (const auth of ["", '{"token":"123"}']) {
      check(`CONNECT ${prefix}${auth} is answered`, {}, async (socket) => {
        const { answer, told } = await connect(socket, { prefix, auth, greetings });
        assert.deepEqual(Object.keys(answer).sort(), keys);
        assert.equal(typeof answer.sid, "string");
        if (greetings.at(-1) === "auth") assert.equal(told, auth || "{}");
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
      await connect(socket, { greetings });
      socket.send(packet);
      await socket.ended();
    });
  }

  check("DISCONNECT from the main namespace is not answered, and the connection stays", { "socketio-ping-interval": "300ms" }, async (socket) => {
    await connect(socket, { greetings });
    socket.send("41");
    assert.equal(await socket.next(), "2");
  });

  if (!echoes) continue;

  check("DISCONNECT from a namespace leaves the main one connected", {}, async (socket) => {
    await connect(socket, { greetings });
    await connect(socket, { prefix: "/custom,", greetings });
    socket.send("41/custom", '42["message","message to main namespace"]');
    // Clients that can be recovered take a string at the end of an event for its offset, so there it has one behind it.
    const offset = keys.includes("pid") ? ',"0~"' : "";
    assert.equal(await socket.next(), `42["message-back","message to main namespace"${offset}]`);
  });

  for (const prefix of ["", "/custom,"]) {
    const talk = (title, body) =>
      check(`${prefix}${title}`, {}, async (socket) => {
        await connect(socket, { prefix, greetings });
        await body(socket);
      });

    talk("an event comes and goes with all its arguments", async (socket) => {
      socket.send(`42${prefix}["message",1,"2",{"3":[true]}]`);
      assert.equal(await socket.next(), `42${prefix}["message-back",1,"2",{"3":[true]}]`);
    });

    talk("an event is acknowledged with all the ack's arguments", async (socket) => {
      socket.send(`42${prefix}456["message-with-ack",1,"2",{"3":[false]}]`);
      assert.equal(await socket.next(), `43${prefix}456[1,"2",{"3":[false]}]`);
    });

    for (const [what, sent, expected] of [
      ["an event", `452-${prefix}["message",${ATTACHED}]`, `452-${prefix}["message-back",${ATTACHED}]`],
      ["an ack", `452-${prefix}789["message-with-ack",${ATTACHED}]`, `462-${prefix}789[${ATTACHED}]`],
    ]) {
      talk(`${what} comes back with its attachments`, async (socket) => {
        const attachments = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
        socket.send(sent, ...attachments);
        assert.equal(await socket.next(), expected);
        for (const attachment of attachments) assert.deepEqual(await socket.next(), attachment);
      });
    }
  }
}
