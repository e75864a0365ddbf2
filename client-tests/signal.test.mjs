// Signals: an event to a user or to one connection, and the replies of exactly its receivers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { manager, MATRIX, open, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { elsewhere } from "./support/process.mjs";
import { rawClient } from "./support/raw.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const KEYED = { "auth-hmac-secret": SECRET };
// With this rule anybody may ask anybody.
const ANYBODY = { "auth-grants": "*=join,publish,history,presence,signal; user:*=signal" };

const by = (key) => (a, b) => (a[key] < b[key] ? -1 : 1);

// Makes `client` answer every signal with what `reply` returns; collects what it was asked.
function answering(client, reply) {
  client.socket.on("signal", (signal, ack) => ack(reply(signal)));
  return client.on("signal");
}

// Clients of `users`, all in the lobby.
async function lobby(t, server, ...users) {
  const clients = await Promise.all(users.map((user) => open(t, server, { user })));
  for (const client of clients) await client.ok("join", "lobby");
  return clients;
}

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode} signals a user and gets the reply of every tab`, async (t) => {
    const server = await serve(t);
    const alice = await open(t, server, { v, mode, user: "alice" });
    const tabs = await Promise.all([1, 2].map(() => open(t, server, { v, mode, user: "bob" })));
    const carol = await open(t, server, { v, mode, user: "carol" });
    for (const client of [alice, tabs[0], carol]) await client.ok("join", "lobby");
    const asked = tabs.map((tab, i) => answering(tab, ({ data }) => ({ tab: i, got: data })));
    const atCarol = carol.on("signal");

    const data = { text: "hällo 🦀", list: [1, null, true] };
    const ack = await alice.ok("signal", { to: { user: "bob" }, event: "question", data });
    const replies = tabs.map((tab, i) => ({ user: "bob", connection: tab.me.connection, data: { tab: i, got: data } }));
    assert.deepEqual(
      { ...ack, replies: ack.replies.sort(by("connection")) },
      { ok: true, replies: replies.sort(by("connection")), missing: 0 },
    );
    const from = { user: "alice", connection: alice.me.connection };
    for (const journal of asked) {
      assert.equal(journal.items.length, 1);
      assert.deepEqual(journal.items[0][0], { from, event: "question", data });
    }

    const [tab] = tabs;
    const one = await alice.ok("signal", { to: { connection: tab.me.connection }, event: "only you", data: 7 });
    assert.deepEqual(one, {
      ok: true,
      replies: [{ user: "bob", connection: tab.me.connection, data: { tab: 0, got: 7 } }],
      missing: 0,
    });
    assert.deepEqual(asked.map((journal) => journal.items.length), [2, 1]);
    await settled(alice, [carol]);
    assert.deepEqual(atCarol.items, [], "nobody else hears of it");
  });
}

test("a reply's data is returned unchanged", async (t) => {
  const server = await serve(t);
  const [alice, bob] = await lobby(t, server, "alice", "bob");
  const answers = [null, 0, "", false, [], {}, [1, [2]], { ok: false, error: { code: "mine" } }, "🦀\u0000", 1.5];
  let answer;
  bob.socket.on("signal", (_, ack) => ack(answer));
  for (answer of answers) {
    const { replies } = await alice.ok("signal", { to: { user: "bob" }, event: "say", data: null });
    assert.deepEqual(replies, [{ user: "bob", connection: bob.me.connection, data: answer }]);
  }
  bob.socket.removeAllListeners("signal");
  bob.socket.on("signal", (_, ack) => ack());
  const { replies, missing } = await alice.ok("signal", { to: { user: "bob" }, event: "say", data: null });
  assert.equal(missing, 0, "an answer without anything in it is an answer");
  assert.equal(replies.length, 1);
  assert.equal(replies[0].data ?? null, null);
});

test("data of a signal and of its reply passes byte for byte", async (t) => {
  const server = await serve(t);
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => rawClient(t, server, { user })));
  for (const raw of [alice, bob]) {
    raw.send('421["join",{"room":"lobby"}]');
    await raw.frame("431");
  }
  const pieces = ["12345678901234567890", "1.0", '{"z":1,"a":2}', '{ "spaced" : [ 1 , 2 ] }', '"]},42[\\u0000"'];
  for (const [i, piece] of pieces.entries()) {
    alice.send(`42${10 + i}["signal",{"to":{"user":"bob"},"event":"e${i}","data":${piece}}]`);
    const asked = await bob.frames.until(
      (frames) => frames.find((frame) => frame.includes('["signal",') && frame.includes(`"e${i}"`)),
      `the signal ${piece}`,
    );
    assert.ok(asked.includes(`"data":${piece}`), `${piece}: ${asked}`);
    bob.send(`43${asked.match(/^42(\d+)\[/)[1]}[${piece}]`);
    const answered = await alice.frame(`43${10 + i}[`);
    assert.ok(answered.includes(`"data":${piece}`), `${piece}: ${answered}`);
  }
});

test("a receiver that does not reply in time is missing, and a late reply is dropped", async (t) => {
  const server = await serve(t);
  const [alice, quick, slow] = await lobby(t, server, "alice", "bob", "bob");
  const acks = [];
  answering(quick, () => "here");
  slow.socket.on("signal", (_, ack) => acks.push(ack));
  const begun = performance.now();
  const ask = { to: { user: "bob" }, event: "there?", data: null, timeout_ms: 400 };
  const ack = await alice.ok("signal", ask);
  const took = performance.now() - begun;
  assert.ok(took >= 395 && took < 4000, `it took ${Math.round(took)} ms`);
  const replies = [{ user: "bob", connection: quick.me.connection, data: "here" }];
  assert.deepEqual(ack, { ok: true, replies, missing: 1 });

  acks[0]("too late");
  await settled(slow, [alice, slow]);
  assert.deepEqual(await alice.ok("signal", ask), { ok: true, replies, missing: 1 });
  assert.deepEqual([alice.errors.items, slow.errors.items], [[], []]);
});

test("without timeout_ms a reply may take five seconds", async (t) => {
  const server = await serve(t);
  const [alice] = await lobby(t, server, "alice", "bob");
  const begun = performance.now();
  const ack = await alice.ok("signal", { to: { user: "bob" }, event: "there?", data: null });
  const took = performance.now() - begun;
  assert.deepEqual(ack, { ok: true, replies: [], missing: 1 });
  assert.ok(took >= 4_990 && took < 10_000, `it took ${Math.round(took)} ms`);
});

test("a tab that is closed or killed before it replies is missing", async (t) => {
  const server = await serve(t);
  const [alice, bob] = await lobby(t, server, "alice", "bob");
  bob.socket.on("signal", () => bob.close());
  const child = await elsewhere(t, server, { user: "carol" }, [["join", "lobby"]]);
  const ask = (user) => alice.ok("signal", { to: { user }, event: "there?", data: null, timeout_ms: 1200 });
  assert.deepEqual(await ask("bob"), { ok: true, replies: [], missing: 1 });

  let waiting = true;
  const asked = ask("carol").finally(() => (waiting = false));
  await alice.ok("history", "lobby");
  assert.ok(waiting, "who waits for an answer is served meanwhile");
  child.kill("SIGKILL");
  assert.deepEqual(await asked, { ok: true, replies: [], missing: 1 });
});

test("an unknown connection counts as one missing reply, an absent user as none", async (t) => {
  const server = await serve(t, { ...ANYBODY, "presence-grace": "100ms" });
  const [alice, bob] = await lobby(t, server, "alice", "bob");
  const gone = bob.me.connection;
  const ask = (to) => alice.ok("signal", { to, event: "there?", data: null, timeout_ms: 1000 });
  assert.deepEqual(await ask({ user: "nobody" }), { ok: true, replies: [], missing: 0 });
  assert.deepEqual(await ask({ connection: "no-such-connection" }), { ok: true, replies: [], missing: 1 });
  const seen = alice.on("presence");
  bob.close();
  await seen.until((items) => items.some(([event]) => event.event === "leave"), "bob's leave");
  assert.deepEqual(await ask({ connection: gone }), { ok: true, replies: [], missing: 1 });
  assert.deepEqual(await ask({ user: "bob" }), { ok: true, replies: [], missing: 0 });
});

test("one's own other tabs may always be asked, whatever the grants", async (t) => {
  const server = await serve(t, KEYED);
  const token = sign({ sub: "alice", name: "Alice", rooms: [] });
  const [alice, tab] = await Promise.all([2, 4].map((v) => open(t, server, { v, token })));
  const atTab = answering(tab, () => "the other tab");
  const atAlice = answering(alice, () => "myself");
  const reply = { user: "alice", connection: tab.me.connection, data: "the other tab" };
  for (const to of [{ user: "alice" }, { connection: tab.me.connection }]) {
    const ack = await alice.ok("signal", { to, event: "sync", data: 1 });
    assert.deepEqual(ack, { ok: true, replies: [reply], missing: 0 });
  }
  assert.deepEqual(atTab.items[0][0], {
    from: { user: "alice", name: "Alice", connection: alice.me.connection },
    event: "sync",
    data: 1,
  });
  assert.deepEqual(atAlice.items, [], "who asks a user that it is itself does not ask itself");
});

test("others may be asked only with the grant in a common room, or by a rule of its own", async (t) => {
  const server = await serve(t, KEYED);
  const can = ["join", "publish", "history", "presence"];
  const person = (sub, rooms) => open(t, server, { token: sign({ sub, rooms }) });
  const bob = await person("bob", [{ match: "*", can }]);
  const atBob = answering(bob, () => "yes");
  const ask = (to) => ({ to, event: "may I?", data: null });
  const targets = [ask({ user: "bob" }), ask({ connection: bob.me.connection })];
  await bob.ok("join", "lobby");

  const stranger = await person("stranger", [{ match: "*", can: [...can, "signal"] }]);
  for (const target of targets) await stranger.refused("signal", target, "forbidden");
  await stranger.ok("join", "elsewhere");
  for (const target of targets) await stranger.refused("signal", target, "forbidden");

  const silent = await person("silent", [{ match: "lobby", can }, { match: "kitchen", can: [...can, "signal"] }]);
  await silent.ok("join", "lobby");
  await silent.ok("join", "kitchen");
  for (const target of targets) await silent.refused("signal", target, "forbidden");
  await settled(stranger, [bob]);
  assert.deepEqual(atBob.items, [], "what is refused does not arrive");

  await bob.ok("join", "kitchen");
  for (const target of targets) assert.equal((await silent.ok("signal", target)).replies.length, 1);
  await stranger.ok("join", "lobby");
  for (const target of targets) assert.equal((await stranger.ok("signal", target)).replies.length, 1);
  await stranger.ok("leave", "lobby");
  for (const target of targets) await stranger.refused("signal", target, "forbidden");

  const ruled = await person("ruled", [{ match: "user:*", can: ["signal"] }]);
  for (const target of targets) assert.equal((await ruled.ok("signal", target)).replies.length, 1);
  const other = await person("other", [{ match: "user:carol", can: ["signal"] }]);
  for (const target of targets) await other.refused("signal", target, "forbidden");
});

test("a WebRTC handshake works: an offer, its answer, and candidates both ways in order", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { v: 4, mode: "upgrade", user: "alice" });
  const bob = await open(t, server, { v: 2, mode: "polling", user: "bob" });
  for (const client of [alice, bob]) await client.ok("join", "call-1");
  const sdp = (type) => ({ type, sdp: `v=0\r\no=- 46117317 2 IN IP4 127.0.0.1\r\n${"a=candidate\r\n".repeat(200)}` });
  const candidate = (i) => ({ candidate: `candidate:${i} 1 udp 1 192.0.2.${i} 54321 typ host`, sdpMLineIndex: 0 });

  // One end: answers an offer, then takes candidates, each confirmed with its number.
  const end = (client) => {
    const heard = { candidates: [], peer: undefined };
    client.socket.on("signal", ({ from, event, data }, ack) => {
      if (event === "offer") {
        heard.offer = data;
        heard.peer = from.connection;
        ack(sdp("answer"));
      } else if (event === "candidate") {
        assert.equal(from.connection, heard.peer);
        ack(heard.candidates.push(data));
      }
    });
    return heard;
  };
  const [atAlice, atBob] = [end(alice), end(bob)];

  const { replies } = await alice.ok("signal", { to: { user: "bob" }, event: "offer", data: sdp("offer") });
  assert.deepEqual(replies, [{ user: "bob", connection: bob.me.connection, data: sdp("answer") }]);
  assert.deepEqual(atBob.offer, sdp("offer"));
  assert.equal(atBob.peer, alice.me.connection);
  atAlice.peer = replies[0].connection;

  const numbers = upTo(15);
  const send = (client, peer) =>
    numbers.map((i) => client.ok("signal", { to: { connection: peer }, event: "candidate", data: candidate(i) }));
  const [fromAlice, fromBob] = await Promise.all([
    Promise.all(send(alice, atAlice.peer)),
    Promise.all(send(bob, atBob.peer)),
  ]);
  for (const acks of [fromAlice, fromBob]) {
    assert.deepEqual(acks.map((ack) => ack.replies[0]?.data), numbers, "each is confirmed, in order");
  }
  for (const { candidates } of [atAlice, atBob]) assert.deepEqual(candidates, numbers.map(candidate));
});

for (const v of [2, 3, 4]) {
  test(`client ${v} replies to signals of two namespaces over one transport, in any order`, async (t) => {
    const server = await serve(t, { ...UNLIMITED, "socketio-namespaces": "/,/chat" });
    const names = ["/", "/chat"];
    const [asking, answering] = [manager(t, server, { v }), manager(t, server, { v })];
    const askers = names.map((name) => asking(name, {}));
    const answerers = names.map((name) => answering(name, {}));
    for (const client of [...askers, ...answerers]) {
      client.me = await client.session();
      await client.ok("join", "lobby");
    }
    assert.equal(answerers[0].socket.io, answerers[1].socket.io);

    // The answers are held until all questions are there, and then given last first.
    const held = [];
    for (const [i, client] of answerers.entries()) {
      client.socket.on("signal", ({ data }, ack) => {
        held.push(() => ack(`${names[i]} ${data}`));
        if (held.length === 40) held.reverse().forEach((answer) => answer());
      });
    }
    const questions = upTo(20).flatMap((n) =>
      names.map(async (name, i) => {
        const to = { connection: answerers[i].me.connection };
        const { replies } = await askers[i].ok("signal", { to, event: "which?", data: n });
        const { user, connection } = answerers[i].me;
        assert.deepEqual(replies, [{ user, connection, data: `${name} ${n}` }]);
      }),
    );
    await Promise.all(questions);

    const across = { to: { connection: answerers[1].me.connection }, event: "which?", data: 0, timeout_ms: 500 };
    const ack = await askers[0].ask("signal", across);
    assert.ok(ack.ok ? ack.replies.length === 0 : ack.error.code === "forbidden", JSON.stringify(ack));
    assert.equal(held.length, 40, "no question leaves its namespace");
  });
}

test("a connection may have a bounded number of pending signals", async (t) => {
  const server = await serve(t, { "limits-signals": 3 });
  const [alice, bob, carol] = await lobby(t, server, "alice", "bob", "carol");
  const acks = [];
  bob.socket.on("signal", (_, ack) => acks.push(ack));
  const atBob = bob.on("signal");
  const ask = { to: { user: "bob" }, event: "wait", data: null, timeout_ms: 20_000 };
  const waiting = upTo(3).map(() => alice.ok("signal", ask));
  await atBob.count(3);
  await alice.refused("signal", ask, "limit_reached", "rate_limited");
  const another = carol.ok("signal", ask);
  await atBob.count(4);
  acks[0]("done");
  assert.equal((await waiting[0]).replies[0].data, "done");
  waiting.push(alice.ok("signal", ask));
  await atBob.count(5);
  for (const ack of acks.slice(1)) ack("done");
  for (const each of [...waiting, another]) assert.equal((await each).missing, 0);
});

test("an unsolicited reply, or a second one, is ignored", async (t) => {
  const server = await serve(t);
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  const [bob, mallory] = await Promise.all(["bob", "mallory"].map((user) => rawClient(t, server, { user })));
  for (const raw of [bob, mallory]) {
    raw.send('421["join",{"room":"lobby"}]');
    await raw.frame("431");
  }
  const asked = alice.ok("signal", { to: { user: "bob" }, event: "who?", data: null, timeout_ms: 10_000 });
  const frame = await bob.frames.until((frames) => frames.find((each) => each.includes('["signal",')), "the signal");
  const id = frame.match(/^42(\d+)\[/)[1];
  for (const guess of new Set([id, 0, 1, 2, 3, Number(id) + 1])) mallory.send(`43${guess}["mallory"]`);
  mallory.send('422["history",{"room":"lobby"}]');
  assert.ok((await mallory.frame("432")).startsWith('432[{"ok":true'), "who guesses is not cut off");
  bob.send(`43${Number(id) + 1000}["too much"]`);
  bob.send(`43${id}["bob"]`);
  bob.send(`43${id}["bob again"]`);
  const { replies, missing } = await asked;
  assert.deepEqual([replies.length, replies[0].user, replies[0].data, missing], [1, "bob", "bob", 0]);
  bob.send('423["history",{"room":"lobby"}]');
  assert.ok((await bob.frame("433")).startsWith('433[{"ok":true'));
});

test("a malformed signal is refused and delivered to no one", async (t) => {
  const server = await serve(t, { "limits-message-bytes": 1000 });
  const [alice, bob] = await lobby(t, server, "alice", "bob");
  const atBob = bob.on("signal");
  const to = { user: "bob" };
  const good = { to, event: "e", data: 1 };
  for (const payload of [
    7,
    "bob",
    {},
    { ...good, to: undefined },
    { ...good, to: "bob" },
    { ...good, to: {} },
    { ...good, to: { user: "bob", connection: bob.me.connection } },
    { ...good, to: { user: true } },
    { ...good, to: { user: "" } },
    { ...good, to: { room: "lobby" } },
    { ...good, event: undefined },
    { ...good, event: "" },
    { ...good, event: 7 },
    { ...good, data: undefined },
    { ...good, timeout_ms: "soon" },
    { ...good, timeout_ms: -1 },
  ]) {
    await alice.refused("signal", payload, "bad_request");
  }
  await alice.refused("signal", { ...good, data: "x".repeat(2000) }, "too_large");
  await settled(alice, [bob]);
  assert.deepEqual(atBob.items, []);
});
