// The page at `/` in Chromium: what people do on it, while connections are cut, the server is killed, and other clients join in.
//
// UPDATE_SCREENSHOTS=1 writes its pictures of docs/images.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import http from "node:http";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "node:test";
import { hasNoViolations } from "./support/accessibility.mjs";
import { launch, openPage, screenshot } from "./support/browser.mjs";
import { open, upTo } from "./support/clients.mjs";
import { network } from "./support/proxy.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { binary, serve, UNLIMITED } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";
import { Caller } from "./support/web.mjs";

const run = promisify(execFile);
// Programs that are run here find socket.io-client.
const cache = fileURLToPath(new URL("node_modules/.cache", import.meta.url));
const DESKTOP = { width: 1280, height: 720 };
const PHONE = { width: 390, height: 844 };
const QUICK = { "presence-grace": "200ms" };

// No page may ask another host for anything, break its own policy, or have an error.
function watch(t, page) {
  page.foreign = [];
  const { host } = new URL(page.url());
  const ask = (url) => new URL(url).host !== host && !url.startsWith("data:") && page.foreign.push(url);
  page.on("request", (request) => ask(request.url()));
  page.on("websocket", (socket) => ask(socket.url()));
  page.on("console", (message) => /Content Security Policy/i.test(message.text()) && page.foreign.push(message.text()));
  defer(t, () => assert.deepEqual([page.foreign, page.errors ?? []], [[], []]));
  return page;
}

// The page, before anybody has signed in.
async function start(t, browser, url, options) {
  const page = watch(t, await openPage(t, browser, url, options));
  await page.reload();
  return page;
}

// A page on which `user` is in the lobby.
async function enter(t, browser, url, user, options) {
  const page = await start(t, browser, url, options);
  await page.getByLabel("Your name").fill(user);
  await page.keyboard.press("Enter");
  await isConnected(page);
  return page;
}

const isConnected = (page) => page.locator("#chat[data-connection=connected]").waitFor();
const box = (page) => page.getByRole("textbox", { name: /^Message to/ });
const button = (page, name) => page.getByRole("button", { name, exact: true });
const connection = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();
const openRoom = (page, name) => page.getByRole("navigation", { name: "Rooms" }).getByRole("button", { name }).click();

async function say(page, text) {
  await box(page).fill(text);
  await box(page).press("Enter");
}

// What the list shows: "#1 alice: hello", and the texts between the messages.
const shown = (page) =>
  page.locator("#entries > li").evaluateAll((entries) =>
    entries.map((entry) => {
      const text = (part) => entry.querySelector(part)?.textContent ?? "";
      if (!entry.matches(".message")) return entry.textContent;
      return `${text(".seq") || text(".state")} ${text(".sender strong")}: ${text(".body")}`;
    }),
  );

async function shows(page, expected, pick = () => true) {
  let found;
  const complete = async () => JSON.stringify((found = (await shown(page)).filter(pick))) === JSON.stringify(expected);
  await eventually(complete, "the list").catch(() => assert.deepEqual(found, expected));
}

const isMessage = (text) => !/ joined$| left$/.test(text);

test("two tabs of two people chat: numbers, presence and typing come and go", async (t) => {
  const server = await serve(t, QUICK);
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  const opening = alice.context().waitForEvent("page");
  await alice.getByRole("link", { name: "Open a tab as bob" }).click();
  const bob = watch(t, await opening);
  await isConnected(bob);
  await alice.getByText("A client called bob joined").waitFor();
  const people = alice.locator("#people > li");
  await people.filter({ hasText: "bob" }).getByText("bob").waitFor();
  await alice.getByText("2 here").waitFor();

  await say(alice, "hello");
  await alice.getByText(/stored in \d+ ms/).waitFor();
  await box(bob).pressSequentially("hi");
  await alice.getByText("bob is typing").waitFor();
  await box(bob).press("Enter");
  await alice.getByText("bob is typing").waitFor({ state: "hidden" });
  await box(bob).pressSequentially("never sent");
  await alice.getByText("bob is typing").waitFor();
  await box(bob).fill("");
  await alice.getByText("bob is typing").waitFor({ state: "hidden" });
  for (const page of [alice, bob]) await shows(page, ["#1 alice: hello", "#2 bob: hi"], isMessage);
  await people.filter({ hasText: "bob" }).getByText("read #2").waitFor();
  assert.match(await alice.title(), /^alice /);
  assert.match(await bob.title(), /^bob /);

  await bob.reload();
  await shows(bob, ["#1 alice: hello", "#2 bob: hi"], isMessage);
  await bob.close();
  await alice.getByText("bob left").waitFor();
  await alice.getByText("1 here").waitFor();
  assert.equal(await people.filter({ hasText: "bob" }).count(), 0);
});

