// examples/react-chat in Chromium: what people do in it, while the server is killed and the network is away.
//
// UPDATE_SCREENSHOTS=1 writes its pictures of docs/images.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { hasNoViolations } from "./support/accessibility.mjs";
import { launch, openPage, screenshot } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { startExample } from "./support/examples.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { Caller, metric } from "./support/web.mjs";

const folder = fileURLToPath(new URL("../examples/react-chat", import.meta.url));
const PHONE = { width: 390, height: 844 };

// A page on which `user` has signed in.
async function enter(t, browser, url, user, options) {
  const page = await openPage(t, browser, "about:blank", options);
  page.sockets = [];
  page.on("websocket", (socket) => socket.url().includes("/socket.io/") && page.sockets.push(socket));
  await page.goto(url);
  await page.getByLabel("Your name").fill(user);
  await page.keyboard.press("Enter");
  await page.getByText("This is the beginning").or(page.getByText("Load older")).waitFor();
  return page;
}

const box = (page) => page.getByRole("textbox", { name: /^Message to/ });

async function say(page, text) {
  await box(page).fill(text);
  await box(page).press("Enter");
}

const shown = (page) => page.locator(".message").evaluateAll((all) => all.map(({ firstChild }) => firstChild.textContent));

// Waits until the page shows these texts, all of them stored.
async function shows(page, expected) {
  let found;
  const complete = async () => {
    found = await shown(page);
    return JSON.stringify(found) === JSON.stringify(expected) && (await page.locator(".message:not([data-state=sent])").count()) === 0;
  };
  await eventually(complete, "the messages", 30_000).catch(() => assert.deepEqual(found, expected));
}

const stored = async (server, room = "general") =>
  (await new Caller(server, { user: "reader" }).get(`/v1/rooms/${room}/messages`, { limit: 1000 })).messages.map(({ data }) => data.text);

test("the types fit, and the page can be built", () => {
  const npm = (...args) => execFileSync("npm", args, { cwd: folder, encoding: "utf8", stdio: "pipe" });
  if (!existsSync(join(folder, "node_modules/.package-lock.json"))) npm("ci", "--no-audit", "--no-fund");
  npm("run", "build", "--", "--outDir", "node_modules/.cache/dist");
});

test("two people chat while the server is killed and started, and each message is there once", async (t) => {
  const server = await serve(t);
  const url = await startExample(t, "react-chat", server);
  const browser = await launch(t);
  const [alice, bob] = [await enter(t, browser, url, "alice"), await enter(t, browser, url, "bob")];
  const said = [];
  const both = async (words) => {
    for (const [user, page] of [["alice", alice], ["bob", bob]]) {
      said.push(`${user} ${words}`);
      await say(page, said.at(-1));
    }
  };
  await both("begins");
  await shows(alice, said);
  await server.kill();
  for (const page of [alice, bob]) await page.getByText(/^You are offline\..*Attempt \d+ of 50/).waitFor();
  await both("is offline");
  await both("is still offline");
  assert.equal(await alice.getByText("Sending…").count(), 2);
  await server.start();
  await eventually(async () => (await stored(server)).length === said.length, "all messages are stored", 40_000);
  await both("is back");
  const log = await eventually(async () => {
    const texts = await stored(server);
    return texts.length === said.length && texts;
  }, "all messages are stored");
  assert.deepEqual([...log].sort(), [...said].sort());
  for (const page of [alice, bob]) {
    await shows(page, log);
    assert.equal(await page.getByText("You are offline").count(), 0);
    assert.equal(page.sockets.filter((socket) => !socket.isClosed()).length, 1);
    assert.deepEqual(page.errors, []);
  }
});

test("what is written offline survives a reload and arrives once", async (t) => {
  const server = await serve(t);
  const url = await startExample(t, "react-chat", server);
  const browser = await launch(t);
  const alice = await enter(t, browser, url, "alice");
  await server.kill();
  await alice.getByText("You are offline").waitFor();
  await say(alice, "before the reload");
  await alice.getByText("Sending…").waitFor();
  await alice.reload();
  await alice.getByText("before the reload").waitFor();
  await server.start();
  await shows(alice, ["before the reload"]);
  assert.deepEqual(await stored(server), ["before the reload"]);
});

