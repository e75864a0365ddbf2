// The dashboard at /admin in Chromium: the back ends that answer, and those that are told, while they fail, stop and come back.
//
// UPDATE_SCREENSHOTS=1 writes the pictures of docs/images.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { launch, screenshot } from "./support/browser.mjs";
import { acknowledged, open, upTo } from "./support/clients.mjs";
import { ADMIN, button, DESKTOP, enter, EVIL, figures, go, goTo, isAccessible, isAt, notice, operator, PHONE } from "./support/dashboard.mjs";
import { backend, Response } from "./support/hooks.mjs";
import { network } from "./support/proxy.mjs";
import { eventually } from "./support/scope.mjs";
import { binary, serve, UNLIMITED } from "./support/server.mjs";

const file = { after };
const browser = await launch(file);

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const LATER = { "retry-after": "3600" };

// A server with these tables.
const withTables = (t, { call = [], notify = [] }, options = {}) =>
  serve(t, { ...ADMIN, ...UNLIMITED, store: "memory", "hooks-call": JSON.stringify(call), "hooks-notify": JSON.stringify(notify), ...options });

const card = (page, url) => page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: url, exact: true }) });
const numbers = (page, url) => figures(page, `Numbers, ${url}`);
const shows = (page, url, expected) => {
  let found;
  const isShown = async () => expected.test((found = await numbers(page, url)));
  return eventually(isShown, "the numbers").catch(() => assert.match(found, expected));
};
const say = (server, room, texts) => Promise.all(texts.map((text) => operator(server).say(room, { text })));

test("who answers is shown with what it answers and permits, and how its calls end, until it is asked again", async (t) => {
  let isDown = false;
  const shop = await backend(t, ({ event }) => {
    if (isDown) return new Response(500, "{}");
    return event === "order.cancel" ? { deny: { message: "too late" } } : { ack: ["fine"] };
  });
  const server = await withTables(t, {
    call: [{ url: shop.url, events: ["order.create", "order.cancel"], on: ["connect", "publish"], rooms: "order-*", concurrency: 8, timeout: "2s", secret: SECRET }],
  });
  const alice = await open(t, server, { user: "alice" });
  const page = await enter(t, browser, server);
  await go(page, "Hooks");
  const shopCard = card(page, shop.url);
  await shopCard.getByText("OK", { exact: true }).waitFor();
  assert.match(await shopCard.textContent(), /Answersorder\.createorder\.cancelPermitsconnectpublish order-\*/);
  await shopCard.getByText("2 s for a reply · calls are signed").waitFor();
  await page.getByText("No back end is told what happened. hooks.notify configures that.").waitFor();
  await acknowledged(alice, "order.create");
  await acknowledged(alice, "order.cancel");
  await shows(page, shop.url, /^Calls 3, Refusals 1, Failures 0, Under way 0 of 8, Waiting 0, Times not asked 0$/);

  isDown = true;
  // It is not asked for 5 s each time.
  const isNotAsked = async () => {
    for (const n of upTo(20)) await acknowledged(alice, "order.create", n);
    return shopCard.getByText("Not asked", { exact: true }).isVisible();
  };
  await eventually(isNotAsked, "it is not asked", 30_000);
  await shopCard.getByText(/^Most calls have failed\. It is asked again in [1-5] s\. Last failure, \d\d:\d\d:\d\d: it replied with status 500\.$/).waitFor();
  await page.getByText("1 endpoint, 1 in trouble").waitFor();
  isDown = false;
  await shopCard.getByText("OK", { exact: true }).waitFor();
  await shopCard.getByText("Most calls have failed").waitFor({ state: "hidden" });
  await shows(page, shop.url, /Times not asked [1-9]$/);
  await shopCard.getByText(/Last failure, .*status 500/).waitFor();
});

