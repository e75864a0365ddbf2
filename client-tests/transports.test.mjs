// A message is the same on every transport, whichever it was sent by.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { listening } from "./support/events.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { Caller, polled } from "./support/web.mjs";
import { messageOf, peer } from "./support/websocket.mjs";

const KEYED = { ...UNLIMITED, "auth-hmac-secret": SECRET };
const TRANSPORTS = ["socket.io", "websocket", "sse", "poll", "rest"];
const token = (transport) => sign({ sub: `of-${transport}`, name: `At ${transport}` });

// Of each transport how a client of it says something in a room, and how it has heard the `n` messages that were said there.
const clients = {
  async "socket.io"(t, server, room) {
    const client = await open(t, server, { token: token("socket.io") });
    const heard = client.on("message");
    await client.ok("join", room);
    return {
      say: (data, id) => client.ok("message", { room, data, id }),
      hear: async (n) => (await heard.count(n)).map(([message]) => message),
    };
  },

  async websocket(t, server, room) {
    const client = await peer(t, server, { token: token("websocket"), room });
    return {
      say: (data, id) => client.ok("text", { data, id }),
      hear: async (n) => {
        await client.frames.until(() => client.of("text").length >= n, `${n} texts`);
        return client.of("text").map(messageOf);
      },
    };
  },

  async sse(t, server, room) {
    const stream = await listening(t, server, { token: token("sse"), room });
    return {
      say: caller(server, "sse", room),
      hear: async (n) => {
        await stream.nth("message", n);
        return stream.of("message").map(({ data }) => data);
      },
    };
  },

  async poll(t, server, room) {
    const key = token("poll");
    let { cursor } = await polled(server, room, { key });
    const heard = [];
    return {
      say: caller(server, "poll", room),
      hear: async (n) => {
        while (heard.length < n) {
          const page = await polled(server, room, { key, since: cursor, wait: 10 });
          assert.notEqual(page.messages.length, 0, "a message did not come");
          heard.push(...page.messages);
          ({ cursor } = page);
        }
        return heard;
      },
    };
  },

  async rest(t, server, room) {
    const caller_ = new Caller(server, { key: token("rest") });
    return {
      say: caller(server, "rest", room),
      hear: async () => (await caller_.get(`/v1/rooms/${room}/messages`)).messages,
    };
  },
};

// Transports that only tell are spoken to by REST, as the same user.
function caller(server, transport, room) {
  const made = new Caller(server, { key: token(transport) });
  return (data, id) => made.say(room, data, { id });
}

async function everyTransport(t, server, room) {
  const made = {};
  for (const transport of TRANSPORTS) made[transport] = await clients[transport](t, server, room);
  return made;
}

const BODY = { text: "hällo 🦀", list: [1, 2.5, null, true], nested: { deep: [{}] } };

for (const from of TRANSPORTS) {
  test(`a message sent by a client of ${from} is the same on every transport`, async (t) => {
    const server = await serve(t, KEYED);
    const transports = await everyTransport(t, server, "lobby");
    const ack = await transports[from].say(BODY, `from-${from}`);
    const message = {
      room: "lobby",
      id: `from-${from}`,
      seq: 1,
      event: "message",
      from: { user: `of-${from}`, name: `At ${from}` },
      data: BODY,
      ts: ack.ts,
    };
    assert.deepEqual([ack.room, ack.id, ack.seq], ["lobby", message.id, 1]);
    for (const to of TRANSPORTS) assert.deepEqual(await transports[to].hear(1), [message], to);
  });
}

test("messages sent on every transport at once have one order, the same on each", async (t) => {
  const server = await serve(t, KEYED);
  const transports = await everyTransport(t, server, "lobby");
  const EACH = 60;
  const acks = await Promise.all(
    TRANSPORTS.map(async (transport) => {
      const seqs = [];
      for (const n of upTo(EACH)) seqs.push((await transports[transport].say(`${transport} ${n}`, `${transport}-${n}`)).seq);
      return seqs;
    }),
  );
  const total = TRANSPORTS.length * EACH;
  assert.deepEqual(acks.flat().sort((a, b) => a - b), upTo(total));
  const stored = await new Caller(server, { key: token("rest") }).get("/v1/rooms/lobby/messages", { after: 0, limit: total });
  assert.deepEqual(stored.messages.map(({ seq }) => seq), upTo(total));
  for (const transport of TRANSPORTS.filter((each) => each !== "rest")) {
    assert.deepEqual(await transports[transport].hear(total), stored.messages, transport);
  }
  for (const [i, transport] of TRANSPORTS.entries()) {
    const its = stored.messages.filter(({ data }) => data.startsWith(`${transport} `));
    assert.deepEqual(its.map(({ seq }) => seq), acks[i], "each in the order it was said");
  }
});

test("the same id on every transport is one message", async (t) => {
  const server = await serve(t, KEYED);
  const transports = await everyTransport(t, server, "lobby");
  const first = await transports["socket.io"].say("first", "once");
  const again = [await transports.websocket.say("again", "once")];
  for (const transport of ["sse", "poll", "rest"]) {
    const other = new Caller(server, { key: token(transport) });
    again.push(await other.ok(200, "POST", "/v1/rooms/lobby/messages", { body: { data: "again", id: "once" } }));
  }
  for (const ack of again) assert.deepEqual([ack.id, ack.seq, ack.ts, ack.duplicate], ["once", 1, first.ts, true]);
  await transports.rest.say("end", "end");
  for (const transport of TRANSPORTS) assert.deepEqual((await transports[transport].hear(2)).map(({ data }) => data), ["first", "end"], transport);
});

test("one user on three transports is one in the room, and leaves with the last", async (t) => {
  const server = await serve(t, { ...KEYED, "presence-grace": "100ms" });
  const key = sign({ sub: "alice" });
  const bob = await open(t, server, { token: sign({ sub: "bob" }) });
  await bob.ok("join", "lobby");
  const atBob = bob.on("presence");
  const stock = await open(t, server, { token: key });
  await stock.ok("join", "lobby");
  const plain = await peer(t, server, { token: key, room: "lobby" });
  const stream = await listening(t, server, { token: key, room: "lobby" });
  const { count, users } = await bob.ok("presence", "lobby");
  assert.equal(count, 2);
  assert.equal(users.find(({ user }) => user === "alice").connections, 3);
  stock.close();
  stream.close();
  plain.socket.close();
  await atBob.until((items) => items.some(([event]) => event.event === "leave"));
  assert.deepEqual(atBob.items.map(([{ event, user }]) => `${event} ${user}`), ["join alice", "leave alice"]);
});
