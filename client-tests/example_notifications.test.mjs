// examples/notifications in Chromium: a back end tells users of their orders, whether their pages are open or not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, openPage, screenshot } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { startExample } from "./support/examples.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { SECRET } from "./support/tokens.mjs";
import { Caller } from "./support/web.mjs";

const config = fileURLToPath(new URL("../examples/notifications/switchboard.toml", import.meta.url));
const KEY = "an-api-key-of-this-test-alone";

// The example, and whoever sends notifications besides it.
async function begin(t) {
  const server = await serve(t, { config, "auth-hmac-secret": SECRET, "auth-api-keys": KEY });
  const env = { AUTH_SECRET: SECRET, API_KEY: KEY, STEP_SECONDS: "0.1" };
  const url = await startExample(t, "notifications", server, env);
  const backEnd = new Caller(server, { key: KEY });
  const notify = (user, data) => backEnd.ok(201, "POST", `/v1/users/${user}/notifications`, { body: { data } });
  return { server, url, notify, browser: await launch(t) };
}

async function signIn(page, user) {
  await page.getByLabel("Your name").fill(user);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: `Sign out ${user}` }).waitFor();
}

// What the page's inbox has: titles, the newest first, and which of them are unread.
const inbox = (page) =>
  page.locator("#list li").evaluateAll((items) =>
    items.map((item) => [item.querySelector("b").textContent, item.classList.contains("unread") ? "unread" : "read"]),
  );

const shows = (page, expected, what) =>
  eventually(async () => JSON.stringify(await inbox(page)) === JSON.stringify(expected), what).catch(async () =>
    assert.deepEqual(await inbox(page), expected, what),
  );

async function counts(page, n) {
  await page.locator("#bell").and(page.getByLabel(`${n} unread notifications`)).waitFor();
  assert.equal(await page.title(), n > 0 ? `(${n}) Tea & Co.` : "Tea & Co.");
}

const order = (number) =>
  ["delivered", "on its way", "packed", "received"].map((step) => [`Order ${number} ${step}`, "unread"]);

test("what is sent while nobody looks is there on return, tabs share what is read, and each user has its own", async (t) => {
  const { server, url, notify, browser } = await begin(t);
  const alice = await openPage(t, browser, url);
  await signIn(alice, "alice");
  const context = alice.context();

  // Present: it comes by itself.
  await alice.getByRole("button", { name: "Order Copper kettle" }).click();
  await shows(alice, order(1041), "the steps of the order");
  await counts(alice, 4);
  await alice.getByRole("status").getByText("Order 1041 delivered").waitFor();

  // Away, and a server that dies meanwhile: it waits.
  await alice.close();
  await notify("alice", { title: "A voucher", text: "Ten per cent off cups, this week." });
  await server.kill();
  await server.start();
  const [first, second] = await Promise.all([context.newPage(), context.newPage()]);
  for (const page of [first, second]) {
    await page.goto(url);
    await shows(page, [["A voucher", "unread"], ...order(1041)], "what was sent meanwhile");
    await counts(page, 5);
  }

  // The marker moves in both tabs: up to the one that was clicked, then to the end.
  await first.getByText("Order 1041 packed").click();
  const packed = [["A voucher", "unread"], ...order(1041).map(([title, state], i) => [title, i < 2 ? state : "read"])];
  for (const page of [first, second]) await shows(page, packed, "read up to the second");
  await second.getByRole("button", { name: "Mark all as read" }).click();
  for (const page of [first, second]) await counts(page, 0);
  await first.reload();
  await shows(first, packed.map(([title]) => [title, "read"]), "read after a reload, too");

  // Somebody else has nothing of this.
  const bob = await openPage(t, browser, url);
  await signIn(bob, "bob");
  await bob.getByText("Nothing yet.").waitFor();
  await notify("bob", { title: "Welcome", text: "For bob alone." });
  await shows(bob, [["Welcome", "unread"]], "its own");
  await counts(first, 0);
  await first.getByRole("button", { name: "Sign out alice" }).click();
  await first.getByRole("button", { name: "Sign in" }).waitFor();
});

test("the inbox begins with the newest, and older ones are a click away", async (t) => {
  const { server, url, notify, browser } = await begin(t);
  for (const i of upTo(30)) await notify("alice", { title: `News ${i}`, text: "" });
  const alice = await openPage(t, browser, url);
  await signIn(alice, "alice");
  await counts(alice, 30);
  const titles = async () => (await inbox(alice)).map(([title]) => title);
  const newest = (n) => upTo(30).slice(-n).reverse().map((i) => `News ${i}`);
  await eventually(async () => (await titles()).length > 0, "the newest");
  const begun = await titles();
  assert.deepEqual(begun, newest(begun.length));
  assert.ok(begun.length < 30, `${begun.length} at first`);
  const older = alice.getByRole("button", { name: "Older" });
  for (let clicks = 0; await older.isVisible(); clicks += 1) {
    assert.ok(clicks < 10);
    const before = (await titles()).length;
    await older.click();
    await eventually(async () => (await titles()).length > before, "a page");
  }
  assert.deepEqual(await titles(), newest(30));

  // While the server is away the page says so, and goes on afterwards.
  await server.kill();
  await alice.getByText("offline").waitFor();
  await server.start();
  await notify("alice", { title: "News 31", text: "" });
  await alice.getByRole("status").getByText("News 31").waitFor();
  await counts(alice, 31);
  assert.deepEqual(alice.errors, []);
});

test("a page without a session gets no token, and nobody is let out of the page's folder", async (t) => {
  const { url } = await begin(t);
  for (const path of ["/token", "/session"]) assert.equal((await fetch(url + path)).status, 401);
  assert.equal((await fetch(`${url}/orders`, { method: "POST", body: "{}" })).status, 401);
  const outside = ["/server.mjs", "/..%2fserver.mjs", "/modules/socket.io-client/dist/..%2f..%2f..%2fserver.mjs", "/modules/ms/index.js"];
  for (const path of outside) {
    assert.equal((await fetch(url + path)).status, 404, path);
  }
});

test("how it looks", { skip: process.env.UPDATE_SCREENSHOTS !== "1" }, async (t) => {
  const { url, browser } = await begin(t);
  const alice = await openPage(t, browser, url, { viewport: { width: 1280, height: 720 } });
  await signIn(alice, "alice");
  await alice.getByRole("button", { name: "Order Darjeeling" }).click();
  await counts(alice, 4);
  await alice.getByRole("button", { name: "Mark all as read" }).click();
  await counts(alice, 0);
  await alice.getByRole("button", { name: "Order Copper kettle" }).click();
  await counts(alice, 4);
  await alice.getByText("Order 1042 received").click();
  await counts(alice, 3);
  await alice.locator("#toast").waitFor({ state: "hidden" });
  await alice.mouse.move(0, 0);
  await screenshot(alice, "notifications");
  await alice.setViewportSize({ width: 390, height: 844 });
  await screenshot(alice, "notifications-phone");
});
