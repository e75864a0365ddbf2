// Pacing: of clients that come all at once, more than the rate wait for their turn, and only those that would wait too long
// are asked to come later.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { open, start, upTo } from "./support/clients.mjs";
import { follow } from "./support/follow.mjs";
import { http, Raw } from "./support/raw.mjs";
import { eventually, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const PACED = { ...UNLIMITED, "limits-connects-per-second": 5, "limits-connects-burst": 5 };
const HANDSHAKE = "/socket.io/?EIO=4&transport=";

function isRefusedForNow({ status, headers, body }) {
  assert.equal(status, 503, body);
  assert.match(headers["retry-after"] ?? "", /^[1-9]\d*$/, "it is told when to come again, in seconds");
  const error = JSON.parse(body);
  assert.equal(error.code, "unavailable");
  assert.equal(typeof error.message, "string");
}

for (const transport of ["polling", "websocket"]) {
  test(`handshakes by ${transport} that would wait too long get 503 with Retry-After`, async (t) => {
    const server = await serve(t, { ...PACED, "limits-connects-wait": "1s" });
    const path = HANDSHAKE + transport;
    const answers = await Promise.all(
      upTo(30).map(() => {
        if (transport === "polling") return http(server, path);
        const raw = new Raw(t, server, { path });
        const accepted = new Promise((resolve) => raw.socket.once("open", () => resolve({ status: 101 })));
        return within(Promise.race([raw.closed, accepted]), () => "the handshake was not answered");
      }),
    );
    const refused = answers.filter(({ status }) => status !== 200 && status !== 101);
    const accepted = answers.length - refused.length;
    // The burst, those that waited a second, and what the rate lets in while thirty requests are answered.
    assert.ok(accepted >= 5 && accepted <= 20, `${accepted} of 30 got in at once`);
    refused.forEach(isRefusedForNow);
  });
}

test("stock clients that connect all at once are queued, and none is refused", async (t) => {
  const server = await serve(t, PACED);
  const began = Date.now();
  const modes = ["polling", "websocket", "upgrade"];
  const clients = upTo(30).map((i) => start(t, server, { mode: modes[i % 3], user: `user${i}` }));
  const failures = clients.map((client) => client.on("connect_error"));
  await Promise.all(clients.map((client) => client.session()));
  // Five at once, and 25 at five a second.
  assert.ok(Date.now() - began >= 4_000, `all were in after ${Date.now() - began} ms`);
  assert.deepEqual(failures.flatMap((journal) => journal.items), []);
});

test("connected clients are not delayed by queued ones", async (t) => {
  const server = await serve(t, PACED);
  const alice = await open(t, server, { mode: "polling", user: "alice" });
  const crowd = upTo(30).map((i) => start(t, server, { user: `user${i}` }));
  const last = Symbol("last");
  const said = async () => {
    for (const i of upTo(20)) await alice.ok("message", { room: "lobby", data: i });
  };
  const first = await Promise.race([said(), Promise.all(crowd.map((client) => client.session())).then(() => last)]);
  assert.notEqual(first, last);
  assert.equal(alice.sessions.items.length, 1);
});

for (const transport of ["polling", "websocket"]) {
  test(`abandoned handshakes by ${transport} delay no other client`, async (t) => {
    const server = await serve(t, { ...PACED, "limits-connects-wait": "1m" });
    for (const _ of upTo(5)) await http(server, `${HANDSHAKE}polling`);
    // Three minutes' worth.
    const crowd = upTo(900).map(() => connect(server.port, "127.0.0.1"));
    t.after(() => crowd.forEach((socket) => socket.destroy()));
    const upgrade = transport === "polling" ? "" : "Connection: upgrade\r\nUpgrade: websocket\r\n"
      + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let refused = 0;
    for (const socket of crowd) {
      socket.on("error", () => {});
      socket.on("data", (text) => (refused += String(text).startsWith("HTTP/1.1 503")));
      socket.write(`GET ${HANDSHAKE}${transport} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n${upgrade}\r\n`);
    }
    // Those that would wait longer than a minute are refused: the others wait.
    await eventually(() => refused > 500, "the queue is not full");
    crowd.forEach((socket) => socket.destroy());
    const late = start(t, server, { user: "late" });
    await late.session();
  });
}

test("clients that lost their network together are recovered although they are let in one by one", async (t) => {
  const server = await serve(t, PACED);
  const bob = await open(t, server, { user: "bob" });
  const clients = await Promise.all(upTo(10).map((i) => follow(t, server, { user: `user${i}` })));
  for (const client of clients) await client.ok("join", "lobby");
  for (const client of clients) client.network.cut();
  await bob.ok("message", { room: "lobby", data: "missed" });
  for (const client of clients) client.network.mend();
  for (const client of clients) {
    assert.deepEqual(await client.returns.count(1), [true]);
    const [[message]] = await client.messages.count(1);
    assert.equal(message.data, "missed");
  }
});

test("without a rate no handshake is refused", async (t) => {
  const server = await serve(t, { "limits-connects-per-second": 0, "limits-connects-burst": 0 });
  const answers = await Promise.all(upTo(100).map(() => http(server, `${HANDSHAKE}polling`)));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
});
