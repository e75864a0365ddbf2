// Event streams of @switchboard/client: rooms over Server-Sent Events as one list.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";
import { subscribe } from "../client/dist/esm/sse.js";
import { client, data, enter, shows } from "./support/client.mjs";
import { upTo } from "./support/clients.mjs";
import { network } from "./support/proxy.mjs";
import { defer, eventually, Journal } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";

const RECONNECT = { minDelay: 40, maxDelay: 200, attempts: 1000 };

function stream(t, server, rooms, options = {}) {
  const made = subscribe(server.url, rooms, { EventSource, reconnect: RECONNECT, auth: { user: "reader" }, ...options });
  defer(t, async () => made.close());
  return made;
}

// Keeps it open until the test ends.
async function follow(t, made) {
  const end = made.subscribe(() => {});
  defer(t, async () => end());
  await shows(made, ({ status }) => status === "connected");
  return made;
}

test("a stream begins with history and goes on, in order, each once", async (t) => {
  const server = await serve(t, UNLIMITED);
  const room = client(t, server, { user: "alice" }).room("news");
  for (const n of upTo(5)) await room.send(n);
  const news = stream(t, server, "news", { history: 3 });
  assert.equal(news.getSnapshot().status, "idle");
  const handled = new Journal("messages");
  news.on("message", (data, meta) => handled.add([data, meta.seq]));
  await follow(t, news);
  await Promise.all(upTo(50).map((n) => room.send(n + 5)));
  await shows(news, ({ messages }) => messages.length === 53);
  assert.deepEqual(data(news), upTo(55).slice(2));
  assert.deepEqual(handled.items, upTo(55).slice(2).map((n) => [n, n]));
  assert.equal(news.getSnapshot().gap, false);
});

test("several rooms are one list, and other events are listed by name", async (t) => {
  const server = await serve(t, UNLIMITED);
  const alice = client(t, server, { user: "alice" });
  const stocks = await follow(t, stream(t, server, ["a", "b"], { events: ["price"] }));
  const ticks = new Journal("ticks");
  stocks.on("tick", (data, meta) => ticks.add([data, meta.room, meta.seq]));
  const presence = new Journal("presence");
  stocks.on("presence", ({ event, user }) => presence.add([event, user]));
  const room = await enter(t, alice, "b");
  await alice.room("a").publish("price", 1);
  await room.publish("price", 2);
  await room.publish("tick", 3, { ephemeral: true });
  await ticks.count(1);
  assert.deepEqual(ticks.items, [[3, "b", undefined]]);
  const { messages } = await shows(stocks, ({ messages }) => messages.length === 2);
  assert.deepEqual(messages.map(({ room, event, data }) => [room, event, data]), [["a", "price", 1], ["b", "price", 2]]);
  await presence.until((items) => items.some(([event, user]) => event === "join" && user === "alice"));
});

test("a stream misses nothing while its network is cut and the server is killed", async (t) => {
  const server = await serve(t, UNLIMITED);
  const way = await network(t, server);
  const news = await follow(t, stream(t, way, "news"));
  const room = client(t, server, { user: "alice" }).room("news");
  for (const round of upTo(8)) {
    const sent = Promise.all(upTo(20).map((n) => room.send((round - 1) * 20 + n)));
    if (round % 4 === 0) {
      await server.kill();
      await server.start();
    } else {
      way[round % 2 ? "cut" : "lose"]();
      await shows(news, ({ status }) => status !== "connected");
      way.mend();
    }
    await sent;
  }
  await shows(news, ({ messages }) => messages.length === 160);
  assert.deepEqual(news.getSnapshot().messages.map(({ seq }) => seq), upTo(160));
  assert.deepEqual([...data(news)].sort((a, b) => a - b), upTo(160));
  assert.equal(news.getSnapshot().gap, false);
});

test("messages that cannot be replayed are a gap", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "history-messages": 10 });
  const way = await network(t, server);
  const news = await follow(t, stream(t, way, "news"));
  const room = client(t, server, { user: "alice" }).room("news");
  await room.send(1);
  await shows(news, ({ messages }) => messages.length === 1);
  way.cut();
  await shows(news, ({ status }) => status === "offline");
  await Promise.all(upTo(150).slice(1).map((n) => room.send(n)));
  await room.send(151);
  way.mend();
  await shows(news, ({ gap }) => gap);
  await shows(news, ({ status }) => status === "connected");
  await room.send(152);
  const { messages } = await shows(news, ({ messages }) => messages.at(-1).data === 152);
  assert.equal(messages.filter(({ afterGap }) => afterGap).length, 1);
});

test("a stream is closed a second after its last use, and goes on where it was", async (t) => {
  const server = await serve(t, UNLIMITED);
  const room = client(t, server, { user: "alice" }).room("news");
  const news = stream(t, server, "news");
  const end = news.subscribe(() => {});
  await shows(news, ({ status }) => status === "connected");
  await room.send(1);
  await shows(news, ({ messages }) => messages.length === 1);
  end();
  await eventually(() => news.getSnapshot().status === "idle", "it is closed");
  await room.send(2);
  await follow(t, news);
  await shows(news, ({ messages }) => messages.length === 2);
  assert.deepEqual(data(news), [1, 2]);
  news.close();
  await shows(news, ({ status }) => status === "closed");
});

test("a stream whose token expires goes on with a new one", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "auth-hmac-secret": SECRET });
  let asked = 0;
  const auth = async () => ((asked += 1), { token: sign({ sub: "reader", exp: at(asked === 1 ? 2 : 3600) }) });
  const news = await follow(t, stream(t, server, "news", { auth }));
  const room = client(t, server, { token: sign({ sub: "alice" }) }).room("news");
  await room.send(1);
  await eventually(() => asked === 2, "a new token was asked for", 10_000);
  await room.send(2);
  await shows(news, ({ messages }) => messages.length === 2);
  assert.deepEqual(data(news), [1, 2]);
});

test("a stream that cannot be opened gives up, and says how often it tried", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "auth-hmac-secret": SECRET });
  const news = stream(t, server, "news", { auth: { token: "bad" }, reconnect: { minDelay: 10, maxDelay: 20, attempts: 3 } });
  const { error } = await shows(news, ({ status }) => status === "refused");
  assert.match(error.message, /3 attempts/);
});
