// The dashboard at /admin in Chromium: who gets in, what it shows, and what operators do on it, while clients of all kinds come and go.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { below } from "./support/below.mjs";
import { launch } from "./support/browser.mjs";
import { open, upTo } from "./support/clients.mjs";
import { ADMIN, alert, button, data, enter, entries, entry, EVIL, figures, go, goTo, isAccessible, isAt, isLive, KEY, legend, logIn, notice, operator, tableOf, visit } from "./support/dashboard.mjs";
import { source } from "./support/events.mjs";
import { network } from "./support/proxy.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { SECRET } from "./support/tokens.mjs";
import { call } from "./support/web.mjs";
import { peer } from "./support/websocket.mjs";

const OTHER_KEY = "another-key-of-operators-for-later";
const MODES = { "in open mode": {}, "with tokens": { "auth-hmac-secret": SECRET } };

// The browser, and a server for tests that do not end it.
const file = { after };
const [browser, shared] = await Promise.all([launch(file), serve(file, { ...ADMIN, node: "node-1" })]);

// The session of a page, as a header.
const sessionOf = async (page) => {
  const [{ name, value, ...how }] = await page.context().cookies();
  assert.deepEqual([how.httpOnly, how.sameSite], [true, "Strict"]);
  return { cookie: `${name}=${value}` };
};

for (const [mode, options] of Object.entries(MODES)) {
  test(`only the key opens the dashboard, until one logs out, ${mode}`, async (t) => {
    const server = await serve(t, { ...ADMIN, ...options, "limits-logins-per-minute": 3 });
    const page = await visit(t, browser, server, { at: "#/rooms/lobby", before: (page) => page.clock.install() });
    const field = page.getByLabel("Admin key");
    await field.fill("a wrong key");
    await page.keyboard.press("Enter");
    await alert(page, "This is not the admin key.");
    await logIn(page);
    await isAt(page, "lobby");
    await page.reload();
    await isLive(page);
    const headers = await sessionOf(page);
    assert.equal((await call(server, "GET", "/v1/stats", { headers })).status, 200);
    await button(page, "Log out").click();
    await alert(page, "You are logged out.");
    assert.equal((await call(server, "GET", "/v1/stats", { headers })).status, mode === "with tokens" ? 401 : 403);
    await page.reload();
    await field.waitFor();

    for (const n of upTo(2)) {
      await field.fill(`wrong key ${n}`);
      await page.keyboard.press("Enter");
      await alert(page, "This is not the admin key.");
    }
    await field.fill(KEY);
    await page.keyboard.press("Enter");
    await alert(page, /^Too many wrong keys\. Try again at \d\d:\d\d:\d\d\.$/);
    assert.equal(await button(page, "Log in").isDisabled(), true);
    const { status, headers: answered, body } = await call(server, "POST", "/admin/session", { body: { key: KEY } });
    assert.deepEqual([status, body.code], [429, "rate_limited"]);
    assert.ok(body.retry_after_ms > 0 && body.retry_after_ms <= 20_000 && answered.get("retry-after") > 0, body);
    await page.clock.fastForward(20_000);
    await alert(page, "You can try again now.");
    assert.equal(await button(page, "Log in").isDisabled(), false);
  });

  test(`a session that ends leads to the log-in, and from there to where one was, ${mode}`, async (t) => {
    const server = await serve(t, { ...ADMIN, ...options });
    const page = await enter(t, browser, server, { at: "#/rooms/lobby" });
    const logOutElsewhere = async () => assert.equal((await call(server, "DELETE", "/admin/session", { headers: await sessionOf(page) })).status, 204);
    await logOutElsewhere();
    await page.getByLabel("A message, data").fill("who am I?");
    await page.keyboard.press("Enter");
    await alert(page, "The session has ended.");
    await logIn(page);
    await isAt(page, "lobby");
    assert.deepEqual((await operator(server).get("/v1/rooms/lobby/messages")).messages, [], "nothing was sent in a guest's name");

    await goTo(page, "#/users?prefix=a");
    await isAt(page, "Users");
    await server.kill();
    server.options = { ...server.options, "auth-admin-key": OTHER_KEY };
    await server.start();
    await alert(page, "The session has ended.");
    await page.getByLabel("Admin key").fill(KEY);
    await page.keyboard.press("Enter");
    await alert(page, "This is not the admin key.");
    await logIn(page, OTHER_KEY);
    await isAt(page, "Users");
    assert.equal(await page.getByRole("searchbox").inputValue(), "a");

    // Also where the page only listens.
    await go(page, "Overview");
    await logOutElsewhere();
    await alert(page, "The session has ended.");
  });
}

// As the page writes a rate.
const rate = (value) => (value === null ? "–" : `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)}/s`);