test("rooms are made by their names, left, and kept over a reload; what is unread is counted until it is looked at", async (t) => {
  const server = await serve(t);
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  const bob = new Caller(server, { user: "bob" });
  const name = alice.getByLabel("Join or create a room");
  await name.fill("the kitchen");
  await name.press("Enter");
  await alice.getByRole("heading", { name: "the-kitchen" }).waitFor();
  await say(alice, "is anybody here?");
  for (const n of upTo(3)) await bob.say("lobby", { text: `line ${n}` });
  const lobby = alice.getByRole("button", { name: "lobby" });
  await lobby.getByText("3 unread").waitFor();
  await eventually(async () => (await alice.title()).startsWith("(3) alice"), "the title");
  await alice.reload();
  await lobby.getByText("3 unread").waitFor();
  assert.equal(await alice.getByRole("heading", { level: 1 }).textContent(), "the-kitchen");
  await lobby.click();
  await shows(alice, ["Unread", "#1 bob: line 1", "#2 bob: line 2", "#3 bob: line 3"]);
  await lobby.getByText("unread").waitFor({ state: "hidden" });
  const other = await open(t, server, { user: "alice" });
  await eventually(async () => (await other.ok("join", "lobby")).unread === 0, "the server knows that it was read");

  // A tab that nobody looks at reads nothing.
  const look = (visibility) =>
    alice.evaluate((value) => {
      Object.defineProperty(document, "visibilityState", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, visibility);
  await look("hidden");
  await bob.say("lobby", { text: "psst" });
  await lobby.getByText("1 unread").waitFor();
  await look("visible");
  await lobby.getByText("unread").waitFor({ state: "hidden" });
  await shows(alice, ["#1 bob: line 1", "#2 bob: line 2", "#3 bob: line 3", "Unread", "#4 bob: psst"]);

  // What is read in one tab is read in all.
  await openRoom(alice, "the-kitchen");
  const { seq } = await bob.say("lobby", { text: "once more" });
  await lobby.getByText("1 unread").waitFor();
  await other.ok("read", { room: "lobby", seq });
  await lobby.getByText("unread").waitFor({ state: "hidden" });
  await button(alice, "Leave room").click();
  await alice.getByRole("heading", { name: "lobby" }).waitFor();
  assert.equal(await alice.getByRole("button", { name: "the-kitchen" }).count(), 0);
  await eventually(async () => (await bob.get("/v1/rooms/the-kitchen")).users === 0, "alice has left");
});

test("a connection that is cut stays cut, and brings back what was missed", async (t) => {
  const server = await serve(t, QUICK);
  const browser = await launch(t);
  const url = `${server.url}/`;
  const [alice, bob] = [await enter(t, browser, url, "alice"), await enter(t, browser, url, "bob")];
  for (const n of upTo(3)) await say(alice, `line ${n}`);
  await shows(bob, upTo(3).map((n) => `#${n} alice: line ${n}`), isMessage);
  await button(alice, "Cut the connection").click();
  await connection(alice, "You cut the connection");
  await bob.getByText("alice left").waitFor();
  for (const n of upTo(3)) await say(bob, `missed ${n}`);
  await shows(bob, upTo(3).map((n) => `#${n + 3} bob: missed ${n}`), (text) => text.includes("missed"));
  await say(alice, "written meanwhile");
  await alice.getByText("sending…").waitFor();
  assert.equal(await alice.getByText("missed 1").count(), 0);
  await button(alice, "Reconnect").click();
  const expected = [
    ...upTo(3).map((n) => `#${n} alice: line ${n}`),
    "3 messages while you were away: #4 to #6",
    ...upTo(3).map((n) => `#${n + 3} bob: missed ${n}`),
    "#7 alice: written meanwhile",
  ];
  await shows(alice, expected, isMessage);
  await connection(alice, "3 messages recovered");
  assert.equal(await alice.locator("[data-how=recovered]").count(), 3);
  await button(alice, "Cut the connection").click();
  await button(alice, "Reconnect").click();
  await connection(alice, "Nothing was missed");
});

test("a killed server is found again, each message is there once, and the state is shown meanwhile", async (t) => {
  const server = await serve(t);
  const browser = await launch(t);
  const url = `${server.url}/`;
  const [alice, bob] = [await enter(t, browser, url, "alice"), await enter(t, browser, url, "bob")];
  await say(alice, "before");
  await shows(bob, ["#1 alice: before"], isMessage);
  await server.kill();
  await connection(alice, "The connection is lost");
  await alice.getByText(/Attempt [2-9] in \d+ s/).waitFor();
  await say(alice, "meanwhile");
  await alice.getByText("sending…").waitFor();
  await button(alice, "Try now").click();
  await server.start();
  for (const page of [alice, bob]) {
    await isConnected(page);
    await shows(page, ["#1 alice: before", "#2 alice: meanwhile"], (text) => text.startsWith("#"));
  }
  const { messages } = await new Caller(server, { user: "reader" }).get("/v1/rooms/lobby/messages");
  assert.deepEqual(messages.map(({ data }) => data.text), ["before", "meanwhile"]);
});

test("a connection that has died in silence is noticed, and what was sent on it is stored once", async (t) => {
  const server = await serve(t);
  const link = await network(t, server);
  const alice = await enter(t, await launch(t), `${link.url}/`, "alice");
  await say(alice, "before");
  await shows(alice, ["#1 alice: before"]);
  link.freeze();
  await say(alice, "into the void");
  await alice.getByText("sending…").waitFor();
  await shows(alice, ["#1 alice: before", "#2 alice: into the void"]);
  const { messages } = await new Caller(server, { user: "reader" }).get("/v1/rooms/lobby/messages");
  assert.deepEqual(messages.map(({ data }) => data.text), ["before", "into the void"]);
});

test("where messages cannot be had any more, the list says so", async (t) => {
  const server = await serve(t, { store: "memory" });
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  await say(alice, "forgotten");
  await shows(alice, ["#1 alice: forgotten"]);
  await server.kill();
  await connection(alice, "The connection is lost");
  await server.start();
  await new Caller(server, { user: "bob" }).say("lobby", { text: "a new log" });
  await isConnected(alice);
  await eventually(async () => (await shown(alice)).includes("#1 bob: a new log"), "the new log");
  assert.ok((await shown(alice)).includes("Some messages are no longer available"));
});

test("a stock socket.io-client that runs the lines of the page joins in before one's eyes", async (t) => {
  const server = await serve(t);
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  const output = await runProgram(t, alice, "carol");
  await alice.getByText("A client called carol joined").waitFor();
  const message = alice.locator(".message[data-new=true]", { hasText: "Hello from Node.js" });
  await message.getByText("#1").waitFor();
  await say(alice, "welcome");
  await eventually(() => output().includes("2 alice welcome"), "carol heard it");
  assert.match(output(), /seq: 1,/);

  await alice.getByText("REST, with curl").click();
  await run("sh", ["-c", await alice.getByRole("group", { name: /Stored/ }).locator("pre").textContent()]);
  await shows(alice, ["#1 carol: Hello from Node.js", "#2 alice: welcome", "#3 dave: Hello from curl"], isMessage);
});

// Runs the page's program for Node.js; returns what tells its output so far.
async function runProgram(t, page, name) {
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "page-"));
  defer(t, () => rm(folder, { recursive: true }));
  const group = page.getByRole("group", { name: `Save as ${name}.mjs` });
  await writeFile(join(folder, `${name}.mjs`), await group.locator("pre").textContent());
  const child = execFile(process.execPath, [join(folder, `${name}.mjs`)]);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  defer(t, () => child.kill());
  return () => output;
}

