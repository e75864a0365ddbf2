// Engine.IO 4 and 3 as their own test suites look at them: the same cases, on the server as it is and inside an application
// (examples/own_namespaces.rs). Only Socket.IO's packets travel here, so where those suites have any text come back, an event does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { address, ask, Frames, openFrames, pack, Polling, unpack } from "./support/engineio.mjs";
import { eventually } from "./support/scope.mjs";
import { example, serve } from "./support/server.mjs";

const SHORT = { "socketio-ping-interval": "300ms", "socketio-ping-timeout": "200ms" };
const PAYLOAD = { "socketio-max-payload": 1_000_000 };

const KINDS = {
  "the server": (t, options) => serve(t, options),
  "an application": (t, options) =>
    serve(t, { ...options, "socketio-namespaces": "/rooms" }, example("own_namespaces")),
};

for (const protocol of [4, 3]) {
  for (const [kind, start] of Object.entries(KINDS)) {
    const name = `Engine.IO ${protocol}, ${kind}: `;
    const check = (title, options, body) => test(name + title, async (t) => body(t, await start(t, options)));
    handshakes(protocol, check);
    heartbeats(protocol, check);
    ends(protocol, check);
    upgrades(protocol, check);
  }
  const check = (title, body) =>
    test(`Engine.IO ${protocol}: ${title}`, async (t) => body(t, await KINDS["an application"](t, {})));
  messages(protocol, check);
}

function handshakes(protocol, check) {
  const isHandshake = (said, upgrades) => {
    const { sid, maxPayload, ...others } = said;
    assert.equal(typeof sid, "string");
    assert.deepEqual(others, { upgrades, pingInterval: 300, pingTimeout: 200 });
    if (protocol === 4 || maxPayload !== undefined) assert.equal(maxPayload, 1_000_000);
  };

  check("a poll opens a session", { ...SHORT, ...PAYLOAD }, async (t, server) => {
    // Protocol 3 is asked for text, as a client without binary does; with binary see below.
    const { status, text } = await ask(server, address(protocol, "polling", protocol === 3 ? { b64: 1 } : {}));
    assert.equal(status, 200);
    const [open, ...more] = unpack(protocol, text);
    assert.equal(open[0], "0");
    isHandshake(JSON.parse(open.slice(1)), ["websocket"]);
    if (protocol === 4) assert.deepEqual(more, [], "one packet");
  });

  check("a WebSocket opens a session", { ...SHORT, ...PAYLOAD }, async (t, server) => {
    isHandshake((await openFrames(t, server, protocol)).handshake, []);
  });

  const wrong = {
    EIO: [address(undefined, "polling"), address("abc", "polling")],
    transport: [address(protocol), address(protocol, "abc")],
  };
  for (const [parameter, paths] of Object.entries(wrong)) {
    check(`a poll with a wrong ${parameter} is refused`, {}, async (t, server) => {
      for (const path of paths) assert.equal((await ask(server, path)).status, 400, path);
    });
  }

  const wrongUpgrades = { ...wrong, EIO: [address(undefined, "websocket"), address("abc", "websocket")] };
  for (const [parameter, paths] of Object.entries(wrongUpgrades)) {
    check(`a WebSocket with a wrong ${parameter} is refused`, {}, async (t, server) => {
      for (const path of paths) assert.deepEqual(await new Frames(t, server, path).ended(), { status: 400 }, path);
    });
  }

  check("a session is not opened by another method", {}, async (t, server) => {
    for (const method of ["POST", "PUT"]) {
      assert.equal((await ask(server, address(protocol, "polling"), { method })).status, 400, method);
    }
  });
}

