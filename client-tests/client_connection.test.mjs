// How the client @switchboard/client connects: tokens, refusals, back-off, and what it does when the server says no.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { client, connected, enter, joined, LINKS, shows } from "./support/client.mjs";
import { network } from "./support/proxy.mjs";
import { defer, eventually, Journal } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";

const SIGNED = { ...UNLIMITED, "auth-hmac-secret": SECRET };
const KEY = "an-example-key-to-be-changed";

// Every snapshot of a store from now on.
function history(t, store) {
  const journal = new Journal("snapshots");
  const end = store.subscribe(() => journal.add(store.getSnapshot()));
  defer(t, async () => end());
  return journal;
}

for (const link of LINKS) {
  const suite = (name, run) => test(`${link}: ${name}`, run);

  suite("a token is asked for before it expires, and the connection goes on", async (t) => {
    const server = await serve(t, SIGNED);
    let asked = 0;
    const auth = async () => ((asked += 1), { token: sign({ sub: "alice", exp: at(asked === 1 ? 4 : 3600) }) });
    const alice = client(t, server, { link, auth });
    const sessions = new Journal("sessions");
    const errors = new Journal("errors");
    alice.on("session", (session) => sessions.add(session));
    alice.on("error", (error) => errors.add(error));
    const room = await enter(t, alice, "lobby");
    await eventually(() => asked === 2, "the token was asked for again", 10_000);
    await eventually(() => Date.now() > sessions.items[0].expires_at + 500, "the first token has expired");
    await room.send("still here");
    assert.equal(sessions.items.length, 1);
    assert.deepEqual(errors.items, []);
    assert.equal(asked, 2);
  });

  suite("a token that has expired is replaced when the server says so", async (t) => {
    const server = await serve(t, SIGNED);
    let broken = true;
    let asked = 0;
    const auth = async () => {
      asked += 1;
      if (asked > 1 && broken) throw new Error("no token today");
      return { token: sign({ sub: "alice", exp: at(asked === 1 ? 3 : 3600) }) };
    };
    const alice = client(t, server, { link, auth });
    const expired = new Journal("errors");
    alice.on("error", (error) => {
      broken = false;
      expired.add(error.code);
    });
    const sessions = new Journal("sessions");
    alice.on("session", (session) => sessions.add(session));
    const room = await enter(t, alice, "lobby");
    await expired.count(1);
    assert.deepEqual(expired.items, ["token_expired"]);
    const before = asked;
    await eventually(() => asked > before, "the token was asked for again");
    await room.send("still here");
    assert.equal(sessions.items.length, 1);
  });

  suite("a bad token is refused, what waits fails, and connecting again asks again", async (t) => {
    const server = await serve(t, SIGNED);
    let token = "not a token";
    const alice = client(t, server, { link, auth: () => ({ token }) });
    const room = alice.room("lobby");
    const sent = room.send("hello");
    await assert.rejects(sent, { code: "unauthorized" });
    const { error, attempt } = await shows(alice.connection, ({ status }) => status === "refused");
    assert.deepEqual([error.code, attempt], ["unauthorized", 1]);
    const refused = await shows(room, ({ status }) => status === "refused");
    assert.equal(refused.error.code, "unauthorized");
    assert.equal(refused.messages[0].state, "failed");
    await assert.rejects(room.send("again"), { code: "unauthorized" });
    token = sign({ sub: "alice" });
    alice.connect();
    await joined(room);
    room.getSnapshot().messages[0].retry();
    await shows(room, ({ messages }) => messages.some(({ state }) => state === "sent"));
  });

  suite("an auth function that fails is asked again, and is told", async (t) => {
    const server = await serve(t, SIGNED);
    let asked = 0;
    const auth = async () => {
      asked += 1;
      if (asked < 3) throw new Error("the back end is down");
      return { token: sign({ sub: "alice" }) };
    };
    const alice = client(t, server, { link, auth });
    alice.connect();
    const { error, retryAt } = await shows(alice.connection, ({ status }) => status === "offline");
    assert.equal(error.code, "unavailable");
    assert.match(error.message, /the back end is down/);
    assert.equal(typeof retryAt, "number");
    const now = await connected(alice);
    assert.equal(now.attempt, 0);
    assert.equal(now.error, undefined);
    assert.equal(asked, 3);
  });

  suite("attempts are counted and spread, and giving up says how many were made", async (t) => {
    const nobody = { url: `http://127.0.0.1:${await unusedPort()}` };
    const alice = client(t, nobody, { link, user: "alice", reconnect: { minDelay: 20, maxDelay: 60, attempts: 4 } });
    const snapshots = history(t, alice.connection);
    const sent = alice.room("lobby").send("hello");
    await assert.rejects(sent, { code: "unavailable" });
    const { error, attempt, maxAttempts } = await shows(alice.connection, ({ status }) => status === "refused");
    assert.equal(error.code, "unavailable");
    assert.match(error.message, /4 attempts/);
    assert.deepEqual([attempt, maxAttempts], [4, 4]);
    const offline = snapshots.items.filter(({ status }) => status === "offline");
    assert.ok(offline.length >= 1);
    for (const { retryAt, error } of offline) {
      assert.equal(typeof retryAt, "number");
      assert.equal(error.code, "unavailable");
    }
  });

  suite("a page that is online again connects at once", async (t) => {
    const server = await serve(t, UNLIMITED);
    const way = await network(t, server);
    const listeners = new Set();
    globalThis.addEventListener = (event, listener) => event === "online" && listeners.add(listener);
    globalThis.removeEventListener = (event, listener) => listeners.delete(listener);
    t.after(() => {
      delete globalThis.addEventListener;
      delete globalThis.removeEventListener;
    });
    const alice = client(t, way, { link, user: "alice", reconnect: { minDelay: 60_000 } });
    const room = await enter(t, alice, "lobby");
    way.cut();
    await shows(alice.connection, ({ status, retryAt }) => status === "offline" && retryAt > Date.now() + 5_000);
    way.mend();
    for (const listener of listeners) listener();
    await joined(room);
    alice.close();
    assert.equal(listeners.size, 0);
  });

  suite("a server that was restarted is found again, by itself", async (t) => {
    const server = await serve(t, UNLIMITED);
    const alice = client(t, server, { link, user: "alice" });
    const room = await enter(t, alice, "lobby");
    await room.send(1);
    assert.equal((await server.stop()).code, 0);
    await shows(room, ({ status }) => status === "offline");
    await server.start();
    await joined(room);
    await room.send(2);
  });

  suite("a back end that disconnects a user ends it, until the application connects again", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "auth-api-keys": KEY });
    const alice = client(t, server, { link, user: "alice" });
    const room = await enter(t, alice, "lobby");
    const headers = { authorization: `Bearer ${KEY}` };
    const response = await fetch(`${server.url}/v1/users/alice/connections`, { method: "DELETE", headers });
    assert.equal(response.ok, true);
    const { error } = await shows(alice.connection, ({ status }) => status === "refused");
    assert.equal(error.code, "forbidden");
    await shows(room, ({ status }) => status === "refused");
    alice.connect();
    await joined(room);
  });

  suite("a status that was set is there again after the session was lost", async (t) => {
    const server = await serve(t, { ...UNLIMITED, "recovery-window": 0, "presence-grace": "1ms" });
    const way = await network(t, server);
    const alice = client(t, way, { link, user: "alice" });
    const room = await enter(t, alice, "lobby");
    await alice.setStatus("busy");
    await shows(room, ({ members }) => members.users[0]?.status === "busy");
    const other = await enter(t, client(t, server, { link, user: "bob" }), "lobby");
    way.cut();
    await shows(other, ({ members }) => members.count === 1);
    way.mend();
    await shows(other, ({ members }) => members.users.find(({ user }) => user === "alice")?.status === "busy");
  });
}

