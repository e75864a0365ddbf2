// One message, every door: whichever way it goes in, it comes out of each the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { listening } from "./support/events.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { Caller, polled } from "./support/web.mjs";
import { messageOf, peer } from "./support/websocket.mjs";

const KEYED = { ...UNLIMITED, "auth-hmac-secret": SECRET };
const DOORS = ["socket.io", "websocket", "sse", "poll", "rest"];
const token = (door) => sign({ sub: `of-${door}`, name: `At ${door}` });

// Of each door how a client of it says something in a room, and how it has heard the `n` messages that were said there.
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

// Doors that only tell are spoken to by REST, as the same user.
function caller(server, door, room) {
  const made = new Caller(server, { key: token(door) });
  return (data, id) => made.say(room, data, { id });
}

async function everyDoor(t, server, room) {
  const made = {};
  for (const door of DOORS) made[door] = await clients[door](t, server, room);
  return made;
}

const BODY = { text: "hällo 🦀", list: [1, 2.5, null, true], nested: { deep: [{}] } };

for (const from of DOORS) {
  test(`a message sent by a client of ${from} is the same at every door`, async (t) => {
    const server = await serve(t, KEYED);
    const doors = await everyDoor(t, server, "lobby");
    const ack = await doors[from].say(BODY, `from-${from}`);
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
    for (const to of DOORS) assert.deepEqual(await doors[to].hear(1), [message], to);
  });
}

test("what goes in by every door at once has one order, which every door shows", async (t) => {
  const server = await serve(t, KEYED);
  const doors = await everyDoor(t, server, "lobby");
  const EACH = 60;
  const acks = await Promise.all(
    DOORS.map(async (door) => {
      const seqs = [];
      for (const n of upTo(EACH)) seqs.push((await doors[door].say(`${door} ${n}`, `${door}-${n}`)).seq);
      return seqs;
    }),
  );
  const total = DOORS.length * EACH;
  assert.deepEqual(acks.flat().sort((a, b) => a - b), upTo(total));
  const stored = await new Caller(server, { key: token("rest") }).get("/v1/rooms/lobby/messages", { after: 0, limit: total });
  assert.deepEqual(stored.messages.map(({ seq }) => seq), upTo(total));
  for (const door of DOORS.filter((each) => each !== "rest")) {
    assert.deepEqual(await doors[door].hear(total), stored.messages, door);
  }
  for (const [i, door] of DOORS.entries()) {
    const its = stored.messages.filter(({ data }) => data.startsWith(`${door} `));
    assert.deepEqual(its.map(({ seq }) => seq), acks[i], "each in the order it was said");
  }
});

test("the same id at every door is one message", async (t) => {
  const server = await serve(t, KEYED);
  const doors = await everyDoor(t, server, "lobby");
  const first = await doors["socket.io"].say("first", "once");
  const again = [await doors.websocket.say("again", "once")];
  for (const door of ["sse", "poll", "rest"]) {
    const other = new Caller(server, { key: token(door) });
    again.push(await other.ok(200, "POST", "/v1/rooms/lobby/messages", { body: { data: "again", id: "once" } }));
  }
  for (const ack of again) assert.deepEqual([ack.id, ack.seq, ack.ts, ack.duplicate], ["once", 1, first.ts, true]);
  await doors.rest.say("end", "end");
  for (const door of DOORS) assert.deepEqual((await doors[door].hear(2)).map(({ data }) => data), ["first", "end"], door);
});

test("one user at three doors is one in the room, and leaves with the last", async (t) => {
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
