// Socket.IO's own Admin UI (@socket.io/admin-ui 0.5): its protocol on the namespace /admin, and its built page in Chromium.

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { test } from "node:test";
import { launch, openPage, screenshot, servePages } from "./support/browser.mjs";
import { open, refusal, start, upTo } from "./support/clients.mjs";
import { ADMIN, KEY } from "./support/dashboard.mjs";
import { nodes } from "./support/nodes.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { peer } from "./support/websocket.mjs";

const EVENTS = ["session", "config", "server_stats", "all_sockets", "socket_connected", "socket_updated", "socket_disconnected", "room_joined", "room_left", "event_received"];

// An operator on the way in, with a journal of each event of the protocol in `told`.
function knock(t, server, auth, options = {}) {
  const client = start(t, server, { namespace: "/admin", auth, reconnection: false, ...options });
  client.told = Object.fromEntries(EVENTS.map((event) => [event, client.on(event)]));
  client.tells = (event, matches) => client.told[event].until((items) => items.find((args) => matches(...args)), event);
  client.does = (event, ...args) => client.ok(event, ...args);
  return client;
}

// An operator who is in, and has been shown all sockets.
async function operate(t, server, options) {
  const operator = knock(t, server, { username: "anybody", password: KEY }, options);
  [operator.sockets] = await operator.tells("all_sockets", () => true);
  return operator;
}

const features = ([{ supportedFeatures }]) => supportedFeatures;
// The id of its socket, which it forgets when it is disconnected.
const idOf = (client) => client.me.connection;
// Why the client is disconnected; to be asked for before it is.
const end = (client) => new Promise((resolve) => client.socket.once("disconnect", resolve));

test("only the key of operators opens the Admin UI, with any name, and wrong keys are limited", async (t) => {
  const server = await serve(t, { ...ADMIN, "auth-hmac-secret": SECRET, "limits-logins-per-minute": 3 });
  const turned = async (auth) => (await refusal(knock(t, server, auth))).message;
  for (const auth of [{}, { username: "admin" }, { sessionId: "x" }, { password: 7 }]) assert.equal(await turned(auth), "invalid credentials");
  const operator = knock(t, server, { username: "a name", password: KEY });
  const [session] = await operator.tells("session", () => true);
  for (const n of upTo(3)) assert.equal(await turned({ username: "admin", password: `wrong ${n}` }), "invalid credentials");
  assert.equal(await turned({ username: "admin", password: KEY }), "too many log-ins with a wrong key from this address");
  assert.equal(await turned({ sessionId: `${session}A` }), "invalid credentials");
  // A session needs no log-in, and the token of a user is none.
  const again = knock(t, server, { sessionId: session });
  assert.deepEqual(await again.tells("session", () => true), [session]);
  assert.equal(await turned({ token: sign({ sub: "alice" }) }), "invalid credentials");
  assert.equal(again.socket._pid, undefined, "there is nothing to recover");
});

test("without a key, without the dashboard, and where an application has the namespace, there is no Admin UI", async (t) => {
  const turned = async (options) => {
    const server = await serve(t, options);
    return (await refusal(knock(t, server, { username: "admin", password: KEY }))).message;
  };
  assert.equal(await turned({}), "Invalid namespace");
  assert.equal(await turned({ ...ADMIN, "http-routes": "rest,health" }), "Invalid namespace");
  const server = await serve(t, { ...ADMIN, "socketio-namespaces": "/,/admin" });
  const user = await open(t, server, { namespace: "/admin", user: "alice" });
  await user.ok("join", "lobby");
});