// A reverse proxy that serves what is at `url` below `path`. Resolves to the page's address.
async function below(t, url, path) {
  const { port } = new URL(url);
  const send = (request) => http.request({ port, method: request.method, path: request.url.slice(path.length), headers: request.headers });
  const proxy = http.createServer((request, response) => {
    const forwarded = send(request).on("response", (answer) => answer.pipe(response.writeHead(answer.statusCode, answer.headers)));
    request.pipe(forwarded).on("error", () => response.destroy());
  });
  proxy.on("upgrade", (request, client) => {
    const forwarded = send(request).on("upgrade", (answer, server, head) => {
      const headers = Object.entries(answer.headers).map((header) => header.join(": "));
      client.write(["HTTP/1.1 101 Switching Protocols", ...headers, "", ""].join("\r\n"));
      for (const end of [client, server]) end.on("error", () => {}).on("close", () => [client, server].map((each) => each.destroy()));
      server.unshift(head);
      client.pipe(server).pipe(client);
    });
    forwarded.on("error", () => client.destroy()).end();
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  defer(t, () => {
    proxy.close();
    proxy.closeAllConnections();
  });
  return `http://127.0.0.1:${proxy.address().port}${path}/`;
}

test("behind a proxy's path, with other paths for Socket.IO and the rest, everything is found", async (t) => {
  const server = await serve(t, { "http-prefix": "/realtime", "socketio-path": "/rt" });
  const url = await below(t, `${server.url}/`, "/app");
  const alice = await enter(t, await launch(t), url, "alice");
  const output = await runProgram(t, alice, "carol");
  await alice.getByText("Hello from Node.js").and(alice.locator(".body")).waitFor();
  await eventually(() => /seq: 1,/.test(output()), "the ack");
  for (const name of ["API docs", "healthz", "readyz", "metrics"]) {
    const href = await alice.getByRole("complementary").getByRole("link", { name }).getAttribute("href");
    assert.equal((await fetch(href)).status, 200, href);
  }
  const events = await fetch(await alice.getByRole("complementary").getByRole("link", { name: "events" }).getAttribute("href"));
  assert.equal(events.headers.get("content-type"), "text/event-stream");
  await events.body.cancel();
});

test("a server that checks tokens says why it refuses one, and how to make one", async (t) => {
  const server = await serve(t, { "auth-hmac-secret": SECRET, "auth-leeway": "0s", "auth-grace": "1s" });
  const page = await start(t, await launch(t), `${server.url}/`);
  const field = page.getByLabel("Your token");
  for (const [token, reason] of [
    ["abc", "Refused: the token is not a signed JSON Web Token."],
    [sign({ sub: "alice" }, "the secret of another server, of 32 bytes"), /^Refused: .*not signed with a key/],
    [sign({ sub: "alice", exp: at(-60) }), /^Refused: .*expired/],
  ]) {
    await field.fill(token);
    await button(page, "Start").click();
    await page.getByRole("alert").filter({ hasText: reason }).waitFor();
  }
  const [command, ...args] = (await page.getByText("switchboard token").textContent()).split(" ");
  assert.equal(command, "switchboard");
  const { stdout } = await run(binary, args, { env: { SWITCHBOARD_AUTH_HMAC_SECRET: SECRET } });
  // A terminal breaks a long line.
  await field.fill(stdout.trim().replace(/.{60}/g, "$&\n"));
  await button(page, "Start").click();
  await isConnected(page);
  await say(page, "let in");
  await shows(page, ["#1 alice: let in"]);
  const output = await runProgram(t, page, "carol");
  await shows(page, ["#1 alice: let in", "#2 alice: Hello from Node.js"]);
  assert.equal(output().includes("unauthorized"), false);
  await button(page, "Change").click();
  await field.fill(sign({ sub: "bob", exp: at(2) }));
  await button(page, "Start").click();
  await isConnected(page);
  await page.getByRole("alert").filter({ hasText: "The token has expired." }).waitFor();
});

test("a name that the server refuses is refused with its reason, and a user who is disconnected is told", async (t) => {
  const server = await serve(t, { ...QUICK, "auth-api-keys": "an-example-key-to-be-changed" });
  const page = await start(t, await launch(t), `${server.url}/`);
  await page.getByLabel("Your name").fill("ж".repeat(64));
  await page.keyboard.press("Enter");
  await isConnected(page);
  await button(page, "Change").click();
  await page.getByLabel("Your name").evaluate((field) => field.removeAttribute("maxlength"));
  await page.getByLabel("Your name").fill("x".repeat(200));
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: /^Refused: .*128/ }).waitFor();
  await page.getByLabel("Your name").fill("alice");
  await page.keyboard.press("Enter");
  await isConnected(page);
  const admin = new Caller(server, { key: "an-example-key-to-be-changed" });
  await eventually(async () => (await admin.get("/v1/rooms/lobby")).users === 1, "alice is there");
  await admin.ok(200, "DELETE", "/v1/rooms/lobby/members/alice");
  await page.getByText("You were removed from this room").waitFor();
  await say(page, "may I?");
  await page.locator(".message .state", { hasText: /not sent|stored/ }).waitFor();
  await admin.ok(200, "DELETE", "/v1/users/alice/connections");
  await page.getByRole("alert").filter({ hasText: "disconnected you" }).waitFor();
});

