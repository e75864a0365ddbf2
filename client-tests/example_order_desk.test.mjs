// examples/order-desk in Chromium: orders are placed and moved on, while tabs are closed and the back end is killed.
//
// UPDATE_SCREENSHOTS=1 writes its pictures of docs/images.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Webhook } from "standardwebhooks";
import { hasNoViolations } from "./support/accessibility.mjs";
import { launch, openPage, screenshot } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { startExample } from "./support/examples.mjs";
import { freePorts } from "./support/ports.mjs";
import { defer, eventually, Journal } from "./support/scope.mjs";
import { binary, serve } from "./support/server.mjs";
import { Caller } from "./support/web.mjs";

const example = fileURLToPath(new URL("../examples/order-desk", import.meta.url));
const PHONE = { width: 390, height: 844 };
const [KEY, SECRET, PIN] = ["an-api-key-of-the-order-desk", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "1234"];

// The example as it is started by its users, with a server and files of the test's own. Resolves to what the tests do with it.
async function open(t) {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-order-desk-"));
  defer(t, () => rm(folder, { recursive: true }));
  const [port] = await freePorts(1);
  const files = { HOOK_SECRET_FILE: join(folder, "secret"), ORDERS_FILE: join(folder, "orders.json") };
  await writeFile(files.HOOK_SECRET_FILE, SECRET);
  const tables = {
    call: [{ url: `http://127.0.0.1:${port}/answer`, on: ["connect"], events: ["order.*"], secret: SECRET }],
    notify: [{ url: `http://127.0.0.1:${port}/hear`, events: ["message", "notification.unseen", "user.online", "user.offline"], rooms: "order-*", secret: SECRET }],
  };
  const server = await serve(t, {
    store: "memory",
    "auth-api-keys": KEY,
    "presence-grace": "200ms",
    "hooks-call": JSON.stringify(tables.call),
    "hooks-notify": JSON.stringify(tables.notify),
  });
  const output = new Journal("examples/order-desk");
  const url = await startExample(t, "order-desk", server, { ...files, BACKEND_PORT: `${port}`, API_KEY: KEY }, output);
  const said = () => output.items.join("");
  const pids = () => [...said().matchAll(/The back end: \S+, process (\d+)/g)].map(([, pid]) => Number(pid));
  const hears = (text, times = 1) => output.until(() => said().split(text).length > times, text, 40_000);
  await hears("The back end:");
  return {
    browser: await launch(t),
    url,
    shop: new Caller(server, { key: KEY }),
    backend: `http://127.0.0.1:${port}`,
    hears,
    said,
    kill: () => process.kill(pids().at(-1), "SIGKILL"),
    isBack: (times) => hears("The back end:", times),
    orders: async () => JSON.parse(await readFile(files.ORDERS_FILE, "utf8")).orders,
  };
}

const button = (scope, name) => scope.getByRole("button", { name, exact: true });
const order = (page, number) => page.getByRole("listitem", { name: `Order ${number}` });
const isAt = (page, number, state) => order(page, number).locator("[aria-current]").getByText(state, { exact: true }).waitFor();
const inbox = (page) => page.getByRole("region", { name: "Inbox" });

async function customer(t, { browser, url }, user, options) {
  const page = await openPage(t, browser, url, options);
  await page.getByLabel("Your name").fill(user);
  await button(page, "Go shopping").click();
  await page.locator("output[data-connected=true]").getByText(user, { exact: true }).waitFor();
  return page;
}

async function desk(t, { browser, url }, options, pin = PIN) {
  const page = await openPage(t, browser, url, options);
  await page.getByLabel("The desk’s PIN").fill(pin);
  await button(page, "To the desk").click();
  return page;
}

async function place(page, item = "Sencha", quantity = 2) {
  await page.getByLabel("Tea").selectOption(item);
  await page.getByLabel("Packets").fill(`${quantity}`);
  await button(page, "Order").click();
}

async function note(page, number, text) {
  await page.getByLabel(`A note on order ${number}`).fill(text);
  await page.keyboard.press("Enter");
}