test("who fails is tried at once, and who has stopped is resumed: each is told everything, in order", async (t) => {
  let answer = {};
  const shop = await backend(t, () => answer);
  const server = await withTables(t, { notify: [{ url: shop.url, events: ["message", "user.online"], rooms: "order-*" }] });
  const page = await enter(t, browser, server, { at: "#/hooks" });
  const shopCard = card(page, shop.url);
  await shopCard.getByText("OK", { exact: true }).waitFor();
  assert.match(await shopCard.textContent(), /Is told ofmessageuser\.onlineIn roomsorder-\*/);
  await page.getByText("No back end answers events or permits what clients do.").waitFor();
  await say(server, "order-1", ["placed"]);
  await shows(page, shop.url, /^Events behind 0, Oldest of them –, Delivered 1, Lost 0$/);
  assert.equal(await button(page, "Try now").count(), 0);

  answer = new Response(500, "", LATER);
  for (const n of upTo(3)) await say(server, "order-1", [`step ${n}`]);
  await shopCard.getByText(/^Failing since \d\d:\d\d:\d\d$/).waitFor();
  await shopCard.getByText(/^Next attempt in (1 h|59 min \d+ s)\. Last failure, \d\d:\d\d:\d\d: it replied with status 500/).waitFor();
  await shows(page, shop.url, /^Events behind up to 3, Oldest of them \d+ s, Delivered 1, Lost 0$/);
  answer = {};
  await button(page, "Try now").press("Enter");
  await notice(page, `${shop.url} is tried now.`);
  await shopCard.getByText("OK", { exact: true }).waitFor();
  await shows(page, shop.url, /^Events behind 0, Oldest of them –, Delivered 4, Lost 0$/);
  assert.equal(await button(page, "Try now").count(), 0);
  assert.ok(await shopCard.evaluate((node) => node === document.activeElement), "the focus stays at the card");

  answer = new Response(410);
  await say(server, "order-1", ["packed"]);
  await shopCard.getByText("Stopped", { exact: true }).waitFor();
  await shopCard.getByText("It responded with status 410 and is told nothing more.").waitFor();
  await say(server, "order-1", ["shipped"]);
  await shows(page, shop.url, /^Events behind up to 2,/);
  answer = {};
  const resume = button(page, "Resume…");
  const dialog = page.getByRole("dialog", { name: "Resume this endpoint?" });
  await resume.click();
  await dialog.getByText(/up to 2 events, the oldest \d+ s ago\./).waitFor();
  await page.keyboard.press("Escape");
  await resume.press("Enter");
  await button(dialog, "Resume").click();
  await notice(page, `${shop.url} is told again.`);
  await shows(page, shop.url, /^Events behind 0, Oldest of them –, Delivered 6, Lost 0$/);
  await shopCard.getByText("OK", { exact: true }).waitFor();
  const taken = new Map(shop.calls.items.flatMap(({ events }) => events.map((event) => [event.id, event.message.data.text])));
  assert.deepEqual([...taken.values()], ["placed", "step 1", "step 2", "step 3", "packed", "shipped"]);
});

test("what an operator does while the server is away fails, and says so", async (t) => {
  const shop = await backend(t, () => new Response(410));
  const failing = await backend(t, () => new Response(503, "", LATER));
  const server = await withTables(t, { notify: [shop, failing].map(({ url }) => ({ url, events: ["message"] })) });
  const way = await network(t, server);
  const page = await enter(t, browser, way, { at: "#/hooks" });
  await say(server, "lobby", ["hello"]);
  await button(page, "Resume…").waitFor();
  await button(page, "Try now").last().waitFor();
  way.cut();
  const dialog = page.getByRole("dialog");
  await button(page, "Resume…").click();
  await button(dialog, "Resume").click();
  await dialog.getByText("The server cannot be reached.").waitFor();
  await button(dialog, "Cancel").click();
  await card(page, failing.url).getByRole("button", { name: "Try now" }).click();
  await notice(page, "It was not tried. The server cannot be reached.");
  await page.getByText(/^The server cannot be reached\. Shown as of \d\d:\d\d:\d\d\./).waitFor();
  way.mend();
  await page.getByText(/^As of \d\d:\d\d:\d\d$/).waitFor();
});

test("without hooks it says what they are for, and which lines configure them", async (t) => {
  const server = await serve(t, { ...ADMIN, store: "memory" });
  const page = await enter(t, browser, server, { at: "#/hooks" });
  await isAt(page, "Hooks");
  await page.getByText("No back end is configured.").waitFor();
  const path = join(server.folder, "hooks.toml");
  await writeFile(path, await page.getByRole("region", { name: "Configuration" }).textContent());
  const { stdout } = await promisify(execFile)(binary, ["config", "--config", path, "--check"]);
  assert.match(stdout, /valid/);
  await button(page, "Copy").waitFor();
});

