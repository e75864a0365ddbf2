// Takeover: a client that is back before its old connection was noticed dead takes it over, and no member sees a leave.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { settled } from "./support/fence.mjs";
import { away, follow, heard, hears, Speaker } from "./support/follow.mjs";
import { closings, Raw, rawClient } from "./support/raw.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

for (const mode of ["polling", "websocket", "upgrade"]) {
  test(`a client over ${mode} takes over its old connection: no leave, no join, nothing twice`, async (t) => {
    const server = await serve(t, { ...UNLIMITED, "presence-grace": "0s" });
    const bob = await open(t, server, { user: "bob" });
    await bob.ok("join", "lobby");
    const alice = await follow(t, server, { mode, user: "alice" });
    await alice.ok("join", "lobby");
    const speaker = new Speaker(bob, "lobby");
    await speaker.say(2);
    await hears(alice, upTo(2));
    const presence = bob.on("presence");

    for (let round = 1; round <= 2; round += 1) {
      assert.equal(await away(alice, "lose", () => speaker.say(5)), true);
      await hears(alice, upTo(speaker.said));
    }
    await eventually(async () => (await closings(server, "replaced")) === 2, "the old connections were not closed");
    if (mode === "websocket") {
      await eventually(() => alice.network.connections === 1, "the old transports were not closed");
    }

    // Somebody else's leave, for which the grace time began later, has come: alice's would have come before.
    const carol = await open(t, server, { user: "carol" });
    await carol.ok("join", "lobby");
    carol.close();
    await presence.until((items) => items.some(([{ event, user }]) => event === "leave" && user === "carol"));
    assert.deepEqual(presence.items.filter(([{ user }]) => user === "alice"), []);
    const { users } = await bob.ok("presence", "lobby");
    assert.equal(users.find(({ user }) => user === "alice").connections, 1);
    await settled(bob, [alice]);
    assert.deepEqual(heard(alice), upTo(speaker.said));
  });
}

test("a client that loses its network again and again under traffic receives everything once", async (t) => {
  const server = await serve(t, UNLIMITED);
  const speaker = new Speaker(await open(t, server, { user: "bob" }), "a", "b");
  const alice = await follow(t, server, { user: "alice" });
  for (const room of ["a", "b"]) await alice.ok("join", room);
  const stop = speaker.keepOn(t);
  for (let round = 1; round <= 8; round += 1) {
    const before = heard(alice).length;
    await alice.messages.count(before + 5);
    assert.equal(await away(alice, round % 2 ? "lose" : "cut"), true, `round ${round}`);
  }
  await stop();
  await hears(alice, upTo(speaker.said));
});

// A client that shows a `pid`, once its CONNECT is answered; one that is replaced at once may be closed before that, or before
// its `session` has come.
async function comesBack(t, server, auth) {
  const raw = new Raw(t, server);
  await raw.frame("0{");
  raw.send(`40${JSON.stringify(auth)}`);
  const answer = await Promise.race([raw.frame("40{"), raw.closed]);
  raw.pid = typeof answer === "string" ? JSON.parse(answer.slice(2)).pid : auth.pid;
  return raw;
}

test("a session is one connection's: the last that shows its pid has it, and those before are closed", async (t) => {
  const server = await serve(t, UNLIMITED);
  const bob = await open(t, server, { user: "bob" });
  const first = await rawClient(t, server, { user: "alice" });
  first.send('421["join",{"room":"lobby"}]');
  await first.frame("431");
  await bob.ok("message", { room: "lobby", data: 1 });
  await first.frame('42["message"');
  const [[, offset]] = first.events("message");

  const again = await Promise.all(upTo(5).map(() => comesBack(t, server, { user: "alice", pid: first.pid, offset })));
  await first.ended();
  const same = again.filter((raw) => raw.pid === first.pid);
  assert.notEqual(same.length, 0, "somebody has the session");
  const ended = new Set();
  for (const raw of same) raw.closed.then(() => ended.add(raw));
  await eventually(() => ended.size === same.length - 1, "all but one of those with the same pid end");
  const [owner] = same.filter((raw) => !ended.has(raw));
  await owner.frame('42["session"');
  for (const raw of same) for (const [session] of raw.events("session")) assert.equal(session.connection, first.session.connection);
  await bob.ok("message", { room: "lobby", data: 2 });
  await owner.frame('42["message"');
  assert.deepEqual(owner.events("message").map(([message]) => message.data), [2]);
  for (const raw of again) if (raw !== owner) assert.deepEqual(raw.events("message"), []);
});
