// How the dashboard at /admin looks in Chromium: that everybody can use it, and its pictures.
//
// UPDATE_SCREENSHOTS=1 writes the pictures of docs/images.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { launch, screenshot } from "./support/browser.mjs";
import { open, upTo } from "./support/clients.mjs";
import { ADMIN, alert, button, data, DESKTOP, enter, entry, EVIL, figures, goTo, isAccessible, isAt, legend, logIn, operator, PHONE, tableOf, visit } from "./support/dashboard.mjs";
import { showHour } from "./support/hour.mjs";
import { network } from "./support/proxy.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

// The browser, and a server for all tests.
const file = { after };
const [browser, shared] = await Promise.all([launch(file), serve(file, { ...ADMIN, node: "node-1" })]);

const LOOKS = [DESKTOP, PHONE].flatMap((viewport) => ["light", "dark"].map((colorScheme) => ({ viewport, colorScheme })));

test("everybody can use every page, in light and dark, at a desk and on a telephone", async (t) => {
  const way = await network(t, shared);
  const page = await visit(t, browser, way);
  const check = async (what) => {
    for (const { viewport, colorScheme } of LOOKS) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      await isAccessible(page, `${what}, ${colorScheme}, ${viewport.width}`);
    }
  };
  const at = async (hash, title, shown) => {
    await goTo(page, hash);
    await isAt(page, title);
    await shown?.waitFor();
  };
  const cancel = (name = "Cancel") => button(page.getByRole("dialog"), name).click();
  const names = ["alice", EVIL, "w".repeat(128)];
  const admin = operator(shared);
  for (const user of names) {
    const client = await open(t, shared, { user });
    for (const room of ["everybody", "w".repeat(128), `everybody-${names.indexOf(user)}`]) await client.ok("join", room);
    await client.ok("message", { room: "everybody", data: { text: "w".repeat(500) } });
  }
  await admin.ok(202, "POST", "/v1/rooms/everybody/messages", { body: { data: EVIL, event: "a".repeat(64), from: names[2], ephemeral: true } });

  await check("log-in");
  await page.getByLabel("Admin key").fill("wrong");
  await page.keyboard.press("Enter");
  await alert(page, "This is not the admin key.");
  await check("a wrong key");
  await logIn(page);
  await check("overview");
  await button(page, "Messages as a table").click();
  await page.getByRole("dialog").waitFor();
  await check("values of a chart");
  await cancel("Close");
  await at("#/nodes", "Nodes", button(page, "Drain…"));
  await page.getByText("Totals since the start").click();
  await check("nodes");
  await button(page, "Drain…").click();
  await check("drain");
  await cancel();
  for (const [hash, row] of [["#/rooms", EVIL], ["#/rooms?by=busiest", "everybody"], ["#/rooms?by=largest", "everybody"], ["#/rooms?prefix=nothing", undefined]]) {
    await at(hash, "Rooms", row === undefined ? page.getByText("No room with members") : page.getByRole("table"));
    await check(hash);
  }
  const rooms = ["everybody", "w".repeat(128)];
  for (const room of rooms) {
    await at(`#/rooms/${room}`, room, page.getByText("Members, 3"));
    await check(`room ${room}`);
  }
  await at("#/rooms/everybody", "everybody", button(page, `Kick ${names[2]}`));
  await entry(page, "#1").waitFor();
  await button(page, `Kick ${names[2]}`).click();
  await check("kick");
  await cancel();
  await at("#/users", "Users", page.getByRole("link", { name: names[2] }));
  await check("users");
  for (const user of names.slice(1)) {
    await at(`#/users/${encodeURIComponent(user)}`, user, page.getByRole("row", { name: /^Socket\.IO/ }));
    await check(`user ${user}`);
  }
  await button(page, "Disconnect…").click();
  await check("disconnect");
  await cancel();
  await at("#/nowhere", "Not found");
  await check("not found");
  await at("#/rooms/everybody", "everybody", page.getByText("Members, 3"));
  way.cut();
  await page.getByText(/^Reconnecting\./).waitFor();
  await button(page, "Try now").waitFor();
  await check("a room without a server");
  await at("#/", "Overview");
  await check("overview without a server");
  await at("#/users", "Users", button(page, "Try again"));
  await check("users without a server");
});

