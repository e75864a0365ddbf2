// How Engine.IO sessions begin: what their requests may look like, what is refused and how, and what comes first.

import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import { open } from "./support/clients.mjs";
import { http, pollingSession, Raw } from "./support/raw.mjs";
import { within } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { connect } from "node:net";

const POLLING = "/socket.io/?EIO=4&transport=polling";

// Sends bytes; what comes back until the server closes.
function exchange(server, text) {
  const answered = new Promise((resolve, reject) => {
    const socket = connect(server.port, "127.0.0.1", () => socket.write(text));
    let got = "";
    socket.setEncoding("latin1").on("data", (more) => (got += more));
    socket.on("error", reject);
    socket.on("end", () => resolve(got));
  });
  return within(answered, () => "no answer");
}

for (const v of [3, 4]) {
  test(`client ${v} that offers subprotocols is given the first`, async (t) => {
    const server = await serve(t);
    for (const mode of ["websocket", "upgrade"]) {
      const client = await open(t, server, { v, mode, user: "alice", protocols: ["my-app", "other"] });
      assert.equal(client.socket.io.engine.transport.ws.protocol, "my-app");
    }
  });
}

test("a plain WebSocket that offers subprotocols is given the first", async (t) => {
  const server = await serve(t);
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/ws/lobby?user=alice`, ["bearer", "abc.def"]);
  await within(new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject)), () => "not opened");
  assert.equal(socket.protocol, "bearer");
  socket.terminate();
});

test("a request that is not Engine.IO's gets the error code that clients know", async (t) => {
  const server = await serve(t);
  const cases = [
    ["/socket.io/", 0, "Transport unknown"],
    ["/socket.io/?EIO=4&transport=pigeon", 0, "Transport unknown"],
    [`${POLLING}&sid=AAAAAAAAAAAAAAAA`, 1],
    [`${POLLING}&sid=short`, 1, "Session ID unknown"],
    [POLLING, 2, "Bad handshake method", "POST"],
    ["/socket.io/?EIO=4&transport=websocket", 3, "Bad request"],
    ["/socket.io/?transport=polling", 5, "Unsupported protocol version"],
    ["/socket.io/?EIO=2&transport=polling", 5, "Unsupported protocol version"],
  ];
  for (const [path, code, message, method = "GET"] of cases) {
    const headers = { Origin: "http://localhost:8080" };
    const { status, body, headers: answer } = await http(server, path, { method, headers });
    assert.equal(status, 400, path);
    const error = JSON.parse(body);
    assert.equal(error.code, code, path);
    if (message) assert.equal(error.message, message, path);
    assert.equal(answer["access-control-allow-origin"], "http://localhost:8080", path);
  }
});

test("a session serves only requests of its own protocol version", async (t) => {
  const server = await serve(t);
  const sid = await pollingSession(server, 4);
  const { status, body } = await http(server, `/socket.io/?EIO=3&transport=polling&sid=${sid}`);
  assert.deepEqual([status, JSON.parse(body).code], [400, 3]);
});

test("a handshake may be written with percent-encoding, and an empty session is none", async (t) => {
  const server = await serve(t);
  for (const path of [
    "/socket.io/?%45IO=%34&transport=%70olling&sid=",
    "/socket.io/?EIO=9&transport=x&EIO=4&transport=polling",
    "/socket.io?EIO=4&transport=polling",
  ]) {
    const { status, body } = await http(server, path);
    assert.equal(status, 200, `${path}: ${body}`);
    const { sid } = JSON.parse(body.slice(1));
    const again = `/socket.io/?EIO=%34&transport=%70olling&s%69d=${sid.replace("A", "%41")}`;
    assert.equal((await http(server, again, { method: "POST", body: "40" })).body, "ok");
    assert.match((await http(server, again)).body, /^40\{/);
  }
});

test("a page that polls by JSONP sees an error instead of nothing", async (t) => {
  const server = await serve(t);
  const { status, body, headers } = await http(server, "/socket.io/?EIO=3&transport=polling&j=7&b64=1");
  assert.equal(status, 200, "browsers run no other script");
  assert.match(headers["content-type"], /javascript/);
  const told = [];
  const call = new Function("___eio", "console", body);
  call({ 7: (payload) => told.push(payload) }, { error: (text) => told.push(text) });
  assert.match(told[0], /JSONP/);
  assert.equal(told.length, 2);
});

test("polls are not to be stored by anything between", async (t) => {
  const server = await serve(t);
  const sid = await pollingSession(server);
  const path = `${POLLING}&sid=${sid}`;
  const answers = [await http(server, POLLING), await http(server, path, { method: "POST", body: "40" }), await http(server, path)];
  for (const { status, headers } of answers) assert.deepEqual([status, headers["cache-control"]], [200, "no-store"]);
});

test("120 header lines and a head of 16 KiB are taken, and far more is refused as too large", async (t) => {
  const server = await serve(t);
  const head = (lines, bytes) =>
    `GET ${POLLING} HTTP/1.1\r\nHost: ${server.address}\r\nConnection: close\r\n` +
    Array.from({ length: lines }, (_, i) => `X-${i}: ${"a".repeat(bytes / lines)}\r\n`).join("") + "\r\n";
  for (const [lines, bytes] of [[120, 2000], [4, 16 << 10], [120, 14 << 10]]) {
    assert.match(await exchange(server, head(lines, bytes)), /^HTTP\/1\.1 200 /, `${lines} lines, ${bytes} bytes`);
  }
  for (const [lines, bytes] of [[1000, 2000], [8, 200 << 10]]) {
    assert.match(await exchange(server, head(lines, bytes)), /^HTTP\/1\.1 431 /, `${lines} lines, ${bytes} bytes`);
  }
});

test("the first ping comes after a ping interval, not before the CONNECT reply, on every transport", async (t) => {
  const server = await serve(t, { "socketio-ping-interval": "700ms", "socketio-ping-timeout": "700ms" });
  const begun = Date.now();
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  const frames = [];
  let sent = false;
  const pinged = new Promise((resolve) =>
    socket.on("message", (data) => {
      frames.push(data.toString());
      if (!sent) socket.send("40");
      sent = true;
      if (frames.at(-1) === "2") resolve(Date.now() - begun);
    }),
  );
  assert.ok((await within(pinged, () => "no ping")) > 600, `${frames}`);
  assert.match(frames[0], /^0\{/);
  assert.match(frames[1], /^40\{/);
  socket.terminate();

  const sid = await pollingSession(server);
  const path = `${POLLING}&sid=${sid}`;
  await http(server, path, { method: "POST", body: "40" });
  assert.match((await http(server, path)).body, /^40\{/);
  let polled = "";
  while (!polled.split("\x1e").includes("2")) ({ body: polled } = await http(server, path));
  assert.ok(Date.now() - begun > 600);

  // And a client that answers its pings stays.
  const client = await open(t, server, { mode: "polling", user: "alice" });
  const other = await open(t, server, { mode: "websocket", user: "bob" });
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.deepEqual([client.sessions.items.length, other.sessions.items.length], [1, 1]);
});

test("a client that sends no pong is disconnected", async (t) => {
  const server = await serve(t, { "socketio-ping-interval": "200ms", "socketio-ping-timeout": "200ms" });
  const raw = new Raw(t, server);
  raw.socket.removeAllListeners("message");
  await raw.ended();
});
