// Slow clients: one that stops reading costs bounded memory, delays nobody, is closed, and has everything when it is
// back; one that reads, however slowly, is left in peace. SWITCHBOARD_LONG=1 sends more.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { closings, rawClient } from "./support/raw.mjs";
import { eventually, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { peer } from "./support/websocket.mjs";

const MEGABYTES = process.env.SWITCHBOARD_LONG === "1" ? 200 : 40;
const BODY = "x".repeat(62_500);
const MESSAGES = (MEGABYTES * 1_000_000) / BODY.length;
// The log's own memory is no matter of these tests.
const OPTIONS = { ...UNLIMITED, "history-hot-bytes": "1MiB", "sqlite-synchronous": "normal", "sqlite-readers": 1 };
const LIMIT = 60_000;

// Of a message its data without the body, and its offset; of other frames all.
function note(frame) {
  if (!frame.startsWith?.('42["message",')) return frame;
  const [, { data }, offset] = JSON.parse(frame.slice(2));
  return { n: data.n, offset };
}

// A member of the lobby at the bytes of the wire.
async function member(t, server, auth) {
  const raw = await rawClient(t, server, auth, { note });
  if (!auth.pid) {
    raw.send('421["join",{"room":"lobby"}]');
    await raw.frame("431");
  }
  return raw;
}

const messages = (raw) => raw.frames.items.filter((frame) => frame.n !== undefined);
const numbers = (raw) => messages(raw).map(({ n }) => n);
const hears = (raw, last) => raw.frames.until(() => messages(raw).at(-1)?.n === last, `message ${last}`, LIMIT);

// Sends the large messages `from` to `to`, a few in flight; resolves to how long each took to its ack, and to how much
// memory the server had at most, in MiB.
async function flood(server, writer, from, to, send = (n) => ["message", { room: "lobby", data: { n, body: BODY } }]) {
  const took = [];
  let [next, most] = [from, 0];
  const lane = async () => {
    while (next <= to) {
      const n = next++;
      const began = performance.now();
      await writer.ok(...send(n));
      took.push(performance.now() - began);
      if (n % 20 === 0) most = Math.max(most, await server.memory());
    }
  };
  await Promise.all(upTo(4).map(lane));
  return { took, most: Math.max(most, await server.memory()) };
}

test(`a client that stops reading while ${MEGABYTES} MB pass costs little, delays nobody, and recovers it all`, async (t) => {
  const server = await serve(t, { ...OPTIONS, "limits-stall": "2s" });
  const writer = await open(t, server, { user: "writer" });
  const [reader, slow] = await Promise.all(["reader", "slow"].map((user) => member(t, server, { user })));
  // While all read, the server's memory grows to what such a flood takes, the database's caches included.
  const warm = 800;
  const before = await flood(server, writer, 1, warm);
  for (const raw of [reader, slow]) await hears(raw, warm);
  // So do those that read the log.
  await writer.history("lobby", 20);
  before.most = Math.max(before.most, await server.memory());

  slow.socket.pause();
  const last = warm + MESSAGES;
  const { took, most } = await flood(server, writer, warm + 1, last);
  await hears(reader, last);
  assert.deepEqual(numbers(reader), upTo(last));
  const [growth, slowest] = [most - before.most, Math.max(...took)];
  const measured = `${growth.toFixed(1)} MiB more, an ack took ${slowest.toFixed(0)} ms at most`;
  t.diagnostic(measured);
  assert.ok(growth < 10, measured);
  assert.ok(slowest < 1_500, `an ack waited for the slow client: ${measured}`);

  await eventually(async () => (await closings(server, "slow")) === 1, "it was not closed as slow");
  slow.socket.resume();
  await slow.ended();
  const { offset } = messages(slow).at(-1);
  const back = await member(t, server, { user: "slow", pid: slow.pid, offset });
  assert.equal(back.pid, slow.pid, "it is recovered");
  await writer.ok("message", { room: "lobby", data: { n: last + 1 } });
  await hears(back, last + 1);
  assert.deepEqual([...numbers(slow), ...numbers(back)], upTo(last + 1));
  assert.equal(await closings(server, "slow"), 1, "what it had missed did not make it slow again");
});

test("over /ws a client that stops reading costs bounded memory, delays nobody, and is closed with 4008", async (t) => {
  const server = await serve(t, { ...OPTIONS, "limits-stall": "2s" });
  const writer = await open(t, server, { user: "writer" });
  const [reader, slow] = await Promise.all(["reader", "slow"].map((user) => peer(t, server, { user, room: "lobby" })));
  const has = (client, n) => client.frames.until(() => client.of("text").length === n, `${n} texts`, LIMIT);
  const before = await flood(server, writer, 1, 400);
  for (const client of [reader, slow]) await has(client, 400);
  slow.socket.pause();
  const { took, most } = await flood(server, writer, 401, 900);
  await has(reader, 900);
  await eventually(async () => (await closings(server, "slow")) === 1, "it was not closed as slow");
  const slowest = Math.max(...took);
  assert.ok(most - before.most < 12, `${(most - before.most).toFixed(1)} MiB more`);
  assert.ok(slowest < 1_500, `an ack took ${slowest.toFixed(0)} ms`);
  slow.socket.resume();
  const { code } = await slow.ended();
  // The code is there if the peer's system still had room for it.
  assert.ok(code === 4008 || code === 1006, `${code}`);
  const last = slow.of("text").at(-1);
  const back = await peer(t, server, { user: "slow" });
  const { messages } = await back.ok("history", { room: "lobby", data: { after: last.seq, limit: 1 } });
  assert.equal(messages[0].seq, last.seq + 1, "it can go on where it was");
});

test("a client that reads nothing is closed even if it may stall for ever", async (t) => {
  const server = await serve(t, { ...OPTIONS, "limits-outbox-bytes": "128KiB", "limits-stall": "1h" });
  const writer = await open(t, server, { user: "writer" });
  const slow = await member(t, server, { user: "slow" });
  slow.socket.pause();
  let over = false;
  const flooding = (async () => {
    // Enough to fill what the two systems hold for a connection, and more.
    for (let n = 1; !over && n <= 320; n += 20) await flood(server, writer, n, n + 19);
  })();
  await eventually(async () => (await closings(server, "slow")) === 1, "it was not closed as slow");
  over = true;
  await flooding;
});

test("a client that reads slowly is not closed, and has everything", async (t) => {
  // Longer than it takes to sip the system's receive buffer, of some megabytes, empty: until then the server cannot write.
  const server = await serve(t, { ...OPTIONS, "limits-outbox-bytes": "256KiB", "limits-stall": "10s" });
  const writer = await open(t, server, { user: "writer" });
  const reader = await member(t, server, { user: "reader" });
  // A message or two now and then.
  reader.socket.on("message", () => reader.socket.pause());
  const sips = setInterval(() => reader.socket.resume(), 10);
  t.after(() => clearInterval(sips));
  const last = 300;
  await flood(server, writer, 1, last);
  const behind = last - numbers(reader).length;
  await hears(reader, last);
  assert.deepEqual(numbers(reader), upTo(last));
  assert.equal(await closings(server, "slow"), 0);
  t.diagnostic(`${behind} of ${last} were still to come when the last was stored`);
});

test("a client that asks for much history and does not read it stays bounded", async (t) => {
  const server = await serve(t, { ...OPTIONS, "limits-stall": "3s" });
  const writer = await open(t, server, { user: "writer" });
  await flood(server, writer, 1, 40);
  const greedy = await rawClient(t, server, { user: "greedy" });
  // While it reads, the server's memory grows to what answering takes.
  for (let i = 301; i <= 310; i += 1) greedy.send(`42${i}["history",{"room":"lobby","after":0,"limit":1000}]`);
  await greedy.frame("43310");
  const before = await server.memory();
  greedy.socket.pause();
  for (let i = 1; i <= 300; i += 1) greedy.send(`42${i}["history",{"room":"lobby","after":0,"limit":1000}]`);
  let most = 0;
  await eventually(async () => {
    most = Math.max(most, await server.memory());
    return (await closings(server, "slow")) === 1;
  }, "it was not closed as slow");
  assert.ok(most - before < 30, `${(most - before).toFixed(1)} MiB more`);
  await writer.ok("message", { room: "lobby", data: "others go on" });
});

test("a client that is behind may miss ephemeral events, and gets the newest of those where only that counts", async (t) => {
  const server = await serve(t, { ...OPTIONS, "limits-newest": "cursor" });
  const [bob, carol] = await Promise.all(["bob", "carol"].map((user) => open(t, server, { user })));
  for (const client of [bob, carol]) await client.ok("join", "lobby");
  const slow = await rawClient(t, server, { user: "slow" }, {
    note: (frame) => (frame.startsWith('42["blob"') ? `blob ${frame.length}` : frame),
  });
  slow.send('421["join",{"room":"lobby"}]');
  await slow.frame("431");
  await carol.ok("typing", { room: "lobby", typing: true });
  await slow.frame('42["typing"');
  const blob = (n) => ["publish", { room: "lobby", event: "blob", data: { n, body: BODY }, ephemeral: true }];
  const before = await flood(server, bob, 1, 100, blob);
  await bob.ok("message", { room: "lobby", data: "warm" });
  await slow.frame('42["message"');

  slow.socket.pause();
  const { most } = await flood(server, bob, 101, 500, blob);
  assert.ok(most - before.most < 10, `${(most - before.most).toFixed(1)} MiB more`);
  const last = 100;
  for (const n of upTo(last)) {
    for (const client of [bob, carol]) {
      await client.ok("publish", { room: "lobby", event: "cursor", data: n, ephemeral: true });
    }
  }
  await carol.ok("typing", { room: "lobby", typing: false });
  await bob.ok("message", { room: "lobby", data: "kept" });

  slow.socket.resume();
  const of = (user) => slow.events("cursor").filter(([, { from }]) => from.user === user).map(([n]) => n);
  const newest = () => ["bob", "carol"].every((user) => of(user).at(-1) === last);
  await slow.frames.until(newest, "the newest cursor of each", LIMIT);
  await slow.frames.until(() => slow.events("message").length === 2, "the message");
  await slow.frames.until(() => slow.events("typing").at(-1)[0].typing === false, "the newest typing");
  for (const user of ["bob", "carol"]) {
    const came = of(user);
    assert.deepEqual(came, [...new Set(came)].sort((a, b) => a - b), `${user}'s in order, none twice`);
  }
  assert.deepEqual(slow.events("message").map(([message]) => message.data), ["warm", "kept"]);
  const blobs = slow.frames.items.filter((frame) => frame.startsWith("blob")).length;
  assert.ok(blobs < 500, "what it could not take in time was let go");
  assert.equal(await closings(server, "slow"), 0);

  // It is no longer behind, so it has all again.
  await bob.ok(...blob(501));
  await within(
    slow.frames.until((frames) => frames.filter((frame) => frame.startsWith("blob")).length > blobs, "a new one"),
    () => "an ephemeral event did not come",
  );
});