async function isAccessible(page, what) {
  await hasNoViolations(page, what);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing is wider than the page, ${what}`);
}

test("its configuration is one that the server takes", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-order-desk-"));
  defer(t, () => rm(folder, { recursive: true }));
  await writeFile(join(folder, "secret"), SECRET);
  const { stdout } = await promisify(execFile)(binary, ["config", "--check", "--config", join(example, "switchboard.toml")], { cwd: folder });
  assert.match(stdout, /valid/);
});

test("an order is placed and acknowledged, the desk moves it on, and who is away finds it in the inbox", async (t) => {
  const shop = await open(t);
  const staff = await desk(t, shop);
  await staff.getByText("None yet.").waitFor();
  const alice = await customer(t, shop, "alice");
  await shop.hears("alice is here");
  await place(alice);
  await alice.getByText("Thank you. Your order has the number 1001.").waitFor();
  await isAt(alice, 1001, "placed");
  await order(staff, 1001).getByText("2 × Sencha").waitFor();
  await order(staff, 1001).getByText("for alice").waitFor();

  await note(alice, 1001, "As a gift, please");
  await order(staff, 1001).getByText("As a gift, please").waitFor();
  await order(alice, 1001).getByText("As a gift, please").waitFor();
  await button(staff, "Mark as packed, order 1001").click();
  await isAt(alice, 1001, "packed");
  await inbox(alice).getByText("Order 1001 is packed").waitFor();
  assert.ok(!shop.said().includes("e-mail"), "who is here gets no e-mail");

  await alice.close();
  await shop.hears("alice has gone");
  await button(staff, "Mark as shipped, order 1001").click();
  await shop.hears("would send an e-mail to alice: Order 1001 is shipped");
  await isAt(staff, 1001, "shipped");
  const back = await customer(t, shop, "alice");
  await isAt(back, 1001, "shipped");
  await inbox(back).getByText("Order 1001 is shipped").waitFor();
  assert.deepEqual(await inbox(back).locator("b").allTextContents(), ["Order 1001 is shipped", "Order 1001 is packed"]);

  const bob = await customer(t, shop, "bob");
  await bob.getByText("None yet.").waitFor();
  const liar = await desk(t, shop, {}, "0000");
  await liar.getByRole("alert").getByText("this is not the desk’s PIN").waitFor();
  for (const page of [staff, back, bob, liar]) assert.deepEqual(page.errors, []);
});

test("a back end that is killed hears everything when it is back: in order, and each once", async (t) => {
  const shop = await open(t);
  const [staff, alice, bob] = [await desk(t, shop), await customer(t, shop, "alice"), await customer(t, shop, "bob")];
  await place(alice);
  await order(staff, 1001).waitFor();
  const texts = upTo(60).map((n) => `parcel scanned ${n}`);
  const scan = async (some) => {
    for (const text of some) await shop.shop.say("order-1001", { text });
  };
  await scan(texts.slice(0, 10));
  // While it hears of some.
  await Promise.all([scan(texts.slice(10, 30)), shop.hears("scanned 5").then(shop.kill)]);
  await bob.close();
  await scan(texts.slice(30));
  const placing = place(alice, "Lapsang souchong", 1);
  await shop.isBack(2);
  await shop.hears("bob has gone");
  await placing;
  await alice.getByText("Thank you. Your order has the number 1002.").waitFor({ timeout: 30_000 });
  const notes = async () => (await shop.orders())[0].notes.map(({ text }) => text);
  await eventually(async () => (await notes()).length >= texts.length, "everything was heard", 40_000);
  assert.deepEqual(await notes(), texts);
  assert.equal((await shop.orders()).length, 2, "what was asked several times is one order");
  await order(staff, 1001).getByText("parcel scanned 60").waitFor();
  assert.deepEqual(await order(staff, 1001).locator(".notes li").evaluateAll((all) => all.map((li) => li.textContent.replace("the shop ", ""))), texts);

  // Whatever comes again, as after an answer that was lost, is heard once.
  const message = { room: "order-1001", id: "again", seq: 1, event: "message", from: { user: "alice" }, data: { text: "is there a card?" }, ts: Date.now() };
  const body = JSON.stringify({ id: "9-9", events: [{ id: "9", type: "message", ts: Date.now(), namespace: "/", room: "order-1001", user: "alice", message }] });
  const at = new Date();
  const headers = { "webhook-id": "9-9", "webhook-timestamp": `${Math.floor(at / 1000)}` };
  const send = (signature) => fetch(`${shop.backend}/hear`, { method: "POST", headers: { ...headers, "webhook-signature": signature }, body });
  const signature = new Webhook(SECRET).sign("9-9", at, body);
  for (const expected of [200, 200]) assert.equal((await send(signature)).status, expected);
  assert.equal((await send("v1,AAAA")).status, 401);
  assert.deepEqual(await notes(), [...texts, "is there a card?"]);
});

test("everybody can use it, in light and dark, at a desk and on a telephone", async (t) => {
  const shop = await open(t);
  const staff = await desk(t, shop);
  const alice = await customer(t, shop, "alice");
  const bob = await customer(t, shop, "bob");
  await place(alice, "Darjeeling, first flush", 2);
  await alice.getByText("number 1001").waitFor();
  await place(bob, "Sencha", 1);
  await bob.getByText("number 1002").waitFor();
  await place(alice, "Lapsang souchong", 3);
  await alice.getByText("number 1003").waitFor();
  for (const state of ["packed", "shipped"]) await button(staff, `Mark as ${state}, order 1001`).click();
  await isAt(alice, 1001, "shipped");
  await button(staff, "Mark as packed, order 1003").click();
  await isAt(alice, 1003, "packed");
  await note(alice, 1003, "As a gift, please");
  await note(staff, 1003, "With pleasure. A card, too?");
  await order(alice, 1003).getByText("A card, too?").waitFor();
  await order(staff, 1003).getByText("A card, too?").waitFor();
  await inbox(alice).getByText("Order 1003 is packed").waitFor();
  const start = await openPage(t, shop.browser, shop.url);
  await button(start, "To the desk").waitFor();
  for (const [what, page] of Object.entries({ "signing in": start, shop: alice, desk: staff })) {
    for (const viewport of [PHONE, { width: 1280, height: 800 }]) {
      for (const colorScheme of ["dark", "light"]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        await isAccessible(page, `${what}, ${colorScheme}, ${viewport.width}`);
      }
    }
  }
  for (const page of [alice, staff]) {
    await page.evaluate(() => {
      document.querySelectorAll("time").forEach((time, i) => (time.textContent = `10:${42 - 4 * i}`));
      document.activeElement.blur();
    });
  }
  await screenshot(alice, "order-desk");
  await screenshot(staff, "order-desk-staff");
});
