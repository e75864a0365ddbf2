// examples/whiteboard in Chromium: two browsers draw on one board, others come late, small or sharp, and all see the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, openPage, screenshot } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { startExample } from "./support/examples.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { drawPlan } from "./support/sketch.mjs";
import { Caller } from "./support/web.mjs";

const config = fileURLToPath(new URL("../examples/whiteboard/switchboard.toml", import.meta.url));

async function begin(t) {
  const server = await serve(t, { config, "presence-grace": "1s" });
  const url = await startExample(t, "whiteboard", server);
  const browser = await launch(t);
  const enter = async (user, options) => {
    const page = await openPage(t, browser, `${url}/?user=${user}`, options);
    page.user = user;
    await person(page, user).waitFor();
    return page;
  };
  return { server, enter };
}

const person = (page, user) => page.locator("#people li", { hasText: user });
const cursor = (page, user) => page.locator(`.cursor[data-user=${user}]`);
const button = (page, name) => page.getByRole("button", { name });
const strokes = (page) => page.locator("#finished").evaluate((canvas) => Number(canvas.dataset.strokes ?? 0));
const has = (page, n) => eventually(async () => (await strokes(page)) === n, `${page.user} has ${n} strokes`);

// A picture of the board's own pixels, without what is around it.
const picture = (page, id = "finished") => page.evaluate((id) => document.getElementById(id).toDataURL(), id);

const looksLike = (page, other) =>
  eventually(async () => (await picture(page)) === (await picture(other)), `${page.user} sees what ${other.user} sees`);

// Whether something is drawn that is neither transparent nor the sheet.
const inked = (page, id) =>
  page.evaluate((id) => {
    const canvas = document.getElementById(id);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && data[i] + data[i + 1] + data[i + 2] < 500) return true;
    return false;
  }, id);

// Draws a line through places of the window; `hold` leaves the pen on the board.
async function draw(page, [first, ...places], { hold = false } = {}) {
  await page.mouse.move(...first);
  await page.mouse.down();
  for (const place of places) await page.mouse.move(...place, { steps: 4 });
  if (!hold) await page.mouse.up();
}

// Two fingers that go apart.
async function pinch(page) {
  const devtools = await page.context().newCDPSession(page);
  const touch = (type, ...places) =>
    devtools.send("Input.dispatchTouchEvent", { type, touchPoints: places.map(([x, y], id) => ({ x, y, id })) });
  await touch("touchStart", [180, 400]);
  await touch("touchMove", [182, 402]);
  await touch("touchStart", [182, 402], [220, 420]);
  for (const by of upTo(5)) await touch("touchMove", [182 - 10 * by, 402 - 10 * by], [220 + 10 * by, 420 + 10 * by]);
  await touch("touchEnd");
}

test("two browsers draw, and whoever comes late sees the same board", async (t) => {
  const { server, enter } = await begin(t);
  const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
  for (const page of [alice, bob]) for (const user of ["alice", "bob"]) await person(page, user).waitFor();

  // A stroke that is being drawn is seen with the cursor of who draws it, and is the same one once it is finished.
  await button(alice, "Red").click();
  await draw(alice, [[300, 300], [500, 400], [600, 300]], { hold: true });
  await cursor(bob, "alice").waitFor();
  await eventually(() => inked(bob, "under-way"), "bob sees the stroke grow");
  assert.equal(await strokes(bob), 0);
  await alice.mouse.up();
  await has(bob, 1);
  await eventually(async () => !(await inked(bob, "under-way")), "it is under way no longer");

  await button(bob, "Thick").click();
  for (const i of upTo(3)) await draw(bob, [[300, 350 + 60 * i], [700, 380 + 60 * i]]);
  await draw(alice, [[800, 200], [900, 500]]);
  for (const page of [alice, bob]) await has(page, 5);
  await looksLike(bob, alice);

  // Somebody who comes late, after more than the first page of the log.
  const reader = new Caller(server, { user: "dave" });
  const dot = { points: [1200, 800, 1220, 820], colour: "#16855b", width: 8 };
  const requests = upTo(100).map(() => ({ method: "POST", path: "/v1/rooms/board/messages", body: { event: "stroke", data: dot } }));
  for (let i = 0; i < 3; i += 1) await reader.ok(200, "POST", "/v1/batch", { body: { requests } });
  await has(alice, 305);
  const carol = await enter("carol");
  await has(carol, 305);
  await looksLike(carol, alice);

  // Undo takes back the own last stroke, and nobody else's.
  await button(alice, "Undo").click();
  for (const page of [alice, bob, carol]) await has(page, 304);
  assert.equal(await button(carol, "Undo").isDisabled(), true);
  await alice.keyboard.press("Control+z");
  for (const page of [alice, bob, carol]) await has(page, 303);
  for (const page of [bob, carol]) await looksLike(page, alice);

  // The cursor goes with its user.
  await alice.mouse.move(500, 300);
  await cursor(bob, "alice").waitFor();
  await alice.close();
  await cursor(bob, "alice").waitFor({ state: "detached" });
  await person(bob, "alice").waitFor({ state: "detached" });

  bob.on("dialog", (dialog) => dialog.accept());
  await button(bob, "Clear").click();
  for (const page of [bob, carol]) await has(page, 0);
  assert.deepEqual([...bob.errors, ...carol.errors], []);
});