function heartbeats(protocol, check) {
  const often = { ...SHORT, "socketio-ping-timeout": "5s" };

  check("pings are answered while polling", often, async (t, server) => {
    const session = await Polling.open(server, protocol);
    for (let i = 0; i < 3; i += 1) {
      if (protocol === 3) {
        assert.equal((await session.post("2")).status, 200);
        await session.until((packets) => packets.includes("3"));
      } else {
        assert.deepEqual(await session.until((packets) => packets.length > 0), ["2"]);
        assert.equal((await session.post("3")).status, 200);
      }
    }
  });

  check("pings are answered over a WebSocket", often, async (t, server) => {
    const socket = await openFrames(t, server, protocol);
    if (protocol === 3) await connected(protocol, socket);
    for (let i = 0; i < 3; i += 1) {
      if (protocol === 3) socket.send("2");
      assert.equal(await socket.next(), protocol === 3 ? "3" : "2");
      if (protocol === 4) socket.send("3");
    }
  });

  check("a polling session without a heartbeat ends", SHORT, async (t, server) => {
    const session = await Polling.open(server, protocol, protocol === 3 ? { b64: 1 } : {});
    if (protocol === 3) await session.until((packets) => packets.some((packet) => packet.startsWith("40")));
    // What an application or the server says at the start of protocol 3 may come in one poll or in two.
    await eventually(async () => (await session.poll()).status === 400, "the session goes on");
    assert.equal((await session.post(protocol === 3 ? "2" : "3")).status, 400);
  });

  check("a WebSocket without a heartbeat is closed", SHORT, async (t, server) => {
    await (await openFrames(t, server, protocol)).ended();
  });
}

function ends(protocol, check) {
  check("a polling client closes its session, and its poll is answered", {}, async (t, server) => {
    // Whichever of two requests comes first is seen first, so this is done until it was the poll.
    await eventually(async () => {
      const session = await Polling.open(server, protocol, protocol === 3 ? { b64: 1 } : {});
      if (protocol === 3) await said(session);
      const [polled, closed] = await Promise.all([session.poll(), session.post("1")]);
      assert.equal(closed.status, 200);
      assert.equal((await session.poll()).status, 400, "the session has ended");
      if (polled.status !== 200) return false;
      assert.equal(polled.text, pack(protocol, "6"));
      return true;
    }, "no poll came before the close");
  });

  check("a WebSocket client closes its session", {}, async (t, server) => {
    const socket = await openFrames(t, server, protocol);
    socket.send("1");
    await socket.ended();
  });
}

function upgrades(protocol, check) {
  const probe = async (t, server, session) => {
    const socket = new Frames(t, server, address(protocol, "websocket", { sid: session.sid }));
    await socket.opened;
    socket.send("2probe");
    assert.equal(await socket.next(), "3probe");
    return socket;
  };
  const open = async (server) => {
    const session = await Polling.open(server, protocol, protocol === 3 ? { b64: 1 } : {});
    if (protocol === 3) await said(session);
    return session;
  };

  check("a session moves from polling to a WebSocket", {}, async (t, server) => {
    const session = await open(server);
    const socket = await probe(t, server, session);
    const { status, text } = await session.poll();
    assert.deepEqual({ status, text }, { status: 200, text: pack(protocol, "6") }, "polls are let off");
    socket.send("5");
    await lives(protocol, socket);
  });

  check("a session that has moved is not polled any more", {}, async (t, server) => {
    const session = await open(server);
    const socket = await probe(t, server, session);
    socket.send("5");
    await lives(protocol, socket);
    assert.equal((await session.poll()).status, 400);
    await lives(protocol, socket);
  });

  check("a second WebSocket for a session that has moved is closed, and the first stays", {}, async (t, server) => {
    const session = await open(server);
    const socket = await probe(t, server, session);
    socket.send("5");
    await lives(protocol, socket);
    const second = new Frames(t, server, address(protocol, "websocket", { sid: session.sid }));
    assert.equal(typeof (await second.ended()).code, "number", "it was opened before");
    await lives(protocol, socket);
  });
}

// All that protocol 3 is told without having said anything.
async function said(session) {
  const greeted = (packet) => packet.startsWith('42["auth"') || packet.startsWith('42["session"');
  return session.until((packets) => packets.some(greeted));
}

