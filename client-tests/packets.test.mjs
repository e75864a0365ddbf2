// Every packet that Socket.IO allows is taken, what means nothing is passed over, and what is malformed closes its client
// with a code that says why.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { closings, http, pollingSession, rawClient } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const NAMES = "größe,日本,a/b,say,42,1.5,-7,1e+21";

test("an event's name may be any string, with any escapes, or a number", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "socketio-relay": NAMES });
  const listener = await open(t, server, { user: "listener" });
  const heard = [];
  listener.socket.onAny((name, ...args) => name !== "session" && heard.push([name, ...args]));
  const raw = await rawClient(t, server);
  const written = [
    ['"gr\\u00f6\\u00dfe"', "größe"],
    ['"\\u65e5\\u672c"', "日本"],
    ['"a\\/b"', "a/b"],
    ['"s\\u0061y"', "say"],
    ["42", "42"],
    ["1.5", "1.5"],
    ["-7", "-7"],
    ["1e21", "1e+21"],
  ];
  for (const [i, [name]] of written.entries()) {
    raw.send(`42${i}[${name},${i}]`);
    assert.equal(await raw.frame(`43${i}[`), `43${i}[{"ok":true}]`);
  }
  await eventually(() => heard.length === written.length, "every event is relayed");
  assert.deepEqual(heard, written.map(([, name], i) => [name, i]));
  // Of the contract, too; and names that nothing listens to are answered, whatever is in them.
  raw.send('4250["j\\u006fin","lobby"]');
  assert.match(await raw.frame("4350["), /"ok":true,"room":"lobby"/);
  for (const [i, name] of ['"say \\"hi\\""', '"a\\\\b"', '"a\\nb"', '"\\u0000"', '"switchboard:raw"', "7"].entries()) {
    raw.send(`42${60 + i}[${name},1]`);
    assert.match(await raw.frame(`43${60 + i}[`), /"ok":false,"error":\{"code":"not_found"/);
  }
  raw.send('42["say \\"hi\\"",1]');
  const error = JSON.parse((await raw.frame('42["error"')).slice(2))[1];
  assert.deepEqual([error.event, error.code], ['say "hi"', "not_found"]);
});

test("clients of every kind send events named by numbers as soon as they are connected, and stay", async (t) => {
  const server = await serve(t, { "socketio-relay": "1" });
  for (const { v, mode } of [2, 3, 4].flatMap((v) => ["polling", "websocket"].map((mode) => ({ v, mode })))) {
    const client = await open(t, server, { v, mode });
    assert.deepEqual(await client.ask(1, "hello"), { ok: true });
    assert.equal(client.sessions.items.length, 1);
    client.close();
  }
});

test("packets that mean nothing to a server are passed over", async (t) => {
  const server = await serve(t);
  const raw = await rawClient(t, server);
  const passedOver = ["0{}", "5", "6", "44{}", "43", '43["no id"]', '4399[1]', "2probe", "3probe", "40{}", '42/chat,["nowhere"]'];
  for (const packet of passedOver) raw.send(packet);
  raw.send('421["join","lobby"]');
  assert.match(await raw.frame("431["), /"ok":true/);
  const sid = await pollingSession(server);
  const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  const { status, body } = await http(server, path, { method: "POST", body: passedOver.join("\u001e") });
  assert.deepEqual([status, body], [200, "ok"]);
});