test("a client with stock options begins by polling, upgrades, and is one session", async (t) => {
  const server = await serve(t, UNLIMITED);
  const alice = client(t, server, { user: "alice", socket: {} });
  const sessions = new Journal("sessions");
  alice.on("session", (session) => sessions.add(session));
  const room = await enter(t, alice, "lobby");
  await Promise.all([1, 2, 3].map((n) => room.send(n)));
  assert.equal(sessions.items.length, 1);
});

test("two clients of one page are two users", async (t) => {
  const server = await serve(t, UNLIMITED);
  const users = ["alice", "bob"].map((user) => client(t, server, { user, socket: {} }));
  for (const each of users) each.connect();
  const [alice, bob] = await Promise.all(users.map(connected));
  assert.deepEqual([alice.user, bob.user], ["alice", "bob"]);
  assert.notEqual(alice.connection, bob.connection);
});

test("a namespace that does not exist is refused", async (t) => {
  const server = await serve(t, UNLIMITED);
  const alice = client(t, { url: `${server.url}/nowhere` }, { user: "alice" });
  alice.connect();
  const { error } = await shows(alice.connection, ({ status }) => status === "refused");
  assert.equal(error.code, "not_found");
});

test("signals are replied to by the first handler, and who has none is missing", async (t) => {
  const server = await serve(t, UNLIMITED);
  const [alice, bob] = ["alice", "bob"].map((user) => client(t, server, { user }));
  await Promise.all([alice, bob].map((each) => enter(t, each, "lobby")));
  const seen = new Journal("signals");
  bob.onSignal("offer", async (data, from) => {
    seen.add(from.user);
    return { answer: data.sdp + 1 };
  });
  const end = bob.onSignal("offer", () => seen.add("second"));
  const { replies, missing } = await alice.signal({ user: "bob" }, "offer", { sdp: 1 });
  assert.equal(missing, 0);
  assert.equal(replies.length, 1);
  assert.deepEqual([replies[0].user, replies[0].data], ["bob", { answer: 2 }]);
  assert.deepEqual(seen.items, ["alice", "second"]);
  end();
  const none = await alice.signal({ user: "bob" }, "nothing", null, { timeoutMs: 200 });
  assert.deepEqual(none, { replies: [], missing: 1 });
  await assert.rejects(alice.signal({ user: "nobody" }, "offer"), { name: "SwitchboardError" });
  const first = client(t, server, { user: "alice" });
  assert.equal((await first.signal({ user: "alice" }, "nothing", 1, { timeoutMs: 100 })).missing, 1);
});

async function unusedPort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