test("whatever is sent is shown as text: markup, right to left, JSON, events, and very long ones", async (t) => {
  const server = await serve(t);
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  const evil = "<img/src=x/onerror=alert(1)>";
  const mallory = new Caller(server, { user: evil });
  await mallory.say("lobby", { text: evil });
  await mallory.say("lobby", [1, null, { text: evil }]);
  await mallory.say("lobby", { x: 1 }, { event: "move" });
  await mallory.say("lobby", { text: "مرحبا 👩‍👩‍👧 مرحبا" });
  await mallory.say("lobby", { text: "w".repeat(50_000) });
  await shows(alice, [
    `#1 ${evil}: ${evil}`,
    `#2 ${evil}: [1,null,{"text":"${evil}"}]`,
    `#3 ${evil}: move {"x":1}`,
    `#4 ${evil}: مرحبا 👩‍👩‍👧 مرحبا`,
    `#5 ${evil}: ${"w".repeat(1200)}… Show all 50,000 characters`,
  ]);
  assert.equal(await alice.locator("img[onerror], main img").filter({ visible: true }).count(), 0);
  await button(alice, "Show all 50,000 characters").click();
  assert.equal((await shown(alice)).at(-1).length, `#5 ${evil}: `.length + 50_000);
  const widths = await alice.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(widths[0] <= widths[1], `nothing is wider than the page: ${widths}`);
});