// How much happened, by the samples of a rate.
const amount = ({ ts }, column) => Math.round(column.reduce((sum, value, i) => sum + (i > 0 ? (value * (ts[i] - ts[i - 1])) / 1000 : 0), 0));

test("the numbers are those of what happened: connections by transport, messages, deliveries, recoveries, refusals by limit", async (t) => {
  const server = await serve(t, { ...ADMIN, ...UNLIMITED, "limits-message-bytes": 1024, "limits-name-bytes": 24 });
  const page = await enter(t, browser, server, { at: "#/rooms/lobby" }); // reads along, which is no delivery
  const way = await network(t, server);
  const [alice, bob] = [await open(t, server, { user: "alice" }), await open(t, way, { user: "bob" })];
  const carol = await peer(t, server, { user: "carol", room: "lobby" });
  const dave = await source(t, server, { user: "dave", room: "lobby", names: ["cursor"] });
  const heard = [alice, bob].flatMap((client) => ["message", "presence", "cursor"].map((event) => client.on(event)));
  // What reached clients of the room, over all transports.
  const received = () =>
    heard.reduce((sum, { items }) => sum + items.length, 0) +
    carol.frames.items.filter(({ type, data }) => type !== "ack" && !["connected", "joined"].includes(data?.event)).length +
    dave.of("message", "presence", "cursor").length;
  for (const client of [alice, bob]) await client.ok("join", "lobby");
  const say = (data) => alice.ok("message", { room: "lobby", data });
  for (const n of upTo(30)) await say(n);
  for (const n of upTo(10)) await alice.ok("publish", { room: "lobby", event: "cursor", data: n, ephemeral: true });
  await heard[5].count(10);
  way.cut();
  await eventually(() => !bob.socket.connected, "bob is cut off");
  for (const n of upTo(5)) await say(n);
  way.mend();
  await eventually(() => bob.socket.recovered && heard[3].items.length === 35, "bob is back");
  await say("all of you");
  await heard[3].count(36);
  for (const n of upTo(7)) await alice.refused("message", { room: "lobby", data: "x".repeat(2000 + n) }, "too_large");
  for (const n of upTo(3)) await alice.refused("join", `a-name-that-is-far-too-long-${n}`, "bad_request");

  const admin = operator(server);
  const expected = { messages: 36, ephemeral_events: 10, recoveries: 1, limited: 10 };
  let stats;
  const total = (name) => amount(stats.series, stats.series[name] ?? []);
  // Each event of the room was delivered, or replayed after the cut. The samples and the totals are not of the same moment.
  const counted = () => [total("limited_per_second"), stats.nodes[0].totals.deliveries + total("replayed_per_second")];
  const isCounted = async () => {
    stats = await admin.get("/v1/stats");
    return `${counted()}` === `${[10, received()]}`;
  };
  await eventually(isCounted, "the samples").catch(() => assert.deepEqual(counted(), [10, received()]));
  const { series, nodes: [{ host, totals }] } = stats;
  assert.deepEqual({ ...totals, ...expected }, totals);
  assert.deepEqual(["messages", "ephemeral", "recoveries", "replayed"].map((name) => total(`${name}_per_second`)), [36, 10, 1, 5]);
  assert.deepEqual([total("limited.message_bytes"), total("limited.name_bytes")], [7, 3]);
  const connections = ["connections", "connections_socketio", "connections_websocket", "connections_events", "polls_waiting"];
  assert.deepEqual(connections.map((name) => series[name].at(-1)), [4, 2, 1, 1, 0]);

  await go(page, "Rooms");
  await page.getByRole("link", { name: "lobby" }).click();
  await eventually(async () => (await figures(page, "Numbers")) !== "", "the room's numbers");
  assert.match(await figures(page, "Numbers"), /^Users 4, Connections 4, Events [\d.]+\/s, Last message #36, Epoch \w+$/);
  await go(page, "Overview");
  const transports = ["Socket.IO 2", "WebSocket 1", "Server-Sent Events 1", "Long polls 0"];
  await eventually(async () => `${await legend(page, "Connections")}` === `${transports}`, "the connections");
  for (const [chart, names] of [
    ["Messages", ["messages_per_second", "ephemeral_per_second", "deliveries_per_second"]],
    ["Recoveries", ["recoveries_per_second", "recoveries_refused_per_second"]],
    ["Refusals by limit", ["limited.message_bytes", "limited.name_bytes"]],
  ]) {
    const rates = series.ts.map((_, i) => names.map((name) => rate(series[name][i])));
    const shown = async () => (await tableOf(page, chart)).slice(0, rates.length);
    await eventually(async () => `${await shown()}` === `${rates}`, chart).catch(async () => assert.deepEqual(await shown(), rates));
  }
  await go(page, "Nodes");
  await page.getByText("Totals since the start").click();
  const shownTotals = await figures(page, `Totals, ${host}`);
  for (const [name, value] of Object.entries({ ...expected, deliveries: totals.deliveries })) assert.ok(shownTotals.includes(`${name.replace("_", " ")} ${value}`), shownTotals);
});

test("a room is read along as it is, messages are sent to it, and its members are kicked and disconnected", async (t) => {
  const room = "Küche/1?#%<b>";
  const alice = await open(t, shared, { user: EVIL });
  await alice.ok("join", room);
  const page = await enter(t, browser, shared, { at: "#/rooms?prefix=K%C3%BC" });
  await page.getByRole("link", { name: room, exact: true }).click();
  await isAt(page, room);
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.getByText("Nothing has been said here yet.").waitFor();

  await alice.ok("message", { room, data: { text: EVIL } });
  await entry(page, `#1${EVIL} {"text":${JSON.stringify(EVIL)}}`).waitFor();
  await alice.ok("publish", { room, event: EVIL, data: [EVIL, null], ephemeral: true });
  await entry(page, `not stored${EVIL} ${EVIL} [${JSON.stringify(EVIL)},null]`).waitFor();
  await alice.ok("message", { room, data: "مرحبا \u202e" + "w".repeat(5000) });
  await page.getByRole("button", { name: /^Show all 5,\d+ characters$/ }).click();
  await entry(page, "w".repeat(5000)).waitFor();
  assert.equal(await page.locator("[onerror], [src=x]").count(), 0);

  await button(page, "Pause").click();
  for (const n of upTo(3)) await alice.ok("message", { room, data: `line ${n}` });
  const resume = button(page, "Resume (3)");
  await resume.waitFor();
  assert.equal((await entries(page)).length, 3);
  await resume.click();
  await entry(page, "#5").waitFor();
  assert.equal((await entries(page)).length, 6);

  const messages = alice.on("message");
  const pings = alice.on("ping");
  const outcome = page.getByRole("form", { name: "A message" }).getByRole("status");
  await data(page).fill(`a test ${EVIL}`);
  await page.keyboard.press("Enter");
  await outcome.getByText("Stored as #6.").waitFor();
  const [[{ seq, from, data: heard }]] = await messages.count(1);
  assert.deepEqual({ seq, from, heard }, { seq: 6, from: null, heard: { text: `a test ${EVIL}` } });
  await page.getByLabel("JSON").check();
  await data(page).fill('{"n": 12345678901234567890');
  await button(page, "Send").click();
  await outcome.getByText("This is not JSON").waitFor();
  await data(page).pressSequentially("}");
  await page.getByLabel("Event", { exact: true }).fill("ping");
  await page.getByLabel("As user").fill("robot");
  await page.getByLabel("Not stored").check();
  await button(page, "Send").click();
  await outcome.getByText("Sent, not stored.").waitFor();
  await pings.count(1);
  await entry(page, 'robot ping {"n":12345678901234567890}').waitFor();

  const kicked = alice.on("kicked");
  await button(page, `Kick ${EVIL}`).click();
  const dialog = page.getByRole("dialog", { name: "Kick this user from the room?" });
  await dialog.getByText(EVIL).waitFor();
  await dialog.getByLabel("Reason").fill(`spam ${EVIL}`);
  await button(dialog, "Kick").click();
  await notice(page, `${EVIL} was kicked: 1 connection.`);
  const [[{ room: left, reason }]] = await kicked.count(1);
  assert.deepEqual([left, reason], [room, `spam ${EVIL}`]);
  await page.getByText("Nobody is in this room.").waitFor();

  await alice.ok("join", room);
  await go(page, "Users");
  await page.getByRole("link", { name: EVIL }).click();
  await isAt(page, EVIL);
  const row = page.getByRole("table", { name: "Connections" }).locator("tbody tr");
  await row.getByText("Socket.IO").waitFor();
  await row.getByText("node-1").waitFor();
  await row.getByText("2 rooms").click();
  await row.getByRole("link", { name: room }).waitFor();
  const gone = alice.on("disconnect");
  await button(page, "Disconnect…").click();
  await button(page.getByRole("dialog"), "Disconnect").click();
  await notice(page, `${EVIL} was disconnected: 1 connection.`);
  const [[why]] = await gone.count(1);
  assert.equal(why, "io server disconnect");
  await page.getByText("No connection.").waitFor();
  await eventually(async () => (await figures(page, "State")).startsWith("State Offline"), "the state");
  assert.equal(await page.locator("[onerror], [src=x]").count(), 0);
});

test("a tail that was cut goes on where it was, and says what it has not seen", async (t) => {
  const way = await network(t, shared);
  const page = await enter(t, browser, way, { at: "#/rooms/cut" });
  const admin = operator(shared);
  for (const n of upTo(3)) await admin.say("cut", n);
  await entry(page, "#3").waitFor();
  way.cut();
  await page.getByText(/^Reconnecting\./).waitFor();
  await page.getByText(/Next attempt in/).waitFor({ state: "attached" });
  for (const n of upTo(2)) await admin.say("cut", n);
  way.mend();
  await button(page, "Try now").click();
  await isLive(page);
  await entry(page, "#5").waitFor();
  way.cut();
  await page.getByText(/^Reconnecting\./).waitFor();
  for (const n of upTo(30)) await admin.say("cut", n);
  way.mend();
  await entry(page, "#35").waitFor();
  const numbers = (await entries(page)).map((text) => text.match(/#(\d+)/)?.[1] ?? text);
  assert.deepEqual(numbers, [1, 2, 3, 4, 5].map(String).concat("10 messages missed while reconnecting", upTo(20).map((n) => `${n + 15}`)));
});

test("everything can be done without a mouse", async (t) => {
  const alice = await open(t, shared, { user: "alice" });
  await alice.ok("join", "keys");
  const page = await visit(t, browser, shared);
  const { keyboard } = page;
  const focused = () => page.evaluate(() => {
    const node = document.activeElement;
    return node.getAttribute("aria-label") ?? (node.textContent.trim() || node.labels?.[0]?.textContent.trim() || "");
  });
  // The next element, forwards or backwards, that begins with this text.
  const tabTo = async (text, key = "Tab") => {
    const passed = [];
    for (const _ of upTo(40)) {
      if ((await focused()).startsWith(text)) return;
      passed.push(await focused());
      await keyboard.press(key);
    }
    assert.fail(`${text} cannot be reached: ${passed}`);
  };
  await keyboard.type(KEY);
  await keyboard.press("Enter");
  await isLive(page);
  // Moments of a chart.
  await tabTo("Messages, moment");
  const slider = page.getByRole("slider", { name: "Messages, moment" });
  await keyboard.press("Home");
  await eventually(async () => (await slider.getAttribute("aria-valuenow")) === "0", "the first moment");
  await tabTo("Latency of storing as a table");
  await keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await keyboard.press("Escape");
  assert.equal(await focused(), "Latency of storing as a table");

  await tabTo("Rooms", "Shift+Tab");
  await keyboard.press("Enter");
  await isAt(page, "Rooms");
  assert.equal(await focused(), "Rooms", "the focus is on the title");
  await tabTo("Search rooms");
  await keyboard.type("key");
  await eventually(() => page.url().endsWith("#/rooms?prefix=key"), "the search");
  await tabTo("keys");
  await keyboard.press("Enter");
  await isAt(page, "keys");
  const messages = alice.on("message");
  const kicked = alice.on("kicked");
  await tabTo("A message, data");
  await keyboard.type("by hand");
  await keyboard.press("Enter");
  await entry(page, '#1').waitFor();
  assert.deepEqual((await messages.count(1))[0][0].data, { text: "by hand" });
  await tabTo("Kick alice");
  await keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await keyboard.type("enough");
  await keyboard.press("Enter");
  assert.equal((await kicked.count(1))[0][0].reason, "enough");
  await notice(page, "alice was kicked");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.notEqual(await focused(), "", "the focus is not lost");
  await tabTo("Log out", "Shift+Tab");
  await keyboard.press("Enter");
  await alert(page, "You are logged out.");
  await keyboard.type(KEY);
  await keyboard.press("Enter");
  await isAt(page, "keys");
});

test("behind a proxy's path and with a prefix, with and without the slash at the end, everything is found", async (t) => {
  const server = await serve(t, { ...ADMIN, "http-prefix": "/realtime" });
  const places = [
    [{ url: await below(t, shared, "/app") }, ""],
    [server, "/realtime"],
    [{ url: await below(t, server, "/app") }, "/realtime"],
  ];
  for (const [place, path] of places.flatMap(([place, prefix]) => ["/admin", "/admin/"].map((end) => [place, prefix + end]))) {
    const page = await enter(t, browser, place, { path, at: "#/rooms/lobby" });
    await page.getByText("Connected", { exact: true }).waitFor();
    await data(page).fill("hello");
    await page.keyboard.press("Enter");
    await page.getByText(/^Stored as #\d+\.$/).waitFor();
    await page.reload();
    await isLive(page);
    await button(page, "Log out").click();
    await alert(page, "You are logged out.");
    await page.reload();
    await page.getByLabel("Admin key").waitFor();
  }
});

test("without a key the dashboard says how to open it", async (t) => {
  const server = await serve(t);
  const page = await (await browser.newContext()).newPage();
  defer(t, () => page.context().close());
  const response = await page.goto(`${server.url}/admin`);
  assert.equal(response.status(), 404);
  await page.getByRole("heading", { name: "The dashboard is closed" }).waitFor();
  await page.getByText("SWITCHBOARD_AUTH_ADMIN_KEY").first().waitFor();
  await isAccessible(page, "closed");
});
