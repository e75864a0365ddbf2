// Bursts over nodes: twenty thousand messages as fast as one node takes them arrive on the other, each once and in order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { eventually } from "./support/scope.mjs";

const WRITERS = 4;
const EACH = 5_000;
const IN_FLIGHT = 250;

for (const { store, begin } of STORES) {
  test(`${WRITERS * EACH} messages of ${WRITERS} connections in one burst reach the other node over ${store}, in order`, async (t) => {
    const [a, b] = await nodes(t, await begin(t), 2);
    const readers = await Promise.all(["websocket", "polling"].map((mode) => open(t, b, { mode, user: mode })));
    const heard = readers.map((reader) => {
      const messages = [];
      reader.socket.on("message", ({ seq, data }) => messages.push([seq, ...data]));
      return messages;
    });
    const lost = readers.map((reader) => reader.on("disconnect"));
    for (const reader of readers) await reader.ok("join", "lobby");
    const writers = await Promise.all(upTo(WRITERS).map((i) => open(t, a, { user: `writer${i}` })));
    await Promise.all(
      writers.map((writer, w) => {
        let next = 0;
        const lane = async () => {
          while (next < EACH) await writer.ok("message", { room: "lobby", data: [w, (next += 1)], echo: false });
        };
        return Promise.all(upTo(IN_FLIGHT).map(lane));
      }),
    );
    for (const [i, messages] of heard.entries()) {
      const { me } = readers[i];
      await eventually(() => messages.length >= WRITERS * EACH, "the burst did not arrive", 60_000).catch((error) => {
        throw new Error(`${error.message} at ${me.user}: ${messages.length}, ${JSON.stringify(lost[i].items)}`);
      });
      assert.deepEqual(messages.map(([seq]) => seq), upTo(WRITERS * EACH), me.user);
      for (const w of writers.keys()) {
        assert.deepEqual(messages.filter(([, from]) => from === w).map(([, , n]) => n), upTo(EACH), `writer ${w} at ${me.user}`);
      }
    }
  });
}
