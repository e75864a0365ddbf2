// Limits: what is too large, too fast or too many is refused with a code of its own, and the rest works.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, start, upTo } from "./support/clients.mjs";
import { http, pollingSession, rawClient } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

test("a message larger than the limit is too_large, one at the limit is not", async (t) => {
  const server = await serve(t, { "limits-message-bytes": 1000 });
  for (const v of [2, 3, 4]) {
    for (const mode of ["polling", "websocket"]) {
      const alice = await open(t, server, { v, mode });
      const of = (bytes) => "x".repeat(bytes - 2);
      await alice.ok("message", { room: "lobby", data: of(1000) });
      await alice.refused("message", { room: "lobby", data: of(1001) }, "too_large");
      await alice.refused("publish", { room: "lobby", event: "e", data: of(20_000), ephemeral: true }, "too_large");
      await alice.ok("message", { room: "lobby", data: "still here" });
    }
  }
});

test("without backpressure messages beyond the rate are rate_limited, and told when to try again", async (t) => {
  const server = await serve(t, {
    "limits-backpressure": "0s",
    "limits-messages-per-second": 5,
    "limits-messages-burst": 10,
    "limits-user-messages-per-second": 0,
  });
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob" });
  const acks = await Promise.all(upTo(40).map((i) => alice.ask("message", { room: "lobby", data: i })));
  const refused = acks.filter((ack) => !ack.ok);
  assert.ok(acks.slice(0, 10).every((ack) => ack.ok), "a burst passes");
  assert.ok(refused.length >= 20, `${refused.length} of 40 were refused`);
  for (const { error } of refused) {
    assert.equal(error.code, "rate_limited");
    assert.ok(Number.isInteger(error.retry_after_ms) && error.retry_after_ms > 0, JSON.stringify(error));
    assert.ok(error.retry_after_ms <= 10_000, JSON.stringify(error));
  }
  await bob.ok("message", { room: "lobby", data: "not bob's fault" });
  await eventually(async () => (await alice.ask("message", { room: "lobby", data: "later" })).ok, "never allowed again");
  const stored = await bob.history("lobby");
  const accepted = acks.filter((ack) => ack.ok).length;
  assert.equal(stored.length, accepted + 2, "what was refused is not stored");
});

test("a user's rate holds over all of the user's connections", async (t) => {
  const server = await serve(t, {
    "limits-backpressure": "0s",
    "limits-messages-per-second": 0,
    "limits-user-messages-per-second": 5,
    "limits-user-messages-burst": 10,
  });
  const connections = await Promise.all(upTo(4).map(() => open(t, server, { user: "alice" })));
  const acks = await Promise.all(
    connections.flatMap((alice) => upTo(10).map((i) => alice.ask("message", { room: "lobby", data: i }))),
  );
  const refused = acks.filter((ack) => !ack.ok);
  assert.ok(refused.length >= 20, `${refused.length} of 40 were refused`);
  assert.deepEqual(new Set(refused.map((ack) => ack.error.code)), new Set(["rate_limited"]));
  const bob = await open(t, server, { user: "bob" });
  await bob.ok("message", { room: "lobby", data: 1 });
});

test("without backpressure joins beyond their rate are rate_limited", async (t) => {
  const server = await serve(t, { "limits-backpressure": "0s", "limits-joins-per-second": 5, "limits-joins-burst": 10 });
  const alice = await open(t, server);
  const acks = await Promise.all(upTo(40).map((i) => alice.ask("join", `room${i}`)));
  const refused = acks.filter((ack) => !ack.ok);
  assert.ok(refused.length >= 20, `${refused.length} of 40 were refused`);
  for (const { error } of refused) {
    assert.equal(error.code, "rate_limited");
    assert.ok(error.retry_after_ms > 0, JSON.stringify(error));
  }
});

test("a connection can be in so many rooms and no more, until it leaves one", async (t) => {
  const server = await serve(t, { "limits-rooms-per-connection": 5 });
  const alice = await open(t, server);
  const joined = [];
  for (let i = 0; i < 10; i += 1) {
    const ack = await alice.ask("join", `room${i}`);
    if (ack.ok) joined.push(`room${i}`);
    else assert.equal(ack.error.code, "limit_reached", JSON.stringify(ack));
  }
  // Whether the personal room is one of the five is the server's business.
  assert.ok(joined.length === 5 || joined.length === 4, `${joined}`);
  await alice.ok("join", joined[0]);
  await alice.ok("leave", joined[0]);
  await alice.ok("join", "another");
  await alice.refused("join", "one-more", "limit_reached");
});

test("a user can have so many connections and no more; the next one is held, and let in when one ends", async (t) => {
  const server = await serve(t, { "limits-connections-per-user": 2 });
  const [first, second] = await Promise.all([open(t, server, { user: "alice" }), open(t, server, { user: "alice", v: 3 })]);
  const late = [3, 4].map((v) => start(t, server, { v, user: "alice" }));
  const refusals = late.map((client) => client.on("connect_error"));
  await eventually(() => server.log.match(/CONNECT held for a retry/g)?.length === 2, "both are held");
  await open(t, server, { user: "bob" });
  assert.ok(late.every((client) => client.sessions.items.length === 0));
  first.close();
  second.close();
  await Promise.all(late.map((client) => client.session()));
  assert.deepEqual(refusals.map(({ items }) => items), [[], []]);
});