test("a notification opens its user's personal room, as unread", async (t) => {
  const server = await serve(t, { "auth-api-keys": "an-example-key-to-be-changed" });
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  const admin = new Caller(server, { key: "an-example-key-to-be-changed" });
  await admin.ok(201, "POST", "/v1/users/alice/notifications", { body: { data: { title: "Your order" } } });
  const room = alice.getByRole("button", { name: "user:alice" });
  await room.getByText("1 unread").waitFor();
  await room.click();
  await shows(alice, ["Unread", '#1 a back end: notification {"title":"Your order"}']);
});

test("a refused message says why, and can be sent again", async (t) => {
  const server = await serve(t, { "limits-message-bytes": 1024 });
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  const text = "long ".repeat(230).trim();
  await say(alice, text);
  await alice.getByText("not sent").waitFor();
  server.options = {};
  await server.kill();
  await server.start();
  await isConnected(alice);
  await button(alice, "Send again").click();
  await shows(alice, [`#1 alice: ${text}`]);
});

test("a thousand messages at once are shown at once, in order, in a list that does not grow", async (t) => {
  const server = await serve(t, UNLIMITED);
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  await alice.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => (window.longest = Math.max(window.longest, duration)))).observe({
      type: "longtask",
    });
  });
  const bob = await open(t, server, { user: "bob" });
  const sent = Promise.all(upTo(1000).map((n) => bob.ok("message", { room: "lobby", data: { text: `line ${n}` } })));
  await alice.getByText("line 1000", { exact: true }).waitFor();
  await sent;
  await shows(alice, upTo(1000).slice(-200).map((n) => `#${n} bob: line ${n}`), isMessage);
  assert.ok((await alice.locator("#frames > li").count()) <= 100);
  await alice.getByText("Messages before #801 are in the log").waitFor();
  const longest = await alice.evaluate(() => window.longest);
  t.diagnostic(`longest task ${Math.round(longest)} ms`);
  assert.ok(longest < 1000, `${longest}`);

  // What is read stays where it is.
  const list = alice.getByRole("log");
  await list.evaluate((node) => (node.scrollTop = 600));
  const latest = button(alice, "Newest messages");
  await latest.waitFor();
  const line = alice.getByText("line 850", { exact: true });
  await line.scrollIntoViewIfNeeded();
  const { y } = await line.boundingBox();
  await bob.ok("message", { room: "lobby", data: { text: "line 1001" } });
  await alice.getByText("line 1001", { exact: true }).waitFor({ state: "attached" });
  const moved = Math.abs((await line.boundingBox()).y - y);
  assert.ok(moved < 2, `a new message moves nothing: ${moved}`);
  await latest.click();
  await alice.getByText("line 1001", { exact: true }).waitFor();
  await latest.waitFor({ state: "hidden" });

  // Many that were missed are as fast.
  await button(alice, "Cut the connection").click();
  for (const n of upTo(10)) await Promise.all(upTo(50).map((i) => bob.ok("message", { room: "lobby", data: { text: `missed ${n}.${i}` } })));
  await button(alice, "Reconnect").click();
  await connection(alice, "500 messages recovered");
  await alice.getByText("missed 10.50", { exact: true }).waitFor();
});

