// Bad input: whatever comes over the wire, the server lives, its memory stays bounded and others are served.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { closings, http, pollingSession, Raw, rawClient } from "./support/raw.mjs";
import { eventually, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

// What no amount of bad input may take, in MiB on top of what the server had before.
const ROOM_TO_GROW = 150;

// A server that has to be well after the test: alive, small, and of use to every kind of client.
async function sturdy(t, options) {
  const server = await serve(t, options);
  await open(t, server, { user: "warm-up" });
  const before = await server.memory();
  const well = async () => {
    assert.ok(server.alive(), server.log);
    const after = await server.memory();
    assert.ok(after < before + ROOM_TO_GROW, `memory grew from ${before} to ${after} MiB`);
    for (const [v, mode] of [[2, "polling"], [3, "websocket"], [4, "upgrade"]]) {
      const client = await open(t, server, { v, mode, user: "fresh" });
      const received = client.on("message");
      await client.ok("join", "well");
      await client.ok("message", { room: "well", data: v });
      await received.count(1);
      client.close();
    }
  };
  return { server, well };
}

const GARBAGE = [
  "",
  "4",
  "42",
  "42[",
  '42["',
  '42["message"',
  '42["message",{"room":',
  "42{}",
  "42[]",
  "42[1]",
  "42[null,1]",
  '42[["message"]]',
  "42\u0000",
  '42-1["join","r"]',
  '4299999999999999999999["join","r"]',
  '42/["join","r"]',
  '42/nowhere,["join","r"]',
  "43",
  "431[1]",
  "4399999999999999999999[]",
  "44{}",
  "45",
  "451-",
  '451-["draw",{"_placeholder":true,"num":0}]',
  '45999999999-["draw",{"_placeholder":true,"num":0}]',
  '451-["draw",{"_placeholder":true,"num":7}]',
  "46",
  "47",
  "49",
  "40",
  "40{",
  "40/,",
  "40[]",
  "41",
  "5",
  "6",
  "7",
  "9",
  "x",
  "2probe",
  "0{}",
  "\u{1f980}",
  "4\u{1f980}",
  "z".repeat(10_000),
];

test("broken, partial and meaningless packets harm no other client", async (t) => {
  const { server, well } = await sturdy(t, { "socketio-relay": "draw" });
  const bystander = await open(t, server, { user: "bystander" });
  await bystander.ok("join", "lobby");
  for (const frame of GARBAGE) {
    const raw = await rawClient(t, server);
    raw.send(frame);
    if (frame === "41") {
      // It has left, and what it sends now goes nowhere until it comes back.
      raw.send("40{}");
      await raw.frames.until((frames) => frames.filter((each) => each.startsWith?.("40{")).length === 2);
    }
    raw.send('427["join",{"room":"lobby"}]');
    // Either the connection goes on, or it is closed; never neither.
    await within(
      Promise.race([raw.closed, raw.frame("437[").catch(() => new Promise(() => {}))]),
      () => `after ${JSON.stringify(frame.slice(0, 60))} there was neither an answer nor a close`,
    );
    raw.socket.terminate();

    const early = new Raw(t, server);
    await early.frame("0{");
    early.send(frame);
    early.socket.terminate();
  }
  await bystander.ok("message", { room: "lobby", data: "undisturbed" });
  await well();
});

test("the same garbage over polling gets a response and harms no other client", async (t) => {
  const { server, well } = await sturdy(t);
  for (const eio of [3, 4]) {
    for (const packet of GARBAGE) {
      const sid = await pollingSession(server, eio);
      const body = eio === 3 ? `${packet.length}:${packet}` : packet;
      const { status } = await http(server, `/socket.io/?EIO=${eio}&transport=polling&sid=${sid}`, { method: "POST", body });
      assert.ok(status === 200 || (status >= 400 && status < 500), `${status} for ${JSON.stringify(packet.slice(0, 60))}`);
    }
  }
  for (const body of ["5:4", "-1:4", "99999999999:4", ":", "a:4", "2:4\u{1f980}", "\u001e\u001e\u001e", "bAAAA", "b====="]) {
    for (const eio of [3, 4]) {
      const sid = await pollingSession(server, eio);
      const { status } = await http(server, `/socket.io/?EIO=${eio}&transport=polling&sid=${sid}`, { method: "POST", body });
      assert.ok(status === 200 || (status >= 400 && status < 500), `${status} for ${JSON.stringify(body)}`);
    }
  }
  await well();
});

test("binary frames where text is expected harm no other client", async (t) => {
  const { server, well } = await sturdy(t, { "socketio-relay": "draw" });
  for (const bytes of [Buffer.alloc(0), Buffer.from([0]), Buffer.from('42["join","r"]'), Buffer.alloc(50_000, 0xff)]) {
    const raw = await rawClient(t, server);
    for (let i = 0; i < 20; i += 1) raw.send(bytes);
    raw.socket.close();
    await raw.ended();
  }
  // Attachments announced and never sent, or another packet in their place.
  const raw = await rawClient(t, server);
  raw.send('453-["draw",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]');
  raw.send(Buffer.from([1]));
  raw.send('42["join","r"]');
  raw.send(Buffer.from([2]));
  await well();
});

test("a payload beyond every limit is refused or ends its connection", async (t) => {
  const { server, well } = await sturdy(t);
  for (let i = 0; i < 5; i += 1) {
    const raw = await rawClient(t, server);
    raw.send(`421["message",{"room":"lobby","data":"${"x".repeat(30_000_000)}"}]`);
    await within(
      Promise.race([raw.closed, raw.frame('431[{"ok":false').catch(() => new Promise(() => {}))]),
      () => "30 MB were neither refused nor ended the connection",
    );
    raw.socket.terminate();
  }
  const sid = await pollingSession(server);
  const posted = await http(server, `/socket.io/?EIO=4&transport=polling&sid=${sid}`, {
    method: "POST",
    body: "4".repeat(30_000_000),
  }).catch((error) => ({ status: error.code }));
  // The server may answer, or stop reading and close while the rest is still being sent.
  assert.ok([400, 413, "ECONNRESET", "EPIPE"].includes(posted.status), `${posted.status}`);
  const huge = await http(server, `/socket.io/?EIO=4&transport=polling&x=${"y".repeat(1_000_000)}`).catch((error) => ({
    status: error.code,
  }));
  assert.ok([400, 413, 414, 431, "ECONNRESET", "EPIPE"].includes(huge.status), `${huge.status}`);
  await well();
});

test("data nested 10,000 deep is refused, wherever it stands", async (t) => {
  const { server, well } = await sturdy(t);
  const deep = "[".repeat(10_000) + "]".repeat(10_000);
  const deepObject = '{"a":'.repeat(10_000) + "1" + "}".repeat(10_000);
  for (const data of [deep, deepObject]) {
    for (const frame of [
      `421["message",{"room":"lobby","data":${data}}]`,
      `421["publish",{"room":"lobby","event":"e","data":${data},"ephemeral":true}]`,
      `421["join",${data}]`,
      `421["nonsense",${data}]`,
    ]) {
      const raw = await rawClient(t, server);
      raw.send(frame);
      const answer = await Promise.race([raw.ended().then(() => "closed"), raw.frame("431[")]);
      assert.ok(answer === "closed" || answer.startsWith('431[{"ok":false'), answer.slice(0, 200));
      raw.socket.terminate();
    }
    const raw = new Raw(t, server);
    await raw.frame("0{");
    raw.send(`40${data}`);
  }
  await well();
});

test("10,000 packets in one request are handled or refused, and their session ends or works", async (t) => {
  const { server, well } = await sturdy(t, { ...UNLIMITED, "socketio-max-payload": 1_000_000 });
  const sid = await pollingSession(server);
  const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  assert.equal((await http(server, path, { method: "POST", body: "40" })).status, 200);
  const packets = upTo(10_000).map((i) => `42${i}["leave",{"room":"r"}]`);
  const { status } = await http(server, path, { method: "POST", body: packets.join("\u001e") });
  assert.ok([200, 400, 413, 429].includes(status), `${status}`);
  await well();
});

test("connects to thousands of unknown namespaces are refused and take no memory", async (t) => {
  const { server, well } = await sturdy(t);
  const raw = await rawClient(t, server);
  const n = 5000;
  for (let i = 0; i < n; i += 1) raw.send(`40/nowhere-${i}-${"x".repeat(100)},`);
  raw.send('427["join",{"room":"lobby"}]');
  await within(
    Promise.race([raw.closed, raw.frame("437[").catch(() => new Promise(() => {}))]),
    () => "neither an answer nor a close",
  );
  await well();
});

test("requests that are not Engine.IO get a client error", async (t) => {
  const { server, well } = await sturdy(t);
  const sid = await pollingSession(server);
  const requests = [
    ["/socket.io/?EIO=4"],
    ["/socket.io/?EIO=2&transport=polling"],
    ["/socket.io/?EIO=5&transport=polling"],
    ["/socket.io/?EIO=x&transport=polling"],
    ["/socket.io/?EIO=4&transport=carrier-pigeon"],
    ["/socket.io/?EIO=4&transport=websocket"],
    ["/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA"],
    ["/socket.io/?EIO=4&transport=polling&sid=%00%ff"],
    ["/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", { method: "POST", body: "40" }],
    ["/socket.io/?EIO=4&transport=polling", { method: "POST", body: "40" }],
    [`/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: "PUT", body: "40" }],
    ["/socket.io/?EIO=4&transport=polling", { method: "DELETE" }],
  ];
  for (const [path, options] of requests) {
    const { status } = await http(server, path, options);
    assert.ok(status >= 400 && status < 500, `${options?.method ?? "GET"} ${path} was answered ${status}`);
  }
  for (const path of [
    "/socket.io/?EIO=9&transport=websocket",
    "/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA",
  ]) {
    const { status } = await new Raw(t, server, { path }).ended();
    assert.ok(status >= 400 && status < 500, `${path} was answered ${status}`);
  }
  await well();
});

test("bytes that are not HTTP, silent connections and half requests harm no other client", async (t) => {
  const { server, well } = await sturdy(t);
  const sockets = [];
  for (const bytes of ["", "\u0000\u0001\u0002", "GET", "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n", "\r\n\r\n".repeat(100)]) {
    for (let i = 0; i < 20; i += 1) {
      const socket = connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(bytes);
      sockets.push(socket);
    }
  }
  await well();
  for (const socket of sockets) socket.destroy();
});

test("a member that stops reading is closed as slow, costs bounded memory and delays nobody", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-buffer": 256, "history-messages": 100, "history-hot-bytes": "8 MiB" });
  const before = await server.memory();
  const stalled = await rawClient(t, server, { user: "stalled" });
  stalled.send('421["join",{"room":"lobby"}]');
  await stalled.frame("431");
  stalled.socket.pause();
  const reader = await open(t, server, { user: "reader" });
  const writer = await open(t, server, { user: "writer" });
  let received = 0;
  reader.socket.on("message", () => (received += 1));
  await reader.ok("join", "lobby");

  // 80 MB: more than may be kept for one that does not read.
  const [total, most] = [1600, 60];
  const data = "x".repeat(50_000);
  for (let sent = 0; sent < total; ) {
    await Promise.all(upTo(50).map(() => writer.ok("message", { room: "lobby", data })));
    sent += 50;
    await eventually(() => received === sent, `the member that reads has ${received} of ${sent}`);
  }
  const after = await server.memory();
  assert.ok(after < before + most, `memory grew from ${before} to ${after} MiB`);
  await eventually(async () => (await closings(server, "slow")) === 1, "it was not closed as slow", 30_000);
  stalled.socket.resume();
  await stalled.ended();
  assert.ok(stalled.frames.items.length < total, "it was not sent everything");
});

test("hundreds of connections that come and go leave nothing behind", async (t) => {
  const { server, well } = await sturdy(t, UNLIMITED);
  for (let round = 0; round < 10; round += 1) {
    await Promise.all(
      upTo(30).map(async (i) => {
        const raw = await rawClient(t, server, { user: `u${i}` });
        raw.send(`421["join",{"room":"round${round}"}]`);
        await raw.frame("431");
        raw.socket.terminate();
      }),
    );
  }
  const client = await open(t, server, { user: "last" });
  const { members } = await client.ok("join", "round9");
  assert.ok(members.count >= 1);
  await well();
});