// Back ends in every state, with names that are as long or as evil as they can be.
async function everyState(t) {
  const fine = await backend(t, ({ event }) => (event === "order.bad" ? new Response(500) : { ack: [1] }));
  const stopped = await backend(t, () => new Response(410));
  const failing = await backend(t, () => new Response(503, "", LATER));
  const down = await backend(t, () => new Response(500));
  const tables = {
    call: [
      { url: fine.url, events: ["order.create", "order.bad", "w".repeat(60), EVIL], on: ["connect", "join", "publish"], rooms: `${"w".repeat(80)}*` },
      { url: down.url, events: ["stock.*"] },
    ],
    notify: [
      { url: fine.url, events: ["message", "notification.unseen", "room.occupied", "room.vacated", "member.joined", "member.left", "user.online", "user.offline"] },
      { url: `${stopped.url}/${"w".repeat(120)}`, events: ["message"], rooms: "order-*" },
      { url: failing.url, events: ["message"] },
    ],
  };
  const server = await withTables(t, tables);
  const alice = await open(t, server, { user: "alice" });
  await alice.ok("join", "order-1");
  await acknowledged(alice, "order.bad");
  for (const n of upTo(12)) await acknowledged(alice, "stock.take", n);
  await say(server, "order-1", ["hello"]);
  return { server, alice };
}

test("everybody can use it, in light and dark, at a desk and on a telephone", async (t) => {
  const { server, alice } = await everyState(t);
  const way = await network(t, server);
  const page = await enter(t, browser, way, { at: "#/hooks" });
  const check = async (what) => {
    for (const viewport of [DESKTOP, PHONE]) {
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        await isAccessible(page, `${what}, ${colorScheme}, ${viewport.width}`);
      }
    }
  };
  await button(page, "Resume…").waitFor();
  await button(page, "Try now").last().waitFor();
  for (const n of upTo(12)) await acknowledged(alice, "stock.take", n);
  await page.getByText("Not asked", { exact: true }).waitFor();
  await check("every state");
  assert.equal(await page.locator("[onerror], [src=x]").count(), 0);
  await button(page, "Resume…").click();
  await check("resume");
  await page.keyboard.press("Escape");
  way.cut();
  await page.getByText(/^The server cannot be reached\. Shown as of/).waitFor();
  await check("without a server");

  const bare = await serve(t, { ...ADMIN, store: "memory" });
  const empty = await enter(t, browser, bare, { at: "#/hooks" });
  await empty.getByText("No back end is configured.").waitFor();
  for (const viewport of [DESKTOP, PHONE]) {
    await empty.setViewportSize(viewport);
    await isAccessible(empty, `no hooks, ${viewport.width}`);
  }
});

// What a shop's hooks are like on a morning.
const MORNING = Date.UTC(2026, 2, 10, 10, 42, 30);
const AT_WORK = {
  call: [
    { url: "https://shop.example/realtime", events: ["order.create", "order.cancel", "cart:*"], on: ["connect", "join"], rooms: "order-*", timeout_ms: 3000, concurrency: 64, signed: true, state: "ok", in_flight: 3, waiting: 0, calls: 18_204, denied: 112, failures: 2, opened: 0, last_failure: { ts: MORNING - 3_100_000, kind: "timeout", message: "no reply in time" } },
  ],
  notify: [
    { url: "https://shop.example/happened", events: ["message", "notification.unseen", "user.offline"], rooms: "order-*", timeout_ms: 10_000, signed: true, state: "ok", behind: 0, behind_ms: 0, delivered: 96_311, lost: 0 },
    { url: "https://crm.example/hooks/switchboard", events: ["member.joined", "member.left"], timeout_ms: 10_000, signed: true, state: "failing", behind: 418, behind_ms: 251_000, delivered: 40_002, lost: 0, failing_since: MORNING - 251_000, next_attempt_in_ms: 38_000, last_failure: { ts: MORNING - 26_000, kind: "connect", message: "no connection: Connection refused" } },
    { url: "https://old.example/events", events: ["message"], timeout_ms: 5000, signed: false, state: "stopped", behind: 1204, behind_ms: 7_500_000, delivered: 7120, lost: 0 },
  ],
};

test("a morning is shown as it was", async (t) => {
  const server = await serve(t, { ...ADMIN, store: "memory", node: "node-1" });
  const look = async (options) => {
    const before = async (page) => {
      await page.clock.install({ time: MORNING });
      await page.route("**/v1/hooks", (route) => route.fulfill({ json: AT_WORK }));
    };
    const page = await enter(t, browser, server, { at: "#/hooks", timezoneId: "UTC", before, ...options });
    await page.getByText("Next attempt in").waitFor();
    await page.evaluate(() => document.activeElement.blur());
    return page;
  };
  const page = await look({ viewport: DESKTOP });
  await page.getByText("4 endpoints, 2 in trouble").waitFor();
  assert.match(await numbers(page, "https://crm.example/hooks/switchboard"), /^Events behind up to 418, Oldest of them 4 min 11 s, Delivered 40,002, Lost 0$/);
  await screenshot(page, "page-admin-hooks");
  await screenshot(await look({ viewport: PHONE, colorScheme: "dark" }), "page-admin-hooks-phone");
});