// Goes past what a session is told at its start: in protocol 3 without asking for it.
async function connected(protocol, socket) {
  if (protocol === 4) socket.send("40");
  assert.match(await socket.next(), /^40/);
  assert.match(await socket.next(), /^42\["(auth|session)",/);
}

// The session goes both ways.
async function lives(protocol, socket) {
  if (protocol === 3) {
    socket.send("2");
    assert.equal(await socket.next(), "3");
    return;
  }
  socket.send("40/nowhere");
  let answer = await socket.next();
  // Its heartbeat may come in between.
  while (answer === "2") answer = await socket.next();
  assert.match(answer, /^44\/nowhere,/);
}

function messages(protocol, check) {
  const sent = (text) => `42["message","${text}"]`;
  const back = (text) => `42["message-back","${text}"]`;
  const attached = (name) => `451-["${name}",{"_placeholder":true,"num":0}]`;
  const base64 = protocol === 3 ? "b4AQIDBA==" : "bAQIDBA==";

  // A polling session that has been told everything else.
  const open = async (server, query = protocol === 3 ? { b64: 1 } : {}) => {
    const session = await Polling.open(server, protocol, query);
    if (protocol === 4) assert.equal((await session.post("40")).text, "ok");
    if (protocol === 4 || query.b64) await said(session);
    return session;
  };

  check("a packet of text comes and goes by polling", async (t, server) => {
    const session = await open(server);
    const { status, text } = await session.post(sent("hello"));
    assert.deepEqual({ status, text }, { status: 200, text: "ok" });
    assert.deepEqual(await session.until((packets) => packets.length > 0), [back("hello")]);
  });

  check("several packets come and go in one payload", async (t, server) => {
    const session = await open(server);
    const { status, text } = await session.post(...["test1", "test2", "test3"].map(sent));
    assert.deepEqual({ status, text }, { status: 200, text: "ok" });
    const polled = await session.until((packets) => packets.length > 0);
    assert.deepEqual(polled, ["test1", "test2", "test3"].map(back));
  });

  check("text and binary come and go in one payload, in base64", async (t, server) => {
    const session = await open(server);
    const { status, text } = await session.post(sent("hello"), attached("message"), base64);
    assert.deepEqual({ status, text }, { status: 200, text: "ok" });
    const polled = await session.until((packets) => packets.includes(base64));
    assert.deepEqual(polled, [back("hello"), attached("message-back"), base64]);
  });

  if (protocol === 3) {
    check("text and binary come in one payload of bytes", async (t, server) => {
      const session = await open(server, {});
      assert.match((await session.poll()).text, /auth/);
      const { status, text } = await session.post(sent("hello"), attached("message"), base64);
      assert.deepEqual({ status, text }, { status: 200, text: "ok" });
      const { bytes } = await session.poll();
      // Each packet: 0 for text or 1 for binary, its length digit by digit, 255, and the packet.
      const framed = (kind, packet) => [kind, ...String(packet.length).split("").map(Number), 255, ...packet];
      const texts = [back("hello"), attached("message-back")].flatMap((packet) => framed(0, Buffer.from(packet)));
      assert.deepEqual([...bytes], [...texts, ...framed(1, [4, 1, 2, 3, 4])]);
    });
  }

  check("a payload that is none is refused, and ends the session", async (t, server) => {
    const session = await open(server);
    assert.equal((await session.raw("abc")).status, 400);
    assert.equal((await session.poll()).status, 400);
  });

  if (protocol === 4) {
    check("two polls at once end the session", async (t, server) => {
      const session = await open(server);
      const polls = await Promise.all([session.poll(), session.poll()]);
      const [taken, refused] = polls.sort((a, b) => a.status - b.status);
      assert.deepEqual({ status: taken.status, text: taken.text }, { status: 200, text: "1" });
      assert.ok([400, 500].includes(refused.status), `${refused.status}`);
      assert.equal((await session.poll()).status, 400);
    });
  }

  check("a packet of text comes and goes over a WebSocket", async (t, server) => {
    const socket = await openFrames(t, server, protocol);
    await connected(protocol, socket);
    socket.send(sent("hello"));
    assert.equal(await socket.next(), back("hello"));
  });

  check("binary comes and goes over a WebSocket", async (t, server) => {
    const socket = await openFrames(t, server, protocol);
    await connected(protocol, socket);
    const bytes = Buffer.from(protocol === 3 ? [4, 1, 2, 3, 4] : [1, 2, 3, 4]);
    socket.send(attached("message"), bytes);
    assert.equal(await socket.next(), attached("message-back"));
    assert.deepEqual(await socket.next(), bytes);
  });

  check("a frame that is no packet closes the WebSocket", async (t, server) => {
    const socket = await openFrames(t, server, protocol);
    socket.send("abc");
    await socket.ended();
  });
}

// Of protocol 3, whose clients are connected to the main namespace without asking.
test("Engine.IO 3: a session in an application's namespace stays for as long as it pings", async (t) => {
  const server = await KINDS["an application"](t, { "socketio-connect-timeout": "200ms" });
  const socket = await openFrames(t, server, 3);
  await connected(3, socket);
  for (const end = Date.now() + 1000; Date.now() < end; ) {
    await lives(3, socket);
    await pause(50);
  }
});
