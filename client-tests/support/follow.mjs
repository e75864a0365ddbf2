// Stock clients 4 that lose their network and come back, and what they received over all their connections.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { start, upgrade } from "./clients.mjs";
import { network } from "./proxy.mjs";
import { Journal, within } from "./scope.mjs";

// A connected client behind a network of its own, `client.network`. `client.returns` holds whether it was recovered,
// for each time it came back; `client.messages` holds the arguments of each message.
export async function follow(t, server, options = {}) {
  const way = await network(t, server);
  const client = start(t, way, { ...options, v: 4 });
  const upgraded = options.mode === "upgrade" ? upgrade(client.socket) : Promise.resolve();
  client.network = way;
  client.messages = client.on("message");
  client.gone = client.on("disconnect");
  client.refusals = new Journal(`refusals of ${client.name}`);
  client.socket.on("connect_error", ({ message }) => client.refusals.add(message));
  await client.session();
  await within(upgraded, () => "the client did not upgrade");
  client.me = client.sessions.items[0][0];
  client.returns = new Journal(`returns of ${client.name}`);
  client.socket.on("connect", () => client.returns.add(client.socket.recovered));
  return client;
}

// `client` loses its network by `how` ("cut", "lose"), comes back after `meanwhile`, and resolves to whether it was
// recovered.
export async function away(client, how, meanwhile = async () => {}) {
  const times = client.returns.items.length + 1;
  client.network[how]();
  await client.gone.count(times);
  await meanwhile();
  client.network.mend();
  await client.returns.count(times);
  await client.session(times + 1);
  return client.returns.items[times - 1];
}

// Says 1, 2, 3 … in the rooms by turns, each stored before the next, so that all of them have one order. `acked` holds the
// number in its room that each `id` was acknowledged with, `retries` how often something had to be said again.
export class Speaker {
  said = 0;
  retries = 0;
  acked = new Map();
  #abandoned = false;

  constructor(client, ...rooms) {
    this.client = client;
    this.rooms = rooms;
  }

  async say(n) {
    for (let i = 0; i < n; i += 1) {
      this.said += 1;
      await this.client.ok("message", { room: this.roomOf(this.said), data: this.said });
    }
  }

  // Says one more, again and again until the server has it, whatever becomes of the server meanwhile.
  async insist() {
    this.said += 1;
    const id = `${this.client.me.user}-${this.said}`;
    const message = { room: this.roomOf(this.said), id, data: this.said };
    const passing = ["unavailable", "draining"];
    while (!this.#abandoned) {
      const ack = await this.client.socket.timeout(1_000).emitWithAck("message", message).catch(() => null);
      if (ack?.ok) {
        this.acked.set(id, ack.seq);
        return;
      }
      this.retries += 1;
      assert.ok(!ack || passing.includes(ack.error.code), JSON.stringify(ack));
      // A server that is busy or going down is not asked as fast as it can refuse.
      await pause(20);
    }
  }

  // Goes on saying, one about every `ms`, until the function it returns is called, which waits for the last, or the
  // test `t` ends.
  keepOn(t, ms = 0) {
    let over = false;
    const talking = (async () => {
      while (!over) {
        await this.insist();
        if (ms > 0) await pause(ms);
      }
    })();
    // A failure is told to whoever stops it.
    talking.catch(() => {});
    t.after(() => (over = this.#abandoned = true));
    return () => {
      over = true;
      return talking;
    };
  }

  // The room in which `n` is said.
  roomOf(n) {
    return this.rooms[n % this.rooms.length];
  }
}

// The data of the messages that `client` received, in order.
export const heard = (client) => client.messages.items.map(([message]) => message.data);

// Waits until `client` received `expected`, and nothing else.
export async function hears(client, expected) {
  await client.messages.count(expected.length);
  assert.deepEqual(heard(client), expected);
}