test("the wire is shown as it is, bounded, and can be held", async (t) => {
  const server = await serve(t);
  const alice = await enter(t, await launch(t), `${server.url}/`, "alice");
  await say(alice, "on the wire");
  const frames = alice.getByRole("list", { name: /^Frames/ });
  await alice.getByText(/stored in/).waitFor();
  const texts = await frames.locator("code").allTextContents();
  const stored = texts.map((text) => JSON.parse(text)).filter(({ data }) => data?.text === "on the wire" || data?.status === "delivered");
  assert.deepEqual(new Set(stored.map(({ type }) => type)), new Set(["text", "ack"]));
  await button(alice, "Pause").click();
  await say(alice, "not held");
  await shows(alice, ["#1 alice: on the wire", "#2 alice: not held"]);
  assert.equal((await frames.textContent()).includes("not held"), false);
});

test("everything can be done without a mouse", async (t) => {
  const server = await serve(t);
  const page = await start(t, await launch(t), `${server.url}/`);
  const { keyboard } = page;
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.getAttribute("aria-label"));
  // The next element, forwards or backwards, that has this text.
  const tabTo = async (text, key = "Tab") => {
    for (const _ of upTo(40)) {
      if ((await focused()).startsWith(text)) return;
      await keyboard.press(key);
    }
    assert.fail(`${text} cannot be reached: ${await focused()}`);
  };
  await keyboard.type("alice");
  await keyboard.press("Enter");
  await isConnected(page);
  await keyboard.type("first");
  await keyboard.press("Enter");
  await page.getByText(/stored in/).waitFor();
  await tabTo("Cut the connection", "Shift+Tab");
  await keyboard.press("Enter");
  await connection(page, "You cut the connection");
  assert.equal(await focused(), "Reconnect", "the focus stays where it is");
  await new Caller(server, { user: "bob" }).say("lobby", { text: "missed" });
  await keyboard.press("Enter");
  await connection(page, "1 message recovered");
  await tabTo("Join or create a room", "Shift+Tab");
  await keyboard.type("kitchen");
  await keyboard.press("Enter");
  await page.getByRole("heading", { name: "kitchen" }).waitFor();
  await tabTo("lobby", "Shift+Tab");
  await keyboard.press("Space");
  await page.getByRole("heading", { name: "lobby" }).waitFor();
  await tabTo("Copy");
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await keyboard.press("Enter");
  await page.getByText("Copied").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^import \{ io \}/);
  await tabTo("Pause");
  await tabTo("→");
  await keyboard.press("Enter");
  await page.locator("#frames details[open]").waitFor();

  await page.setViewportSize(PHONE);
  await page.getByRole("complementary").waitFor({ state: "hidden" });
  await box(page).focus();
  await tabTo("Code & wire", "Shift+Tab");
  await keyboard.press("Enter");
  await page.getByRole("complementary").waitFor();
  await keyboard.press("Escape");
  await page.getByRole("complementary").waitFor({ state: "hidden" });
});

// Nothing that a person with a screen reader, or without a mouse, cannot use.
async function isAccessible(page, what) {
  await hasNoViolations(page, what);
  const widths = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(widths[0] <= widths[1], `nothing is wider than the page, ${what}: ${widths}`);
}

// The people and words of the pictures.
const TALK = [
  ["alice", "The new tour is live on staging."],
  ["alice", "I am on a train, back soon."],
];
const MISSED = [
  ["bob", "The last step says “Next”."],
  ["carol", "Fixed. We release at 14:00."],
  ["carol", { version: "2.1.0" }],
];