for (const mode of ["websocket", "polling", "upgrade"]) {
  test(`an operator is shown who connects, joins, sends, leaves and goes, over ${mode}`, async (t) => {
    const server = await serve(t, { ...ADMIN, "socketio-namespaces": "/,/chat", "socketio-relay": "draw", node: "node-1" });
    const alice = await open(t, server, { user: "alice" });
    await alice.ok("join", "lobby");
    const operator = await operate(t, server, { mode });
    assert.deepEqual(features(operator.told.config.items[0]), ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT", "AGGREGATED_EVENTS", "ALL_EVENTS"]);
    const [{ clientId, handshake, ...shown }] = operator.sockets;
    assert.equal(operator.sockets.length, 1, "operators are not shown themselves");
    assert.deepEqual(shown, { id: idOf(alice), transport: "websocket", nsp: "/", data: { user: "alice", name: null }, rooms: [idOf(alice), "lobby", "user:alice"] });
    assert.match(clientId, /^[0-9a-f]{12}$/);
    assert.equal(handshake.address, "127.0.0.1");
    assert.ok(Date.now() - handshake.issued < 60_000 && new Date(handshake.time).getTime() === handshake.issued);

    const bob = await open(t, server, { user: "bob", namespace: "/chat", mode: "polling" });
    const [socket, at] = await operator.tells("socket_connected", ({ id }) => id === idOf(bob));
    assert.deepEqual([socket.nsp, socket.transport, socket.rooms, new Date(at).toISOString()], ["/chat", "polling", [idOf(bob), "user:bob"], at]);
    await bob.ok("join", "side");
    await operator.tells("room_joined", (nsp, room, id) => nsp === "/chat" && room === "side" && id === idOf(bob));
    await bob.ask("draw", { x: 1 }, [2]);
    await operator.tells("event_received", (nsp, id, [event, ...args]) => nsp === "/chat" && id === idOf(bob) && event === "draw" && JSON.stringify(args) === '[{"x":1},[2]]');
    await alice.ok("message", { room: "lobby", data: "x".repeat(5000) });
    const [, , [, size]] = await operator.tells("event_received", (nsp, id, [event]) => nsp === "/" && event === "message");
    assert.match(size, /^… 5\d{3} bytes$/);
    await alice.ask("refresh", { token: "a token" });
    const [, , refreshed] = await operator.tells("event_received", (nsp, id, [event]) => event === "refresh");
    assert.deepEqual(refreshed, ["refresh"], "a token is not shown");
    await bob.ok("leave", "side");
    await operator.tells("room_left", (nsp, room, id) => room === "side" && id === idOf(bob));
    bob.close();
    await operator.tells("socket_disconnected", (nsp, id) => nsp === "/chat" && id === idOf(bob));

    const [stats] = await operator.tells("server_stats", ({ aggregatedEvents }) => ["rawConnection", "bytesIn", "bytesOut"].every((type) => aggregatedEvents.some((event) => event.type === type)));
    assert.deepEqual([stats.serverId, stats.pid, stats.namespaces.find(({ name }) => name === "/").socketsCount], ["node-1", server.pid, 1]);
    assert.ok(stats.hostname !== "" && stats.uptime > 0 && stats.clientsCount >= 2 && stats.pollingClientsCount <= stats.clientsCount, JSON.stringify(stats));
    await operator.tells("server_stats", ({ aggregatedEvents }) => aggregatedEvents.some(({ type, count }) => type === "rawDisconnection" && count === 1));
  });
}

test("what operators ask for is done on every node: emit, join, leave, disconnect, by namespace, room and socket", async (t) => {
  const store = await redis(t);
  const [a, b] = await nodes(t, store, 2, { ...ADMIN, "socketio-namespaces": "/,/chat" });
  const alice = await open(t, a, { user: "alice" });
  const bob = await open(t, b, { user: "bob" });
  const carol = await open(t, b, { user: "carol", namespace: "/chat" });
  const heard = [alice, bob, carol].map((client) => client.on("told"));
  const operator = await operate(t, a);
  assert.deepEqual(operator.sockets.map(({ id }) => id).sort(), [alice, bob, carol].map(idOf).sort());
  await operator.told.server_stats.until((items) => new Set(items.map(([{ serverId }]) => serverId)).size === 2, "both servers");

  await operator.does("join", "/", "lobby", idOf(bob));
  await operator.tells("room_joined", (nsp, room, id) => room === "lobby" && id === idOf(bob));
  await operator.does("join", "/", "hall");
  await operator.tells("room_joined", (nsp, room, id) => room === "hall" && id === idOf(alice));
  await operator.does("emit", "/", "lobby", "told", "lobby", { n: 1 });
  await operator.does("emit", "/", idOf(alice), "told", "alice");
  await operator.does("emit", "/", idOf(bob), "told", "bob");
  await operator.does("emit", "/", null, "told", "everybody");
  await operator.does("emit", "/chat", undefined, "told", "chat");
  await operator.does("leave", "/", "hall", "lobby");
  await operator.tells("room_left", (nsp, room, id) => room === "hall" && id === idOf(bob));
  await operator.does("emit", "/", "hall", "told", "hall");
  await Promise.all([heard[0].count(3), heard[1].count(3), heard[2].count(1)]);
  assert.deepEqual(heard.map(({ items }) => items.map((args) => args[0])), [["alice", "everybody", "hall"], ["lobby", "bob", "everybody"], ["chat"]]);

  const gone = end(bob);
  await operator.does("_disconnect", "/", true, "lobby");
  assert.equal(await gone, "io server disconnect");
  await operator.tells("socket_disconnected", (nsp, id) => id === idOf(bob));
  assert.equal(carol.socket.connected, true);
  await operator.does("_disconnect", "/chat", false);
  await operator.tells("socket_disconnected", (nsp, id) => id === idOf(carol));

  const refused = async (code, event, ...args) => assert.equal((await operator.ask(event, ...args)).error.code, code, event);
  await refused("bad_request", "emit", "/", "lobby");
  await refused("bad_request", "emit", "/", "lobby", "disconnect");
  await refused("bad_request", "emit", "/", "not a room", "told");
  await refused("bad_request", "join", "/", "");
  await refused("bad_request", "leave", 7, "lobby");
  await refused("bad_request", "message", "/", { room: "lobby", data: 1 });
  await refused("not_found", "_disconnect", "/elsewhere", true);
  await operator.does("emit", "/", null, "told", "still here");
});

test("a node that is killed takes its sockets with it, and its server is not reported any more", async (t) => {
  const store = await redis(t);
  const [a, b] = await nodes(t, store, 2, ADMIN);
  const bob = await open(t, b, { user: "bob", reconnection: false });
  const operator = await operate(t, a);
  assert.deepEqual(operator.sockets.map(({ id }) => id), [idOf(bob)]);
  await b.kill();
  await operator.tells("socket_disconnected", (nsp, id) => id === idOf(bob));
});

test("beyond 500 sockets only servers, numbers and rates are shown, until there are fewer again", async (t) => {
  const server = await serve(t, { ...ADMIN, "limits-connects-per-second": 0, "limits-connections-per-ip": 0 });
  const crowd = await Promise.all(upTo(500).map((n) => peer(t, server, { user: `u${n}` })));
  const operator = await operate(t, server);
  assert.equal(operator.sockets.length, 500);
  const last = await open(t, server, { user: "one-more" });
  const development = (wanted) => (config) => config.supportedFeatures.includes("ALL_EVENTS") === wanted;
  await operator.tells("config", development(false));
  const before = operator.told.event_received.items.length;
  await last.ok("join", "lobby");
  await operator.tells("server_stats", ({ namespaces }) => namespaces[0]?.socketsCount === 501);
  assert.deepEqual([operator.told.event_received.items.length, operator.told.socket_connected.items.length], [before, 0]);
  crowd.slice(0, 51).forEach((client) => client.socket.close());
  await operator.told.config.until((items) => items.length === 3, "the development mode again");
  await operator.told.all_sockets.until((items) => items.length === 2, "all sockets again");
  assert.equal(operator.told.all_sockets.items[1][0].length, 450);
});

test("the Admin UI's page shows servers, clients, sockets, rooms and events, and acts on them", async (t) => {
  const folder = join(dirname(createRequire(import.meta.url).resolve("@socket.io/admin-ui/package.json")), "ui/dist");
  const [browser, pages, server] = await Promise.all([launch(t), servePages(t, folder), serve(t, { ...ADMIN, node: "node-1", "socketio-relay": "draw" })]);
  const alice = await open(t, server, { user: "alice" });
  const bob = await open(t, server, { user: "bob", mode: "polling" });
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const page = await openPage(t, browser, pages);
  const field = (name) => page.getByLabel(name, { exact: true });
  const visit = (name) => page.getByRole("navigation").getByRole("link", { name }).click();
  const row = (text) => page.getByRole("row").filter({ hasText: text });

  await field("Server URL").fill(server.url);
  await field("Username").fill("anybody");
  await field("Password").fill("a wrong key");
  await page.getByRole("button", { name: "Connect" }).click();
  await page.getByText("Invalid credentials").waitFor();
  await field("Password").fill(KEY);
  await page.getByRole("button", { name: "Connect" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.getByText("connected").first().waitFor();
  const shown = async () => /WebSocket\s+2\s[\s\S]*HTTP long-polling\s+1\s/.test(await page.getByRole("main").innerText());
  await eventually(shown, "two clients with a WebSocket, and one that polls");
  await screenshot(page, "admin-ui-dashboard");

  await visit("Servers");
  await row("node-1").filter({ hasText: String(server.pid) }).filter({ hasText: "healthy" }).waitFor();
  await visit("Sockets");
  await row(idOf(alice)).waitFor();
  await row(idOf(bob)).filter({ hasText: "polling" }).waitFor();
  await row(idOf(alice)).click();
  await page.getByText('"user": "alice"').waitFor();
  await page.getByLabel("Join a room").fill("announcements");
  await page.locator("form").getByRole("button").last().click();
  await row("announcements").waitFor();
  await alice.ok("message", { room: "announcements", data: "I am in" });
  await visit("Rooms");
  await row("lobby").filter({ hasText: "2" }).waitFor();
  await alice.ask("draw", { x: 1 });
  await visit("Events");
  await row("draw").first().waitFor();
  await screenshot(page, "admin-ui-events");
  await visit("Sockets");
  const gone = end(bob);
  await row(idOf(bob)).getByRole("button").click();
  assert.equal(await gone, "io server disconnect");
  await page.getByText("disconnected").first().waitFor();

  // The page keeps its session.
  await page.reload();
  await page.getByText("connected").first().waitFor();
  await visit("Clients");
  await page.getByRole("row").filter({ hasText: /^[0-9a-f]{12}/ }).first().waitFor();
  assert.deepEqual(page.errors, []);
});