test("who draws without a network loses nothing, and a board is the same on a phone and after every resize", async (t) => {
  const { server, enter } = await begin(t);
  const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
  await draw(bob, [[400, 300], [500, 400]]);
  await has(alice, 1);
  await alice.context().setOffline(true);
  await alice.getByRole("status").getByText("offline").waitFor();
  for (const i of upTo(3)) await draw(alice, [[300 + 40 * i, 500], [340 + 40 * i, 300]]);
  await has(alice, 4);
  await draw(bob, [[600, 300], [700, 400]]);
  await has(bob, 2);
  await server.kill();
  await server.start();
  await alice.context().setOffline(false);
  for (const page of [alice, bob]) await has(page, 5);
  await looksLike(alice, bob);

  // Smaller, and back: drawn anew from the points.
  const before = await picture(alice);
  await alice.setViewportSize({ width: 600, height: 500 });
  await eventually(async () => (await picture(alice)) !== before, "it is drawn for the smaller window");
  assert.equal(await inked(alice, "finished"), true);
  await alice.setViewportSize({ width: 1280, height: 800 });
  await eventually(async () => (await picture(alice)) === before, "it is as before");

  // A finger on a phone with a sharp screen.
  const phone = await enter("carol", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 3, isMobile: true, hasTouch: true });
  await has(phone, 5);
  assert.equal(await phone.locator("#finished").evaluate((canvas) => canvas.width), 3 * 390);
  assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is cut off");
  await phone.touchscreen.tap(200, 400);
  for (const page of [alice, bob, phone]) await has(page, 6);
  await looksLike(alice, bob);

  // Two fingers move and zoom, and leave no stroke behind.
  const hint = phone.getByText("Two fingers");
  await hint.waitFor();
  const unzoomed = await picture(phone);
  await pinch(phone);
  await eventually(async () => (await picture(phone)) !== unzoomed, "the view is another");
  await hint.waitFor({ state: "hidden" });
  await phone.touchscreen.tap(200, 450);
  for (const page of [alice, bob, phone]) await has(page, 7);
  assert.equal(await inked(bob, "under-way"), false);
  for (const page of [alice, bob, phone]) assert.deepEqual(page.errors, []);
});

test("how it looks", { skip: process.env.UPDATE_SCREENSHOTS !== "1" }, async (t) => {
  const { server, enter } = await begin(t);
  await drawPlan(server, "board");
  const [bob, carol] = [await enter("bob"), await enter("carol")];
  const alice = await enter("alice", { viewport: { width: 1280, height: 800 } });
  for (const page of [bob, carol]) await page.mouse.move(500, 300);
  await bob.mouse.move(1052, 430);
  await carol.mouse.move(960, 590);
  await person(alice, "carol").waitFor();
  await cursor(alice, "bob").waitFor();
  await cursor(alice, "carol").waitFor();
  await has(alice, await strokes(bob));
  await screenshot(alice, "whiteboard");
  const phone = await enter("dave", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  await has(phone, await strokes(bob));
  await bob.mouse.move(1050, 428);
  await carol.mouse.move(958, 588);
  await cursor(phone, "bob").waitFor();
  await cursor(phone, "carol").waitFor();
  await screenshot(phone, "whiteboard-phone");
});