test("an event with invalid JSON gets an error, and its connection stays open", async (t) => {
  const server = await serve(t);
  const raw = await rawClient(t, server);
  for (const [i, payload] of ["[", '["join",]', '["join"', "[null]", "[[]]", '["a"]["b"]', ""].entries()) {
    raw.send(`421${i}${payload}`);
    assert.match(await raw.frame(`431${i}[`), /"ok":false,"error":\{"code":"bad_request"/, payload);
  }
});

test("a malformed packet closes its client with a code, and one log line says why", async (t) => {
  const server = await serve(t, { "socketio-max-payload": 100_000 });
  const notUtf8 = Buffer.from([0x34, 0xff]);
  let closed = 0;
  for (const [code, message, options] of [
    [1002, "abc"],
    [1002, ""],
    [1002, "4abc"],
    [1002, "42{}"],
    [1002, '42abc["message-to-server",1,2,3]'],
    [1002, "40[]"],
    [1002, Buffer.from([1])],
    [1007, notUtf8, { binary: false }],
    [1009, "x".repeat(100_001)],
    [1009, "x".repeat(3_000_000)],
  ]) {
    const raw = await rawClient(t, server);
    raw.socket.send(message, options ?? {});
    assert.deepEqual(await raw.ended(), { code }, String(message).slice(0, 40));
    closed += 1;
    const said = () => server.log.match(/a connection is closed by the server/g)?.length === closed;
    await eventually(said, `${closed} lines in the log`);
  }
  assert.equal(await closings(server, "malformed"), 8);
  assert.equal(await closings(server, "too_large"), 2);
});

test("a malformed packet in a payload ends the session, after the packets before it were handled", async (t) => {
  const server = await serve(t, { "socketio-max-payload": 100_000 });
  for (const [expected, eio, body] of [
    [400, 4, "abc"],
    [400, 3, "3:abc"],
    [400, 3, "abc"],
    [400, 4, '40{}\u001e42["join","lobby"]\u001e4x'],
    [413, 4, "x".repeat(100_001)],
  ]) {
    const sid = await pollingSession(server, eio);
    const path = `/socket.io/?EIO=${eio}&transport=polling&sid=${sid}`;
    const { status } = await http(server, path, { method: "POST", body });
    assert.equal(status, expected, body.slice(0, 40));
    assert.equal((await http(server, path)).status, 400, "the session has ended");
  }
});

test("binary that is written in base64 arrives, over either transport", async (t) => {
  const server = await serve(t, { "socketio-relay": "draw" });
  const bytes = Buffer.from([0, 1, 0x1e, 0x62, 255, 128, 10, 13]);
  const listener = await open(t, server, { user: "listener" });
  const drawn = listener.on("draw");
  let sent = 0;
  for (const v of [2, 3, 4]) {
    for (const mode of ["polling", "websocket"]) {
      const client = await open(t, server, { v, mode, forceBase64: true });
      client.socket.emit("draw", { deep: [bytes] }, bytes, Buffer.alloc(0), v);
      const [deep, whole, empty, from] = (await drawn.count((sent += 1))).at(-1);
      assert.deepEqual([deep.deep[0], whole, empty, from], [bytes, bytes, Buffer.alloc(0), v], `client ${v} over ${mode}`);
      client.close();
    }
  }
});

test("an event with too many attachments gets an error, and its connection stays open", async (t) => {
  const server = await serve(t, { "socketio-relay": "draw", "socketio-max-payload": 100_000 });
  for (const { v, mode } of [{ v: 4, mode: "websocket" }, { v: 4, mode: "polling" }, { v: 2, mode: "websocket" }]) {
    const client = await open(t, server, { v, mode });
    const many = Array.from({ length: 65 }, () => Buffer.from([1]));
    const { error } = await client.ask("draw", ...many);
    assert.equal(error.code, "too_large");
    assert.match(error.message, /64 binary attachments, this one has 65/);
    if (mode === "websocket") {
      const heavy = await client.ask("draw", Buffer.alloc(60_000), Buffer.alloc(60_000));
      assert.equal(heavy.error.code, "too_large");
    }
    assert.deepEqual(await client.ask("draw", ...many.slice(0, 10)), { ok: true });
    assert.equal(client.sessions.items.length, 1);
    client.close();
  }
});

test("a message in fragments, with a ping between them, is one message", async (t) => {
  const server = await serve(t);
  const raw = await rawClient(t, server);
  raw.socket.send('421["jo', { fin: false });
  raw.socket.ping();
  raw.socket.send('in","lob', { fin: false });
  raw.socket.send('by"]', { fin: true });
  assert.match(await raw.frame("431["), /"ok":true,"room":"lobby"/);
});