test("a browser without a network says so, and catches up when it is back", async (t) => {
  const server = await serve(t);
  const url = await startExample(t, "react-chat", server);
  const browser = await launch(t);
  const [alice, bob] = [await enter(t, browser, url, "alice"), await enter(t, browser, url, "bob")];
  await say(alice, "hello");
  await shows(bob, ["hello"]);
  await alice.context().setOffline(true);
  await alice.getByText("You are offline").waitFor();
  await say(alice, "from the tunnel");
  await say(bob, "are you there?");
  await shows(bob, ["hello", "are you there?"]);
  await alice.context().setOffline(false);
  for (const page of [alice, bob]) await shows(page, ["hello", "are you there?", "from the tunnel"]);
});

test("typing and presence are seen, and seen to end", async (t) => {
  const server = await serve(t, { "presence-grace": "200ms" });
  const url = await startExample(t, "react-chat", server);
  const browser = await launch(t);
  const [alice, bob] = [await enter(t, browser, url, "alice"), await enter(t, browser, url, "bob")];
  const members = alice.getByRole("complementary", { name: "Members" });
  await members.getByText("bob").waitFor();
  await alice.getByText("2 people here").waitFor();
  await box(bob).pressSequentially("hel");
  await alice.getByText("bob is typing").waitFor();
  await box(bob).press("Enter");
  await alice.getByText("bob is typing").waitFor({ state: "detached" });
  await bob.getByLabel("Your status").selectOption("busy");
  await members.locator("li", { hasText: "bob" }).getByText("busy").waitFor();
  await bob.close();
  await alice.getByText("1 person here").waitFor();
  assert.equal(await members.getByText("bob").count(), 0);
});

test("what is unread in other rooms is counted until the room is opened, over one WebSocket", async (t) => {
  const server = await serve(t);
  const url = await startExample(t, "react-chat", server);
  const alice = await enter(t, await launch(t), url, "alice");
  const bob = new Caller(server, { user: "bob" });
  for (const n of upTo(3)) await bob.say("design", { text: `sketch ${n}` });
  await bob.say("general", { text: "in view" });
  const design = alice.getByRole("link", { name: /design/ });
  await design.getByText("3 unread").waitFor();
  await design.press("Enter");
  await shows(alice, ["sketch 1", "sketch 2", "sketch 3"]);
  await design.getByText("unread").waitFor({ state: "detached" });
  assert.equal(await alice.getByText("unread").count(), 0, "what was in view is read, too");
  for (const name of ["random", "general", "design", "support"]) await alice.getByRole("link", { name }).click();
  assert.equal(alice.sockets.length, 1);
  assert.equal(await metric(server, "switchboard_connections"), 1);
});

test("older messages are loaded above, and what is read stays where it is", async (t) => {
  const server = await serve(t, { "limits-user-messages-per-second": 0 });
  const bob = new Caller(server, { user: "bob" });
  for (const n of upTo(120)) await bob.say("general", { text: `line ${n}` });
  const url = await startExample(t, "react-chat", server);
  const alice = await enter(t, await launch(t), url, "alice");
  await shows(alice, upTo(120).slice(70).map((n) => `line ${n}`));
  const older = alice.getByRole("button", { name: "Load older messages" });
  await older.scrollIntoViewIfNeeded();
  const line = alice.getByText("line 71", { exact: true });
  const { y } = await line.boundingBox();
  // Lines have fractions of a pixel.
  const stays = async (what) => assert.ok(Math.abs((await line.boundingBox()).y - y) < 2, what);
  await older.click();
  await alice.getByText("line 60", { exact: true }).waitFor();
  await stays("older messages move nothing");
  await bob.say("general", { text: "line 121" });
  await alice.getByText("line 121", { exact: true }).waitFor();
  await stays("a new message moves nothing either");
  while (await older.isVisible()) await older.click();
  await shows(alice, upTo(121).map((n) => `line ${n}`));
  await alice.getByText("This is the beginning of #general").waitFor();
});

test("a refused message says why, and can be sent again", async (t) => {
  const server = await serve(t, { "limits-message-bytes": 1024 });
  const url = await startExample(t, "react-chat", server);
  const alice = await enter(t, await launch(t), url, "alice");
  const text = "long ".repeat(300).trim();
  await say(alice, text);
  await alice.getByText(/Not sent: /).waitFor();
  assert.deepEqual(await stored(server).catch(() => []), []);
  await server.kill();
  server.options = {};
  await server.start();
  await alice.getByText("You are offline").waitFor({ state: "detached" });
  await alice.getByRole("button", { name: "Retry" }).click();
  await shows(alice, [text]);
});