// The same pictures each time: the times of that morning.
const settle = (page) =>
  page.evaluate(() => {
    document.querySelectorAll(".entry time").forEach((time, i) => (time.textContent = `10:41:${12 + 5 * i}`));
    for (const text of document.querySelectorAll(".freshness")) text.textContent = text.textContent.replace(/\d\d:\d\d:\d\d/, "10:42:30");
    for (const text of document.querySelectorAll(".members .about")) text.textContent = text.textContent.replace(/\d\d:\d\d:\d\d/, "10:31:08");
    document.querySelector('[aria-label="Numbers"] div:last-child dd')?.replaceChildren("k3v9x2qd");
    document.activeElement.blur();
  });

const TALK = [
  ["alice", "message", { text: "The new tour is live on staging." }],
  ["bob", "message", { text: "The last step says “Next”." }],
  ["carol", "message", { text: "Fixed. We release at 14:00." }],
  ["carol", "deployed", { version: "2.1.0", took_s: 41 }],
  ["bob", "message", { text: "Thank you!" }],
];

test("an hour is drawn at once, and each moment of it can be looked at", async (t) => {
  const now = new Date().setUTCHours(10, 42, 30, 0);
  const options = { timezoneId: "UTC", before: (page) => showHour(t, page, now) };
  const overview = async (looks) => {
    const page = await enter(t, browser, shared, { ...options, ...looks });
    await page.getByText("web-1, the last hour").waitFor();
    // All charts are drawn, one a frame.
    await page.waitForFunction(() => [...document.querySelectorAll("canvas")].every((canvas) => canvas.width > 300) && document.querySelectorAll("canvas").length > 9);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    await settle(page);
    return page;
  };
  const page = await overview({ viewport: DESKTOP });
  await screenshot(page, "page-admin");
  const slider = page.getByRole("slider", { name: "Connections, moment" });
  assert.equal(await slider.getAttribute("aria-valuemax"), "719");
  const values = await tableOf(page, "Connections");
  assert.equal(values.length, 60, "a table shows five minutes at a time");

  const dark = await overview({ viewport: DESKTOP, colorScheme: "dark" });
  const box = await dark.getByRole("slider", { name: "Recoveries, moment" }).boundingBox();
  await dark.mouse.move(box.x + 50 + (box.width - 58) * (21.75 / 60), box.y + 40);
  await dark.getByText(/^web-1 at 10:04:\d\d$/).waitFor();
  assert.match(`${await legend(dark, "Recoveries")}`, /^Resumed \d\d\/s,Refused \d(\.\d)?\/s$/);
  await screenshot(dark, "page-admin-dark");
  await screenshot(await overview({ viewport: PHONE }), "page-admin-phone");
});

const isPictured = process.env.UPDATE_SCREENSHOTS === "1";

test("a room has its picture taken", { skip: !isPictured }, async (t) => {
  const clients = {};
  for (const user of ["alice", "bob", "carol"]) {
    clients[user] = await open(t, shared, { user });
    await clients[user].ok("join", "releases");
  }
  await clients.bob.ok("status", { status: "busy" });
  const page = await enter(t, browser, shared, { at: "#/rooms/releases", timezoneId: "UTC" });
  await page.getByText("Connected", { exact: true }).waitFor();
  for (const [user, event, said] of TALK) await clients[user].ok("publish", { room: "releases", event, data: said });
  for (const n of upTo(3)) await clients.alice.ok("publish", { room: "releases", event: "cursor", data: { x: 212 + 31 * n, y: 88 }, ephemeral: true });
  await data(page).fill("Maintenance at 18:00, for five minutes.");
  await page.keyboard.press("Enter");
  await page.getByText("Stored as #6.").waitFor();
  await entry(page, "Maintenance").waitFor();
  await eventually(async () => (await figures(page, "Numbers")).includes("Last message #6"), "the numbers");
  await page.getByText("busy, 1 connection").waitFor();
  await settle(page);
  await screenshot(page, "page-admin-room");
});
