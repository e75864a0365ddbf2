// Several nodes over one Redis, and members and speakers on all of them.

import assert from "node:assert/strict";
import { open, upTo } from "./clients.mjs";
import { follow, Speaker } from "./follow.mjs";
import { network } from "./proxy.mjs";
import { redis, redisCluster } from "./redis.mjs";
import { eventually } from "./scope.mjs";
import { serve, UNLIMITED } from "./server.mjs";

// What a log that nodes share can be in. The main promises are tested in both.
export const STORES = [
  { store: "one Redis", begin: redis },
  { store: "a Redis Cluster", begin: redisCluster },
];

const OPTIONS = { ...UNLIMITED, "history-messages": 100_000 };

// `n` nodes over the Redis or Redis Cluster `store`, of the server itself or of another `program`.
export function nodes(t, store, n = 2, options = {}, program = undefined) {
  const shared = { ...OPTIONS, ...options, store: "redis", "redis-url": store.url };
  return Promise.all(upTo(n).map(() => serve(t, shared, program)));
}

// `n` nodes over one Redis, each of which reaches it through a network of its own, `node.way`.
export function breakable(t, store, n = 2, options = {}) {
  const one = async () => {
    const way = await network(t, store);
    const [node] = await nodes(t, { url: `redis://127.0.0.1:${way.port}` }, 1, options);
    node.way = way;
    return node;
  };
  return Promise.all(upTo(n).map(one));
}

// A speaker and some members on each node, all of them in all the rooms.
export async function traffic(t, nodes, { rooms = ["r0", "r1", "r2", "r3", "r4"], members = 2, reader = nodes[0], pace = 5 } = {}) {
  const join = async (client) => {
    for (const room of rooms) await client.ok("join", room);
    return client;
  };
  const modes = ["websocket", "upgrade", "polling"];
  const on = (node, i) => upTo(members).map((m) => follow(t, node, { mode: modes[(i + m) % 3], user: `member${i}${m}` }).then(join));
  const everybody = await Promise.all(nodes.flatMap(on));
  const speaking = nodes.map(async (node, i) => {
    const client = await follow(t, node, { user: `speaker${i}` });
    // Each begins in another room.
    return new Speaker(client, ...rooms.slice(i % rooms.length), ...rooms.slice(0, i % rooms.length));
  });
  return new Traffic(t, { rooms, members: everybody, speakers: await Promise.all(speaking), reader, pace });
}

class Traffic {
  #t;
  #stops;

  constructor(t, { rooms, members, speakers, reader, pace }) {
    this.#t = t;
    Object.assign(this, { rooms, members, speakers, reader });
    this.#stops = speakers.map((speaker) => speaker.keepOn(t, pace));
  }

  // Waits until every member has heard something that somebody says from now on, `ms` at most; resolves to the time it took.
  async goesOn(ms = 15_000) {
    const began = Date.now();
    // What is being said now may have been said before.
    const said = new Map(this.speakers.map(({ client, said }) => [client.me.user, said + 1]));
    const newer = ([{ from, data }]) => data > said.get(from.user);
    const late = () => this.members.filter(({ messages }) => !messages.items.slice(-500).some(newer));
    await eventually(() => late().length === 0, "traffic does not go on", ms).catch((error) => {
      const members = late().map(({ me, socket, messages, returns, gone, refusals }) => {
        const { readyState, transport } = socket.io.engine;
        const state = `${socket.connected} ${socket.active} ${readyState} ${transport?.name} recovered ${returns.items}`;
        return `${me.user}: ${messages.items.length}, ${state}, ${JSON.stringify([gone.items.slice(-1), refusals.items.slice(-1)])}`;
      });
      throw new Error(`${error.message} at ${members.join("\n")}\nsaid ${this.speakers.map((speaker) => speaker.said)}`);
    });
    return Date.now() - began;
  }

  // Waits until everybody has said `n` more.
  says(n) {
    const before = this.speakers.map(({ said }) => said);
    return eventually(() => this.speakers.every(({ said }, i) => said > before[i] + n), "the speakers are slow", 60_000);
  }

  // Waits until one of the speakers was refused, or not answered, some times from now on.
  stops(speakers = this.speakers) {
    const before = speakers.map(({ retries }) => retries);
    return eventually(() => speakers.some(({ retries }, i) => retries > before[i] + 1), "nobody is refused", 30_000);
  }

  async end() {
    await Promise.all(this.#stops.map((stop) => stop()));
  }

  // Ends it. Every member heard what the log holds, once and in one order over all rooms, and the log holds whatever was
  // acknowledged, under the number it was acknowledged with.
  async check() {
    await this.end();
    const reader = await open(this.#t, this.reader, { user: "reader" });
    const log = new Map();
    for (const room of this.rooms) log.set(room, await reader.history(room, 1000));
    for (const [room, messages] of log) {
      assert.deepEqual(messages.map(({ seq }) => seq), upTo(messages.length), `the numbers of ${room}`);
    }
    const stored = [...log.values()].flat();
    const numbers = new Map(stored.map(({ id, seq }) => [id, seq]));
    assert.equal(numbers.size, stored.length, "no message is stored twice");
    const acked = this.speakers.flatMap((speaker) => [...speaker.acked]);
    for (const [id, seq] of acked) assert.equal(numbers.get(id), seq, id);
    assert.equal(stored.length, acked.length, "what is stored was acknowledged in the end");
    for (const { client } of this.speakers) {
      for (const [room, messages] of log) {
        const said = messages.filter(({ from }) => from.user === client.me.user).map(({ data }) => data);
        assert.deepEqual(said, [...said].sort((a, b) => a - b), `the order in which ${client.me.user} spoke in ${room}`);
      }
    }

    const shown = ([{ room, seq, id }]) => `${room} ${seq} ${id}`;
    let order;
    for (const { me, messages, returns } of this.members) {
      const name = `${me.user}, ${returns.items.length} returns`;
      await eventually(() => messages.items.length >= stored.length, "", 30_000).catch(() => {});
      for (const [room, due] of log) {
        const got = messages.items.filter(([message]) => message.room === room).map(([{ seq }]) => seq);
        const at = due.findIndex(({ seq }, i) => got[i] !== seq);
        const difference = `wanted ${due.slice(at, at + 3).map(({ seq }) => seq)}, got ${got.slice(at, at + 3)} at ${at}`;
        assert.ok(at === -1 && got.length === due.length, `${name} in ${room}: ${difference}, ${got.length} of ${due.length}`);
      }
      const heard = messages.items.map(shown);
      order ??= heard;
      const at = order.findIndex((each, i) => heard[i] !== each);
      const difference = `wanted ${order.slice(at, at + 3)} and got ${heard.slice(at, at + 3)} at ${at}`;
      assert.ok(at === -1, `${name} heard another order over the rooms: ${difference}`);
    }
    this.#t.diagnostic(`${stored.length} messages, ${this.speakers.reduce((sum, { retries }) => sum + retries, 0)} said again`);
  }

  // Nobody lost a connection.
  stayed() {
    for (const { me, gone } of this.members) assert.deepEqual(gone.items, [], `${me.user} was disconnected`);
  }
}
