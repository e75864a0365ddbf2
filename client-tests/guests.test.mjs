// Guests: a client without a name in open mode, and the same guest when it comes back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./support/clients.mjs";
import { away, follow, hears, Speaker } from "./support/follow.mjs";
import { nodes } from "./support/nodes.mjs";
import { http, rawClient } from "./support/raw.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

async function refusedRecoveries(server) {
  const { body } = await http(server, "/metrics");
  const lines = [...body.matchAll(/^switchboard_recoveries_refused_total\{reason="(\w+)"\} (\d+)$/gm)];
  return Object.fromEntries(lines.map(([, reason, count]) => [reason, Number(count)]).filter(([, count]) => count > 0));
}

// A raw client whose session is stored: its join is answered after that.
async function stored(t, server, auth) {
  const client = await rawClient(t, server, auth);
  client.send('420["join","lobby"]');
  await client.frame("430");
  return client;
}

for (const mode of ["polling", "websocket", "upgrade"]) {
  test(`over ${mode} a guest that loses its network is the same guest, recovered, and its room sees nothing of it`, async (t) => {
    const server = await serve(t, UNLIMITED);
    const bob = await open(t, server, { user: "bob" });
    const speaker = new Speaker(bob, "lobby");
    const news = bob.on("presence");
    await bob.ok("join", "lobby");
    const guest = await follow(t, server, { mode });
    assert.match(guest.me.user, /^guest-[0-9a-z]{6}$/);
    await guest.ok("join", "lobby");
    await news.count(1);
    await speaker.say(1);
    await hears(guest, [1]);
    for (const [n, how] of ["cut", "lose", "cut"].entries()) {
      assert.equal(await away(guest, how, () => speaker.say(1)), true, how);
      const [session] = guest.sessions.items.at(-1);
      assert.deepEqual([session.user, session.connection], [guest.me.user, guest.me.connection]);
      await hears(guest, Array.from({ length: n + 2 }, (_, i) => i + 1));
    }
    const { count } = await bob.ok("presence", "lobby");
    assert.equal(count, 2);
    assert.deepEqual(news.items.map(([{ event }]) => event), ["join"]);
    assert.deepEqual(await refusedRecoveries(server), {});
  });
}

test("a guest is the same one after a restart of the server", async (t) => {
  const server = await serve(t, UNLIMITED);
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "lobby");
  const guest = await follow(t, server);
  await guest.ok("join", "lobby");
  const restart = async () => {
    await server.kill();
    await server.start();
    await speaker.client.session(2);
    await speaker.say(1);
  };
  assert.equal(await away(guest, "cut", restart), true);
  assert.equal(guest.sessions.items[1][0].user, guest.me.user);
  await hears(guest, [1]);
});

test("a guest is the same one at another node", async (t) => {
  const [a, b] = await nodes(t, await redis(t), 2, UNLIMITED);
  const guest = await follow(t, a);
  await guest.ok("join", "lobby");
  guest.network.server = b;
  assert.equal(await away(guest, "cut"), true);
  assert.deepEqual(guest.sessions.items[1][0].user, guest.me.user);
});

test("a named user's session secret does not authenticate that user, and a guest's helps no named user", async (t) => {
  const server = await serve(t, { ...UNLIMITED, "log-filter": "debug", "socketio-namespaces": "/,/chat" });
  const alice = await stored(t, server, { user: "alice" });
  const thief = await rawClient(t, server, { pid: alice.pid });
  assert.match(thief.session.user, /^guest-/);
  assert.notEqual(thief.pid, alice.pid);

  const guest = await stored(t, server);
  const named = await rawClient(t, server, { user: "mallory", pid: guest.pid });
  assert.equal(named.session.user, "mallory");
  assert.notEqual(named.pid, guest.pid);
  const elsewhere = await rawClient(t, server, { pid: guest.pid }, { prefix: "/chat," });
  assert.notEqual(elsewhere.session.user, guest.session.user);

  const same = await rawClient(t, server, { pid: guest.pid });
  assert.deepEqual([same.session.user, same.pid], [guest.session.user, guest.pid]);
  await rawClient(t, server, { pid: "0".repeat(32) });
  await rawClient(t, server, { pid: "x" });
  // Of its session nothing can be said, but whose it is.
  const lost = await rawClient(t, server, { pid: guest.pid, offset: "x" });
  assert.equal(lost.session.user, guest.session.user);
  assert.notEqual(lost.pid, guest.pid);

  assert.deepEqual(await refusedRecoveries(server), {
    other_user: 2,
    other_namespace: 1,
    unknown_session: 1,
    bad_pid: 1,
    bad_offset: 1,
  });
  const said = () => server.log.match(/DEBUG.* session not resumed reason="other_user"/g)?.length === 2;
  await eventually(said, "a line in the log for each");
});
