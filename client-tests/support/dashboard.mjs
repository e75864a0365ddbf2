// The dashboard at /admin in Chromium: opening it, logging in, going from place to place, and what each of its pages has to keep to.

import assert from "node:assert/strict";
import { hasNoViolations } from "./accessibility.mjs";
import { openPage } from "./browser.mjs";
import { defer } from "./scope.mjs";
import { Caller } from "./web.mjs";

export const KEY = "a-key-of-operators-for-these-tests";
// Options of a server with a dashboard.
export const ADMIN = { "auth-admin-key": KEY, "presence-grace": "200ms" };
export const operator = (server, key = KEY) => new Caller(server, { key });

// The name of a user, or a text, of somebody who means ill.
export const EVIL = "<img/src=x/onerror=alert(1)>";

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };


// No page may ask another host for anything, break its own policy, or have an error.
function watch(t, page, { host }) {
  page.foreign = [];
  const ask = (url) => new URL(url).host !== host && !url.startsWith("data:") && page.foreign.push(url);
  page.on("request", (request) => ask(request.url()));
  page.on("websocket", (socket) => ask(socket.url()));
  page.on("console", (message) => /Content Security Policy/i.test(message.text()) && page.foreign.push(message.text()));
  defer(t, () => assert.deepEqual([page.foreign, page.errors], [[], []]));
}

// The dashboard of whatever has a `url`, where `at` says, before anybody has logged in. `before(page)` prepares the page.
export async function visit(t, browser, { url }, { at = "", path = "/admin", before = () => {}, ...options } = {}) {
  const page = await openPage(t, browser, "about:blank", { reducedMotion: "reduce", ...options });
  watch(t, page, new URL(url));
  await before(page);
  await page.goto(`${url}${path}${at}`);
  await page.getByRole("heading", { name: "Switchboard dashboard" }).waitFor();
  return page;
}

// The same, logged in.
export async function enter(t, browser, server, options) {
  const page = await visit(t, browser, server, options);
  await logIn(page, options?.key);
  return page;
}

export async function logIn(page, key = KEY) {
  await page.getByLabel("Admin key").fill(key);
  await page.keyboard.press("Enter");
  await isLive(page);
}

export const isLive = (page) => page.locator("#app[data-stream=live]").waitFor();
export const button = (page, name) => page.getByRole("button", { name, exact: true });
export const alert = (page, text) => page.getByRole("alert").filter({ hasText: text }).waitFor();

// Waits for the view with this title.
export const isAt = (page, title) => page.getByRole("heading", { level: 1 }).getByText(title, { exact: true }).last().waitFor();

// Goes to a view by its link.
export async function go(page, view) {
  await page.getByRole("navigation", { name: "Dashboard" }).getByRole("link", { name: view }).click();
  await isAt(page, view);
}

// Goes to an address, such as "#/rooms/lobby".
export const goTo = (page, hash) => page.evaluate((to) => void (location.hash = to), hash);

// What a list of named numbers shows: "Connections 3, Rooms 1".
export const figures = (scope, name) =>
  scope
    .getByLabel(name, { exact: true })
    .locator("div")
    .evaluateAll((pairs) => pairs.map((pair) => [...pair.children].map((part) => part.textContent).join(" ")).join(", "));

// What a chart says of its series at the newest sample: "Socket.IO 2" …
export const legend = (page, chart) => page.getByRole("region", { name: chart, exact: true }).getByRole("listitem").allTextContents();

// The rows of a chart's values, oldest first, without the times.
export async function tableOf(page, chart) {
  await button(page, `${chart} as a table`).click();
  const body = page.getByRole("dialog", { name: chart }).locator("tbody tr");
  const rows = await body.evaluateAll((rows) => rows.map((row) => [...row.cells].slice(1).map((cell) => cell.textContent)));
  await page.keyboard.press("Escape");
  return rows.reverse();
}

// In a room: what its list shows, the item with a text, and the field of the form.
export const entries = (page) => page.getByRole("log").locator("li").allTextContents();
export const entry = (page, text) => page.getByRole("log").getByRole("listitem").filter({ hasText: text });
export const data = (page) => page.getByLabel("A message, data");
export const notice = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();

// Nothing that a person with a screen reader, or without a mouse, cannot use; nothing wider than the page.
export async function isAccessible(page, what) {
  await hasNoViolations(page, what);
  const widths = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll("#view")].map((node) => [node.scrollWidth, node.clientWidth]));
  for (const [content, room] of widths) assert.ok(content <= room, `nothing is wider than the page, ${what}: ${widths}`);
}