test("where messages cannot be had any more, the list says so", async (t) => {
  const server = await serve(t, { "recovery-window": 0, "history-messages": 20, "limits-user-messages-per-second": 0 });
  const url = await startExample(t, "react-chat", server);
  const alice = await enter(t, await launch(t), url, "alice");
  const bob = new Caller(server, { user: "bob" });
  await bob.say("general", { text: "first" });
  await shows(alice, ["first"]);
  await alice.context().setOffline(true);
  await alice.getByText("You are offline").waitFor();
  for (const n of upTo(100)) await bob.say("general", { text: `missed ${n}` });
  await eventually(async () => !(await stored(server)).includes("missed 1"), "the end of the first messages");
  await alice.context().setOffline(false);
  await alice.getByText("Some messages are no longer available").waitFor();
  assert.deepEqual([(await shown(alice))[0], (await shown(alice)).at(-1)], ["first", "missed 100"]);
});

// The people and words of the pictures.
const TALK = [
  ["Carol", "Morning all. Coffee is on the table."],
  ["Alice", "Good morning! The new onboarding is live on staging."],
  ["Alice", "Could somebody try it on a telephone?"],
  ["Bob", "On it. Sign-in works, and the tour is much shorter now."],
  ["Carol", "I will take tablets."],
  ["Carol", "One thing: the second step says “Next”, but it is the last one. Should that be “Done”?"],
  ["Alice", "Yes, good catch. I will change it before lunch."],
  ["Bob", "Then let us release at 14:00. What is left:\n- copy of step two\n- dark mode of the tour\n- release notes"],
  ["Dave", "Release notes are ready for review."],
];

// The same pictures each time: the times of that morning, and of the attempts to connect the second.
const settle = (page) =>
  page.evaluate(() => {
    document.querySelectorAll("time").forEach((time, i) => (time.textContent = `09:${12 + 3 * i}`));
    for (const attempt of document.querySelectorAll(".banner span")) attempt.textContent = "Attempt 2 of 50 in 3 s";
  });

for (const [size, viewport] of [["desktop", undefined], ["phone", PHONE]]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`everybody can use it: ${size}, ${colorScheme}`, async (t) => {
      const server = await serve(t);
      const callers = Object.fromEntries(["Alice", "Bob", "Carol", "Dave"].map((user) => [user, new Caller(server, { user })]));
      for (const [user, text] of TALK) await callers[user].say("general", { text });
      const url = await startExample(t, "react-chat", server);
      const browser = await launch(t);
      const start = await openPage(t, browser, url, { colorScheme, ...(viewport && { viewport }) });
      await start.getByRole("button", { name: "Join" }).waitFor();
      await hasNoViolations(start, "signing in");
      const page = await enter(t, browser, url, "Alice", { colorScheme, ...(viewport && { viewport }) });
      const [bob, carol] = [await enter(t, browser, url, "Bob"), await enter(t, browser, url, "Carol")];
      await carol.getByLabel("Your status").selectOption("away");
      await page.locator(".status[data-status=away]").waitFor({ state: "attached" });
      for (const n of upTo(3)) await callers.Dave.say("design", { text: `sketch ${n}` });
      await callers.Dave.say("random", { text: "lunch?" });
      await page.getByText("3 unread").waitFor({ state: "attached" });
      await page.getByText("1 unread").waitFor({ state: "attached" });
      await box(bob).pressSequentially("Than");
      await page.getByText("Bob is typing").waitFor();
      await settle(page);
      await hasNoViolations(page, "the chat");
      await screenshot(page, `react-chat-${size}-${colorScheme}`);
      await server.kill();
      await page.getByText(/^You are offline/).waitFor();
      await say(page, "See you at 14:00 then.");
      await page.getByText("Sending…").waitFor();
      await settle(page);
      await hasNoViolations(page, "offline");
      const widths = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(widths[0] <= widths[1], `nothing is wider than the page: ${widths}`);
      if (colorScheme === "light") await screenshot(page, `react-chat-offline-${size}`);
    });
  }
}