// Connections from this machine do not count for their address, so these come through a proxy that is trusted.
const FROM = { extraHeaders: { "x-forwarded-for": "203.0.113.7" } };

for (const [option, more, from] of [
  ["limits-connections", {}, {}],
  ["limits-connections-per-ip", { "http-trusted-proxies": "127.0.0.0/8" }, FROM],
]) {
  test(`handshakes beyond ${option} are refused, and possible again when a connection ends`, async (t) => {
    const server = await serve(t, { [option]: 3, ...more });
    const clients = await Promise.all([2, 3, 4].map((v) => open(t, server, { v, user: `u${v}`, ...from })));
    const { status, body } = await http(server, "/socket.io/?EIO=4&transport=polling", { headers: from.extraHeaders });
    assert.ok(status === 429 || status === 503, `${status} ${body}`);
    assert.equal(JSON.parse(body).code, "limit_reached");

    // A stock client that is refused for want of room keeps trying, and gets in when there is some.
    const late = start(t, server, { user: "late", ...from });
    const refusals = late.on("connect_error");
    await refusals.count(2);
    assert.equal(late.sessions.items.length, 0);
    if (from === FROM) {
      const elsewhere = { extraHeaders: { "x-forwarded-for": "203.0.113.8" } };
      await open(t, server, { user: "elsewhere", ...elsewhere });
    }
    clients[0].close();
    await late.session();
  });
}

test("data nested deeper than the limit is refused, at the limit it passes", async (t) => {
  const server = await serve(t, { "limits-nesting": 20 });
  const alice = await open(t, server);
  const nested = (depth) => JSON.parse("[".repeat(depth) + "]".repeat(depth));
  await alice.ok("message", { room: "lobby", data: nested(15) });
  await alice.refused("message", { room: "lobby", data: nested(30) }, "bad_request", "too_large");
  await alice.refused("publish", { room: "lobby", event: "e", data: nested(500), ephemeral: true }, "bad_request", "too_large");
  await alice.ok("message", { room: "lobby", data: "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[" });
});

test("a connection that sends faster than the server works is read more slowly: nothing is refused", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "limits-inbox": 8 });
  const raw = await rawClient(t, server, { user: "alice" });
  const total = 2000;
  for (const i of upTo(total)) raw.send(`42${i}["message",{"room":"lobby","data":${i}}]`);
  const acks = [];
  await raw.frames.until((frames) => {
    for (const frame of frames.splice(0)) {
      const ack = frame.match(/^43(\d+)(\[.*)$/s);
      if (ack) acks.push([Number(ack[1]), JSON.parse(ack[2])[0].ok]);
    }
    return acks.length === total;
  }, "an ack for each message", 60_000);
  assert.deepEqual(acks, upTo(total).map((i) => [i, true]));
});

test("what may wait of one connection is bounded: the rest of a payload is rate_limited, the others are in order", async (t) => {
  const server = await serve(t, {
    // Few enough that most of the payload has to wait, however long the server takes to read it.
    "limits-messages-per-second": 150,
    "limits-messages-burst": 150,
    "limits-user-messages-per-second": 0,
    "limits-message-bytes": "1 KiB",
    "limits-inbox-bytes": "64 KiB",
    "socketio-max-payload": "64 KiB",
  });
  const path = `/socket.io/?EIO=4&transport=polling&sid=${await pollingSession(server)}`;
  const post = async (packets) => {
    const { status } = await http(server, path, { method: "POST", body: packets.join("\x1e") });
    assert.equal(status, 200);
  };
  await post(['40{"user":"alice"}']);
  const total = 1_500;
  await post(upTo(total).map((i) => `42${i}["message",{"room":"a","data":${i}}]`));
  const acks = new Map();
  await eventually(async () => {
    const { body } = await http(server, path);
    for (const packet of body.split("\x1e")) {
      const ack = packet.match(/^43(\d+)(\[.*)$/s);
      if (ack) acks.set(Number(ack[1]), JSON.parse(ack[2])[0]);
      if (packet === "2") await post(["3"]);
    }
    return acks.size === total;
  }, "an ack for each message");
  const accepted = upTo(total).filter((i) => acks.get(i).ok);
  const refused = upTo(total).filter((i) => !acks.get(i).ok);
  assert.ok(accepted.length > 100 && refused.length > 100, `${accepted.length} accepted, ${refused.length} refused`);
  for (const i of refused) {
    assert.equal(acks.get(i).error.code, "rate_limited");
    assert.ok(acks.get(i).error.retry_after_ms > 0);
  }
  const reader = await open(t, server, { user: "reader" });
  assert.deepEqual((await reader.history("a", 1000)).map((message) => message.data), accepted);
});
