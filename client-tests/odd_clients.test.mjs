// What clients, proxies and libraries do that is rare and right, or wrong and common: it works, or is refused with a reason.

import assert from "node:assert/strict";
import { connect } from "node:http2";
import { connect as tcp } from "node:net";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import WebSocket from "ws";
import { MATRIX, open } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { http, pollingSession, rawClient } from "./support/raw.mjs";
import { defer, eventually, Journal, within } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { call, isRefusal } from "./support/web.mjs";

const PATHS = ["/ws/lobby?user=alice", "/socket.io/?EIO=4&transport=websocket"];

// Sends text over TCP; resolves to what has come once `enough` of it is there. `more` is written when `after` has come.
function talk(t, server, text, enough, after, more) {
  const socket = tcp(server.port, "127.0.0.1");
  defer(t, () => socket.destroy());
  let [got, sent] = ["", false];
  const come = new Promise((resolve, reject) => {
    socket.on("error", reject).on("data", (data) => {
      got += data.toString("latin1");
      if (after && !sent && after.test(got)) sent = socket.write(more) || true;
      if (enough.test(got)) resolve(got);
    });
  });
  socket.write(text);
  return within(come, () => `not enough came: ${got}`);
}

for (const lines of [
  ["Connection: keep-alive, Upgrade", "Upgrade: websocket"],
  ["connection: upgrade", "upgrade: WEBSOCKET"],
  ["Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"],
]) {
  test(`a WebSocket is upgraded by ${lines.join(" + ")}`, async (t) => {
    const server = await serve(t);
    for (const path of PATHS) {
      const head = [`GET ${path} HTTP/1.1`, `Host: ${server.address}`, ...lines, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"];
      const answer = await talk(t, server, `${head.join("\r\n")}\r\n\r\n`, /\r\n\r\n/);
      assert.match(answer, /^HTTP\/1\.1 101 /, path);
    }
  });
}

for (const how of ["chunked", "with a length"]) {
  test(`a body that waits for 100 Continue arrives, ${how}`, async (t) => {
    const server = await serve(t);
    const polling = `/socket.io/?EIO=4&transport=polling&sid=${await pollingSession(server)}`;
    for (const [path, body] of [[polling, '40{"user":"alice"}'], ["/v1/rooms/lobby/messages?user=alice", '{"data":1}']]) {
      const size = how === "chunked" ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
      const head = [`POST ${path} HTTP/1.1`, `Host: ${server.address}`, "Content-Type: application/json", "Expect: 100-continue", size];
      const more = how === "chunked" ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
      await talk(t, server, `${head.join("\r\n")}\r\n\r\n`, /HTTP\/1\.1 20[01] /, /100 Continue\r\n\r\n/, more);
    }
  });
}

test("a compressed body is refused with its reason", async (t) => {
  const server = await serve(t);
  const headers = { "content-type": "application/json", "content-encoding": "gzip" };
  const answer = await call(server, "POST", "/v1/rooms/lobby/messages", { user: "alice", raw: gzipSync('{"data":1}'), headers });
  assert.match(isRefusal(answer, 415, "bad_request").message, /content-encoding/);
});

for (const path of PATHS) {
  test(`a client's pings get pongs, also between the fragments of a frame, on ${path}`, async (t) => {
    const server = await serve(t);
    const socket = new WebSocket(server.url.replace("http", "ws") + path);
    defer(t, () => socket.terminate());
    const [pongs, said] = [new Journal("pongs"), new Journal("frames")];
    socket.on("pong", (data) => pongs.add(data.toString())).on("message", (data) => said.add(data.toString()));
    await within(new Promise((resolve) => socket.once("open", resolve)), () => "it does not open");
    const longest = "x".repeat(125);
    for (const ping of ["one", "", longest]) socket.ping(ping);
    socket.pong("that nobody asked for");
    const [text, answer] = path.startsWith("/ws") ? ['{"type":"text","id":"m1","data":1}', '"ack"'] : ['40{"user":"alice"}', "40{"];
    socket.send(text.slice(0, 5), { fin: false });
    socket.ping("between");
    socket.send(text.slice(5, 9), { fin: false });
    socket.send(text.slice(9), { fin: true });
    await said.until((frames) => frames.some((frame) => frame.includes(answer)), answer);
    assert.deepEqual(await pongs.count(4), ["one", "", longest, "between"]);
  });
}

test("a client that polls over HTTP/2 lives on", async (t) => {
  const server = await serve(t, { "socketio-ping-interval": "200ms", "socketio-ping-timeout": "1s" });
  const session = connect(server.url);
  defer(t, () => session.destroy());
  const ask = (path, body) => {
    const asked = session.request({ ":path": path, ":method": body ? "POST" : "GET", "content-type": "text/plain" });
    let text = "";
    const answered = new Promise((resolve, reject) => {
      asked.setEncoding("utf8").on("data", (more) => (text += more)).on("error", reject).on("end", () => resolve(text));
    });
    asked.end(body);
    return within(answered, () => `no answer to ${path}`);
  };
  const { sid } = JSON.parse((await ask("/socket.io/?EIO=4&transport=polling")).slice(1));
  const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  await ask(path, '40{"user":"alice"}');
  let pings = 0;
  while (pings < 10) {
    for (const packet of (await ask(path)).split("\x1e")) {
      assert.match(packet, /^(2|40\{.*|42\[.*)$/s);
      if (packet !== "2") continue;
      pings += 1;
      await ask(path, "3");
    }
  }
});

test("responses do not cross when polling sessions share connections", async (t) => {
  const server = await serve(t);
  const post = (path, body) => http(server, path, { method: "POST", body });
  const sessions = await Promise.all([1, 2, 3].map(async (n) => {
    const path = `/socket.io/?EIO=4&transport=polling&sid=${await pollingSession(server)}`;
    await post(path, `40{"user":"user${n}"}`);
    let text = "";
    while (!text.includes('"session"')) text += (await http(server, path)).body;
    assert.ok(text.includes(`"user":"user${n}"`), text);
    return { n, path };
  }));
  for (let turn = 0; turn < 10; turn += 1) {
    const { n, path } = sessions[turn % 3];
    // One after another: a session ends where they overlap, as with Socket.IO's own server.
    for (const i of [0, 1, 2, 3]) await post(path, `42${turn}${i}["history",{"room":"room${n}"}]`);
    const acks = new Set();
    while (acks.size < 4) {
      for (const [, id, room] of (await http(server, path)).body.matchAll(/43(\d+)\[\{"ok":true,"room":"(room\d)"/g)) {
        assert.equal(room, `room${n}`);
        acks.add(id);
      }
    }
  }
});

test("a client that was idle for longer than the recovery window is recovered, and often, with nothing twice", async (t) => {
  const server = await serve(t, { "recovery-window": "1s" });
  const [alice, writer] = await Promise.all(["alice", "writer"].map((user) => open(t, server, { user })));
  await alice.ok("join", "lobby");
  const began = Date.now();
  await eventually(() => Date.now() - began > 2_000, "time does not pass");
  const heard = alice.on("message");
  for (let n = 2; n < 7; n += 1) {
    const back = alice.session(n);
    alice.socket.io.engine.close();
    if (n === 2) await writer.ok("message", { room: "lobby", data: "missed" });
    await back;
    assert.equal(alice.socket.recovered, true, `return ${n}`);
  }
  await writer.ok("join", "lobby");
  await settled(writer, [alice]);
  assert.deepEqual(heard.items.map(([{ data }]) => data), ["missed"]);
});

for (const { v, mode } of MATRIX.filter(({ mode }) => mode !== "upgrade")) {
  test(`a relayed event has no more attachments than client ${v} over ${mode} takes`, async (t) => {
    const server = await serve(t, { "socketio-relay": "draw" });
    const sender = await rawClient(t, server, { user: "sender" });
    const receiver = await open(t, server, { v, mode, user: "receiver" });
    await receiver.ok("join", "board");
    sender.send('421["join",{"room":"board"}]');
    await sender.frame("431");
    const drawn = receiver.on("draw");
    const draw = (id, count) => {
      const places = Array.from({ length: count }, (_, num) => ({ _placeholder: true, num }));
      sender.send(`45${count}-${id}["draw",${JSON.stringify(places)}]`);
      for (let i = 0; i < count; i += 1) sender.send(Buffer.from([i]));
      return sender.frame(`43${id}`);
    };
    assert.match(await draw(2, 11), /"too_large"/);
    // Client 2 does not read attachments that it polls.
    const most = v === 2 && mode === "polling" ? 0 : 10;
    assert.match(most > 0 ? await draw(3, most) : '"ok":true', /"ok":true/);
    sender.send('424["draw",1]');
    await drawn.until((items) => items.some(([value]) => value === 1), "the last event");
    assert.equal(drawn.items.length, most > 0 ? 2 : 1);
    if (most > 0) assert.equal(drawn.items[0][0].length, most);
    assert.equal(receiver.socket.connected, true);
  });
}
