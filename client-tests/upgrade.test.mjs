// The upgrade from polling to WebSocket where something between client and server is in its way.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { open, start, upTo, upgrade } from "./support/clients.mjs";
import { middlebox } from "./support/middlebox.mjs";
import { http, pollingSession, Raw } from "./support/raw.mjs";
import { within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const QUICK = { ...UNLIMITED, "socketio-upgrade-timeout": "500ms" };

// Two clients write to one room, one of them through the box, until the box has done its work and a while after; what
// both have received and what was acknowledged.
async function converse(t, server, box, { v = 4, after = 25 } = {}) {
  const room = `room${v}`;
  const writer = await open(t, server, { user: "writer" });
  const client = start(t, box, { v, mode: "upgrade", user: "alice" });
  const drops = [];
  client.socket.on("disconnect", (reason) => drops.push(reason));
  const received = client.on("message");
  const connects = client.on("connect");
  await client.session();
  // A connection that breaks takes along what is under way.
  const join = () => within(client.ok("join", room), () => "no ack", 1000).catch(() => false);
  while (!(await join())) continue;
  box.release();
  const own = [];
  let sent = 0;
  for (let left = after; left > 0; left -= box.reached.items.length > 0 ? 1 : 0) {
    own.push(client.ok("message", { room, data: ["own", sent] }));
    await writer.ok("message", { room, data: ["other", sent] });
    sent += 1;
    await pause(20);
  }
  return { client, writer, room, drops, connects, received, own, sent };
}

const before = [
  ["before the 101", "cut"],
  ["behind the 101", "cut"],
  ["behind the 101", "swallow"],
  ["behind the 101", "swallow server"],
  ["behind the 101", "swallow client"],
  ["at 2probe", "cut"],
  ["at 2probe", "swallow"],
  ["at 3probe", "cut"],
  ["at 3probe", "swallow"],
];

for (const [point, what] of before) {
  test(`${what} ${point}: the session continues on polling, and nothing is lost, doubled or reordered`, async (t) => {
    const server = await serve(t, QUICK);
    const versions = point === "at 3probe" ? [2, 3, 4] : [4];
    const goesOn = async (v) => {
      const box = await middlebox(t, server, { point, what });
      // Longer than the server has for a probe, so that polls are counted while it waits and after it has given up.
      const { client, drops, received, own, sent } = await converse(t, server, box, { v, after: 40 });
      await Promise.all(own);
      await received.count(2 * sent);
      assert.deepEqual(drops, []);
      assert.equal(client.socket.io.engine.transport.name, "polling");
      const messages = received.items.map(([message]) => message);
      assert.deepEqual(messages.map(({ seq }) => seq), upTo(2 * sent));
      for (const who of ["own", "other"]) {
        const theirs = messages.filter(({ data }) => data[0] === who).map(({ data }) => data[1]);
        assert.deepEqual(theirs, upTo(sent).map((i) => i - 1), who);
      }
      assert.equal(box.handshakes, 1);
      // Each poll brings something: a message, an ack, or one of the few NOOPs of the probe.
      assert.ok(box.polls < 4 * sent + 20, `${box.polls} requests for ${sent} messages`);
    };
    await Promise.all(versions.map(goesOn));
  });
}

test("a session whose upgrade was swallowed polls once a ping interval when there is no traffic", async (t) => {
  const server = await serve(t, { ...QUICK, "socketio-ping-interval": "1s", "socketio-ping-timeout": "2s" });
  const box = await middlebox(t, server, { point: "at 3probe", what: "swallow" });
  const client = start(t, box, { mode: "upgrade", user: "alice" });
  await client.session();
  await box.reached.count(1);
  await pause(600);
  const polls = box.polls;
  await pause(3000);
  // A poll and a POST with its pong for each ping.
  assert.ok(box.polls - polls <= 12, `${box.polls - polls} requests in 3 s`);
  assert.ok(client.socket.connected);
});

for (const what of ["cut", "swallow", "swallow client"]) {
  test(`${what} once the client has switched: it comes back, and has missed nothing`, async (t) => {
    const times = { "socketio-ping-interval": "600ms", "socketio-ping-timeout": "600ms" };
    const comesBack = async (point) => {
      const server = await serve(t, { ...QUICK, ...times });
      // A session that is cut off before it is stored is not there to be recovered; one whose join was answered is.
      const box = await middlebox(t, server, { point, what, times: 1, held: true });
      const { client, writer, room, connects, received, own, sent } = await converse(t, server, box);
      own.forEach((ack) => ack.catch(() => {})); // what was under way at the end may be lost
      await connects.count(2);
      assert.ok(client.socket.recovered, `${what} ${point}`);
      await writer.ok("message", { room, data: ["last", sent] });
      // One of its own that was sent again when it came back may be stored behind the writer's last.
      const history = await writer.history(room);
      const end = history.at(-1).seq;
      await received.until((items) => items.some(([{ seq }]) => seq === end), `message ${end}`);
      const seqs = received.items.map(([{ seq }]) => seq).filter((seq) => seq <= end);
      assert.deepEqual(seqs, history.map(({ seq }) => seq));
      const mine = history.filter(({ data }) => data[0] === "own").map(({ data }) => data[1]);
      assert.deepEqual(mine, [...new Set(mine)].sort((a, b) => a - b), "in order, and none twice");
    };
    await Promise.all(["before 5", "behind 5"].map(comesBack));
  });
}

test("a slow upgrade succeeds, and messages sent meanwhile arrive once and in order", async (t) => {
  const server = await serve(t, UNLIMITED);
  const upgrades = async (v) => {
    const box = await middlebox(t, server, { point: "behind the 101", what: "slow", delay: 300 });
    const { client, drops, received, own, sent } = await converse(t, server, box, { v, after: 60 });
    await within(upgrade(client.socket), () => "the client did not upgrade");
    await Promise.all(own);
    await received.count(2 * sent);
    assert.deepEqual(drops, []);
    assert.deepEqual(received.items.map(([{ seq }]) => seq), upTo(2 * sent));
  };
  await Promise.all([2, 3, 4].map(upgrades));
});

test("a session whose upgrade failed may try again", async (t) => {
  const server = await serve(t, QUICK);
  const sid = await pollingSession(server);
  const path = `/socket.io/?EIO=4&transport=websocket&sid=${sid}`;
  const first = new Raw(t, server, { path });
  await new Promise((resolve) => first.socket.on("open", resolve));
  first.send("42[]");
  assert.equal((await first.ended()).code, 1005);
  await upgraded(new Raw(t, server, { path }));
});

// Upgrades a session to this WebSocket at once, and connects.
async function upgraded(raw, auth = "") {
  await new Promise((resolve) => raw.socket.on("open", resolve));
  raw.send("2probe");
  await raw.frame("3probe");
  raw.send("5");
  raw.send(`40${auth}`);
  await raw.frame("40{");
}

test("a second WebSocket for a session that is upgrading or upgraded is opened and closed, and the first stays", async (t) => {
  const server = await serve(t, UNLIMITED);
  const sid = await pollingSession(server);
  const path = `/socket.io/?EIO=4&transport=websocket&sid=${sid}`;
  const first = new Raw(t, server, { path });
  await new Promise((resolve) => first.socket.on("open", resolve));
  assert.equal((await new Raw(t, server, { path }).ended()).code, 1005, "while the first probes");
  first.send("2probe");
  await first.frame("3probe");
  first.send("5");
  first.send("40");
  await first.frame("40{");
  assert.equal((await new Raw(t, server, { path }).ended()).code, 1005, "when the first is upgraded");
  const poll = await http(server, path.replace("websocket", "polling"));
  assert.equal(poll.status, 400, "nobody polls an upgraded session");
  first.send('42["join","lobby"]');
  first.send('420["presence","lobby"]');
  await first.frame("430");
});

test("a WebSocket for an unknown session is refused", async (t) => {
  const server = await serve(t);
  const raw = new Raw(t, server, { path: "/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA" });
  const { status, body } = await raw.ended();
  assert.equal(status, 400);
  assert.equal(JSON.parse(body).code, 1);
});

test("a server that stops while clients upgrade is noticed by them at once", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "drain-over": "10ms" });
  const box = await middlebox(t, server, { point: "at 3probe", what: "slow", delay: 400 });
  const client = start(t, box, { mode: "upgrade", user: "alice", reconnection: false });
  await client.session();
  await box.reached.count(1);
  const gone = new Promise((resolve) => client.socket.on("disconnect", resolve));
  await server.stop();
  await within(gone, () => "the client did not notice", 3000);
});

test("a session that upgrades before its first poll is known to be alive", async (t) => {
  const server = await serve(t, { "socketio-ping-interval": "500ms", "socketio-ping-timeout": "500ms" });
  const sessions = upTo(20).map(async () => {
    const sid = await pollingSession(server);
    const raw = new Raw(t, server, { path: `/socket.io/?EIO=4&transport=websocket&sid=${sid}` });
    // The server pings once more only if its first ping, which no client is shown, was answered.
    const pinged = new Promise((resolve) => raw.socket.on("message", (data) => String(data) === "2" && resolve()));
    await upgraded(raw, '{"user":"early"}');
    await Promise.race([within(pinged, () => "it was never pinged"), raw.closed.then(({ code }) => assert.fail(`closed with ${code}`))]);
  });
  await Promise.all(sessions);
});
