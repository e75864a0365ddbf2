// Recovery that is refused: where it cannot be complete, or is not the client's to ask for, the client has a fresh
// session and is told so; there is never a hole with `recovered` true.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { open, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { away, follow, heard, hears, Speaker } from "./support/follow.mjs";
import { network } from "./support/proxy.mjs";
import { rawClient } from "./support/raw.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

// A client that is not recovered has a fresh session without rooms, gets nothing that is old, and can go on.
async function isFresh(client, speaker, before) {
  const session = client.sessions.items.at(-1)[0];
  assert.notEqual(session.connection, client.me.connection);
  assert.deepEqual(session.rooms, [`user:${session.user}`]);
  await client.ok("join", "lobby");
  await speaker.say(1);
  await settled(speaker.client, [client]);
  assert.deepEqual(heard(client), [...before, speaker.said]);
}

test("a client that comes back after the window has a fresh session", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "recovery-window": "1s" });
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(1);
  await hears(alice, [1]);
  const meanwhile = async () => {
    await speaker.say(3);
    // The window is a time and nothing else.
    await pause(2_500);
  };
  assert.equal(await away(alice, "cut", meanwhile), false);
  await isFresh(alice, speaker, [1]);
  assert.equal(await away(alice, "cut", () => speaker.say(2)), true, "the fresh session can be recovered");
  await hears(alice, [1, 5, 6, 7]);
});

test("with recovery turned off no client gets a pid", async (t) => {
  const server = await serve(t, { "recovery-window": "0s" });
  const raw = await rawClient(t, server, { user: "alice" });
  assert.equal(raw.pid, undefined);
  const alice = await follow(t, server, { user: "alice" });
  assert.ok(!(await away(alice, "cut")));
});

test("a client that missed more than the log keeps is not recovered, one that missed less is", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-messages": 5 });
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(50);
  await hears(alice, upTo(50));
  assert.equal(await away(alice, "cut", () => speaker.say(4)), true);
  await hears(alice, upTo(54));
  assert.equal(await away(alice, "cut"), true, "what is gone had been received");
  const { _pid: pid, _lastOffset: offset } = alice.socket;
  assert.equal(await away(alice, "cut", () => speaker.say(50)), false);
  await isFresh(alice, speaker, upTo(54));

  const raw = await rawClient(t, server, { user: "alice", pid, offset });
  assert.notEqual(raw.pid, pid, "a session that was replaced is over");
  assert.deepEqual(raw.session.rooms, ["user:alice"]);
});

test("a room whose messages are gone does not keep a client from recovering what it joined since", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-messages": 5 });
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  await speaker.say(50);
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  assert.equal(await away(alice, "cut", () => speaker.say(3)), true);
  await hears(alice, [51, 52, 53]);
});

const OPEN = { options: {}, as: (user) => ({ user }) };
const KEYED = { options: { "auth-hmac-secret": SECRET }, as: (sub) => ({ token: sign({ sub }) }) };

for (const [name, { options, as }] of Object.entries({ "in open mode": OPEN, "with a token": KEYED })) {
  test(`another user's pid, shown ${name}, recovers nothing, and its owner can still recover`, async (t) => {
    const server = await serve(t, { ...UNLIMITED, ...options });
    const speaker = new Speaker(await open(t, server, as("bob")), "lobby");
    const alice = await follow(t, server, as("alice"));
    await alice.ok("join", "lobby");
    await speaker.say(2);
    await hears(alice, upTo(2));
    const { _pid: pid, _lastOffset: offset } = alice.socket;

    const steal = async () => {
      for (const more of [{ offset }, {}, { offset: "0~" }, { offset: "garbage" }]) {
        const thief = await rawClient(t, server, { ...as("mallory"), pid, ...more });
        assert.equal(typeof thief.pid, "string");
        assert.notEqual(thief.pid, pid);
        assert.equal(thief.session.user, "mallory");
        assert.notEqual(thief.session.connection, alice.me.connection);
        assert.deepEqual(thief.session.rooms, ["user:mallory"]);
        thief.send('421["presence",{"room":"lobby"}]');
        await thief.frame("431");
        assert.deepEqual(thief.events("message"), []);
      }
    };
    await steal();
    await speaker.say(1);
    await hears(alice, upTo(3));
    assert.deepEqual(alice.gone.items, [], "the owner was left alone");
    const meanwhile = async () => {
      await speaker.say(2);
      await steal();
    };
    assert.equal(await away(alice, "cut", meanwhile), true);
    await hears(alice, upTo(5));
  });
}