// The same pictures each time: the times of that morning, and the usual port.
const settle = (page) =>
  page.evaluate(() => {
    document.querySelectorAll("#entries time").forEach((time, i) => (time.textContent = `09:${12 + 3 * i}`));
    document.querySelectorAll("#frames time").forEach((time, i) => (time.textContent = `09:28:${59 - i}.2${i % 10}1`));
    for (const code of document.querySelectorAll("#snippets pre")) code.textContent = code.textContent.replace(/127.0.0.1:\d+/, "127.0.0.1:3000");
    document.activeElement.blur();
  });

for (const [size, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`everybody can use it: ${size}, ${colorScheme}`, async (t) => {
      const server = await serve(t, { node: "node-1", "limits-message-bytes": 1024 });
      const [browser, url] = [await launch(t), `${server.url}/`];
      const options = { colorScheme, viewport };
      const signIn = await start(t, browser, url, options);
      await isAccessible(signIn, "signing in");
      const alice = await enter(t, browser, url, "alice", options);
      await alice.getByText("Write something.").waitFor();
      await isAccessible(alice, "an empty room");
      const bob = await enter(t, browser, url, "bob");
      for (const [user, text] of TALK) {
        await say(user === "alice" ? alice : bob, text);
        for (const page of [alice, bob]) await page.getByText(text, { exact: true }).waitFor();
      }
      await button(alice, "Cut the connection").click();
      await connection(alice, "You cut the connection");
      for (const [user, data] of MISSED) await new Caller(server, { user }).say("lobby", typeof data === "string" ? { text: data } : data);
      await say(alice, "Still in the tunnel…");
      await alice.getByText("sending…").waitFor();
      await isAccessible(alice, "cut");
      await button(alice, "Reconnect").click();
      await connection(alice, "3 messages recovered");
      await alice.getByText(/stored in/).last().waitFor();
      const room = alice.getByLabel("Join or create a room");
      await room.fill("design");
      await room.press("Enter");
      await alice.getByRole("heading", { name: "design" }).waitFor();
      await openRoom(alice, "lobby");
      for (const n of upTo(2)) await new Caller(server, { user: "carol" }).say("design", { text: `sketch ${n}` });
      await alice.getByText("2 unread").waitFor({ state: "attached" });
      const last = TALK.length + MISSED.length + 1;
      await alice.getByText(`read #${last}`).waitFor({ state: "attached" });
      await alice.locator("#frames code", { hasText: new RegExp(`"ack","id":"read-.*"seq":${last},`) }).waitFor({ state: "attached" });
      await box(bob).pressSequentially("Tha");
      await alice.getByText("bob is typing").waitFor();
      await settle(alice);
      if (`${size} ${colorScheme}` === "desktop light") await screenshot(alice, "page-try");
      if (`${size} ${colorScheme}` === "phone dark") await screenshot(alice, "page-try-phone");
      await isAccessible(alice, "the chat");
      if (size === "phone") await button(alice, "Code & wire").click();
      await alice.getByText("REST, with curl").click();
      await alice.locator("#frames summary").first().click();
      await isAccessible(alice, "code and wire");
      if (size === "phone") await button(alice, "Close").click();
      for (const name of ["x".repeat(128), "user:bob"]) {
        await room.fill(name);
        await room.press("Enter");
        await alice.getByRole("heading", { name }).waitFor();
      }
      await alice.getByRole("log").getByText("may not join").waitFor();
      await isAccessible(alice, "a room that may not be joined, and long names");
      await openRoom(alice, "lobby");
      await say(alice, "long ".repeat(230));
      await alice.getByText("not sent").waitFor();
      await isAccessible(alice, "a message that was refused");
      await server.kill();
      await alice.getByText(/Attempt \d+ in/).waitFor();
      await isAccessible(alice, "without a server");
    });

    test(`everybody can sign in with a token: ${size}, ${colorScheme}`, async (t) => {
      const server = await serve(t, { "auth-hmac-secret": SECRET });
      const page = await start(t, await launch(t), `${server.url}/`, { colorScheme, viewport });
      await page.getByLabel("Your token").fill("abc");
      await button(page, "Start").click();
      await page.getByRole("alert").filter({ hasText: "Refused" }).waitFor();
      await isAccessible(page, "a refused token");
    });
  }
}
