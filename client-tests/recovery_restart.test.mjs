// Recovery after a restart: sessions and messages are in the log, so that the next process has both.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { away, follow, heard, hears, Speaker } from "./support/follow.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const MODES = ["polling", "websocket", "upgrade"];
const OPTIONS = { ...UNLIMITED, "drain-over": "200ms" };

for (const [how, name] of [["kill", "killed"], ["stop", "told to end"]]) {
  test(`a client that was away while the server was ${name} and started again has missed nothing`, async (t) => {
    const server = await serve(t, OPTIONS);
    const speaker = new Speaker(await open(t, server, { user: "bob" }), "a", "b");
    const clients = await Promise.all(MODES.map((mode) => follow(t, server, { mode, user: mode })));
    for (const client of clients) for (const room of ["a", "b"]) await client.ok("join", room);
    await speaker.say(4);
    for (const client of clients) await hears(client, upTo(4));

    let round = 1;
    const restart = async () => {
      await speaker.say(5);
      await server[how]();
      await server.start();
      await speaker.client.session((round += 1));
      await speaker.say(5);
    };
    const [first, ...others] = clients;
    for (const client of others) client.network.cut();
    assert.equal(await away(first, "cut", restart), true);
    for (const client of others) client.network.mend();
    for (const client of others) assert.deepEqual(await client.returns.count(1), [true], client.name);
    for (const client of clients) {
      await hears(client, upTo(14));
      await client.session(2);
      assert.equal(client.sessions.items[1][0].connection, client.me.connection);
      // What it does after is stored like what it did before.
      await client.ok("leave", "b");
    }
    for (const client of clients) assert.equal(await away(client, "cut"), true);
    await settled(speaker.client, clients, "a");
    for (const client of clients) assert.deepEqual(client.sessions.items[2][0].rooms.includes("b"), false);
  });

  test(`clients of a server that is ${name} under load hear every message once, in order`, async (t) => {
    const server = await serve(t, { ...OPTIONS, "history-messages": 100_000 });
    const bob = await open(t, server, { user: "bob" });
    const speaker = new Speaker(bob, "a", "b");
    const clients = await Promise.all(MODES.map((mode) => follow(t, server, { mode, user: mode })));
    for (const client of clients) for (const room of ["a", "b"]) await client.ok("join", room);
    const stop = speaker.keepOn(t);
    for (let round = 1; round <= 3; round += 1) {
      const before = speaker.said;
      for (const client of clients) await client.messages.until(() => heard(client).at(-1) > before + 10, "progress");
      await server[how]();
      await server.start();
      for (const client of clients) {
        const returns = await client.returns.count(round);
        assert.ok(returns.every((recovered) => recovered === true), `${client.name}: ${returns}`);
      }
    }
    await stop();
    for (const client of clients) await hears(client, upTo(speaker.said));
  });
}

test("a client that was away over two restarts has missed nothing", async (t) => {
  const server = await serve(t, OPTIONS);
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const alice = await follow(t, server, { user: "alice" });
  await alice.ok("join", "lobby");
  const meanwhile = async () => {
    for (const round of [2, 3]) {
      await speaker.say(3);
      await server.kill();
      await server.start();
      await speaker.client.session(round);
    }
  };
  assert.equal(await away(alice, "cut", meanwhile), true);
  await hears(alice, upTo(6));
});