test("a pid that never was, or is none, brings a fresh session", async (t) => {
  const server = await serve(t);
  const { pid: good } = await rawClient(t, server, { user: "bob" });
  const flipped = (good[0] === "A" ? "B" : "A") + good.slice(1);
  const near = [flipped, `${good}x`, good.slice(1), [good]];
  const made = [...near, "x", "", "é🦀\u0000", "x".repeat(5_000), "' or 1=1 --", 7, null, {}];
  for (const pid of made) {
    for (const offset of ["0~", undefined, "", 5, null]) {
      const raw = await rawClient(t, server, { user: "alice", pid, offset });
      assert.equal(typeof raw.pid, "string", JSON.stringify(pid));
      assert.notEqual(raw.pid, good);
      assert.notDeepEqual(raw.pid, pid);
      raw.socket.terminate();
    }
  }
});

test("an offset that the server never gave brings a fresh session", async (t) => {
  const server = await serve(t, UNLIMITED);
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const numbers = ["5", "-1~", "1.5~", "99999999~", "99999999999999999999999~", "1~1", " 1~"];
  for (const offset of [...numbers, "end", "", "~", 5, {}]) {
    const owner = await rawClient(t, server, { user: "alice" });
    owner.send('421["join",{"room":"lobby"}]');
    await owner.frame("431");
    await speaker.say(1);
    await owner.frame('42["message"');
    owner.socket.terminate();
    const raw = await rawClient(t, server, { user: "alice", pid: owner.pid, offset });
    assert.notEqual(raw.pid, owner.pid, JSON.stringify(offset));
    assert.deepEqual(raw.session.rooms, ["user:alice"]);
    assert.deepEqual(raw.events("message"), []);
  }
});

test("a pid of one namespace is worth nothing in another", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-namespaces": "/,/chat" });
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(1);
  await hears(alice, [1]);
  const { _pid: pid, _lastOffset: offset } = alice.socket;
  const meanwhile = async () => {
    await speaker.say(1);
    const other = await rawClient(t, server, { user: "alice", pid, offset }, { prefix: "/chat," });
    assert.notEqual(other.pid, pid);
    assert.deepEqual(other.session.rooms, ["user:alice"]);
  };
  await meanwhile();
  await hears(alice, [1, 2]);
  assert.equal(await away(alice, "cut", meanwhile), true);
  await hears(alice, [1, 2, 3]);
});

// A stock client that is given a new pid keeps the offset of its former life until something durable comes.
test("an offset from before the session makes no difference to what is recovered", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-messages": 5 });
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(1);
  await hears(alice, [1]);
  const stale = alice.socket._lastOffset;
  // More than the log may hold over its bound before it is trimmed.
  assert.equal(await away(alice, "cut", () => speaker.say(100)), false);
  await alice.ok("join", "lobby");
  assert.equal(alice.socket._lastOffset, stale, "the client still holds the old one");
  assert.equal(await away(alice, "cut", () => speaker.say(3)), true);
  await hears(alice, [1, 102, 103, 104]);
});

test("an offset of a log that is lost never hides what came since", async (t) => {
  const server = await serve(t, UNLIMITED);
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(50);
  await hears(alice, upTo(50));
  const wipe = async () => {
    await server.kill();
    await rm(join(server.folder, "data"), { recursive: true });
    await server.start();
    await speaker.client.session(2);
  };
  assert.equal(await away(alice, "cut", wipe), false);
  await alice.ok("join", "lobby");
  // Nothing has come since, so the client shows the offset of the lost log with its new pid.
  const recovered = await away(alice, "cut", () => speaker.say(3));
  if (recovered) await hears(alice, upTo(53));
  else await isFresh(alice, speaker, upTo(50));
});

test("a server that keeps its log in memory has forgotten its sessions when it starts again", async (t) => {
  const server = await serve(t, { ...UNLIMITED, store: "memory" });
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  await speaker.say(1);
  await hears(alice, [1]);
  assert.equal(await away(alice, "cut", () => speaker.say(1)), true, "while it runs they are there");
  await hears(alice, [1, 2]);
  const restart = async () => {
    await server.kill();
    await server.start();
    await speaker.client.session(2);
  };
  assert.equal(await away(alice, "cut", restart), false);
  await isFresh(alice, speaker, [1, 2]);
});

test("clients of older versions come back with a fresh session and join again", async (t) => {
  const server = await serve(t, UNLIMITED);
  const bob = await open(t, server, { user: "bob" });
  for (const v of [2, 3]) {
    const room = `room${v}`;
    const way = await network(t, server);
    const alice = await open(t, way, { v, user: "alice" });
    const received = alice.on("message");
    const { epoch, seq } = await alice.ok("join", room);
    way.cut();
    await bob.ok("message", { room, data: 1 });
    way.mend();
    const { rooms } = await alice.session(2);
    assert.deepEqual(rooms, ["user:alice"]);
    const { messages, recovered } = await alice.ok("join", { room, since: { epoch, seq } });
    assert.equal(recovered, true);
    assert.deepEqual(messages.map((message) => message.data), [1]);
    await settled(bob, [alice], room);
    assert.deepEqual(received.items, []);
  }
});
