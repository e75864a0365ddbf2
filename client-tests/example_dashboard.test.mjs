// examples/dashboard in Chromium: each sample is in the chart once, whatever breaks, and the page says how old its numbers are.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { hasNoViolations } from "./support/accessibility.mjs";
import { launch, openPage, screenshot } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { startExample } from "./support/examples.mjs";
import { network } from "./support/proxy.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { at, SECRET, sign } from "./support/tokens.mjs";
import { call, Caller, isRefusal } from "./support/web.mjs";

const config = fileURLToPath(new URL("../examples/dashboard/switchboard.toml", import.meta.url));
const KEY = "an-api-key-of-this-test-alone";
const HOUR = 3_600_000;
const GIB = 2 ** 30;
const FOREVER = 1_000_000_000;

// One browser for all tests; pages share nothing.
let browser;
let closeBrowser;
before(async () => (browser = await launch({ after: (close) => (closeBrowser = close) })));
after(() => closeBrowser?.());

// The example, whose back end measures every `every` ms, and a server of which clients soon return.
async function begin(t, every, options) {
  const server = await serve(t, { config, "auth-hmac-secret": SECRET, "auth-api-keys": KEY, "events-retry": "200ms", ...options });
  const net = await network(t, server);
  const example = new Example(t, server, { AUTH_SECRET: SECRET, API_KEY: KEY, SAMPLE_MS: String(every) });
  const backEnd = new Caller(server, { key: KEY });
  // One sample, of so many seconds ago.
  const publish = (seconds, processor, delay = 1, memory = 4 + delay / 100) =>
    backEnd.say("machine", { at: Date.now() - 1000 * seconds, processor, memory: memory * GIB, total: 16 * GIB, delay });
  const messages = async () => (await backEnd.get("/v1/rooms/machine/messages", { limit: 1000 })).messages;
  const room = () => backEnd.get("/v1/rooms/machine");
  return { server, net, example, url: await example.start(), publish, messages, room };
}

// The example's processes, which a test may end before it ends itself.
class Example {
  #end = () => {};

  constructor(t, server, env) {
    Object.assign(this, { server, env });
    defer(t, () => this.stop());
  }

  start() {
    return startExample({ after: (end) => (this.#end = end) }, "dashboard", this.server, this.env);
  }

  async stop() {
    const end = this.#end;
    this.#end = () => {};
    await end();
  }
}

// The dashboard, on a machine with a network of its own, and whose clock is an hour late and can be moved on by `page.clock`.
async function open(t, { url, server, net }, { token, ...options } = {}) {
  const page = await openPage(t, browser, "about:blank", options);
  await page.clock.install({ time: Date.now() - HOUR });
  await page.route("**/access", async (route) => {
    const access = await fetch(route.request().url()).then((response) => response.json(), () => undefined);
    if (!access) return route.abort();
    await route.fulfill({ json: { token: token?.() ?? access.token, url: access.url.replace(server.url, net.url) } });
  });
  // Runs before the page is closed: requests may be under way.
  defer(t, () => page.unrouteAll({ behavior: "ignoreErrors" }));
  await page.goto(url);
  return page;
}

const says = (page, state) => page.getByRole("status").getByText(state, { exact: true }).waitFor();

// The lines of a chart: for each piece between holes its points, [x, y] in thousandths.
const lines = (page, metric = "processor") =>
  page.locator(`#${metric} .line`).evaluate((path) =>
    (path.getAttribute("d") ?? "").split("M").slice(1).map((piece) => piece.replace("h0", "").split("L").map((point) => point.split(" ").map(Number))),
  );

const height = (value, top) => Math.round(10 * (1000 - (970 * value) / top)) / 10;
const heights = (messages) => messages.map(({ data }) => height(data.processor, 100));

// The chart has what is stored, in this order, nothing twice and in one piece. It may already have more than was stored when asked.
async function isWhole(page, messages) {
  const expected = heights(messages);
  let pieces;
  const complete = async () => {
    pieces = await lines(page);
    return pieces.length === 1 && JSON.stringify(pieces[0].slice(0, expected.length).map(([, y]) => y)) === JSON.stringify(expected);
  };
  await eventually(complete, "the chart").catch(() => assert.deepEqual(pieces.map((piece) => piece.map(([, y]) => y)), [expected]));
  const xs = pieces[0].map(([x]) => x);
  assert.ok(xs.every((x, i) => i === 0 || x >= xs[i - 1]), "it goes forward");
  return pieces[0].length;
}

// The back end has published each of its samples, in order.
function areConsecutive(messages) {
  const numbers = messages.map(({ id }) => Number(id.split("-").at(-1)));
  assert.deepEqual(numbers, upTo(messages.length).map((n) => numbers[0] + n - 1));
}

test("each sample is in the chart once: after a reload, a killed server, a lost network, and while nobody looked", async (t) => {
  const all = await begin(t, 50);
  const { server, example, messages, room, net } = all;
  const growsTo = (n) => eventually(async () => (await messages()).length >= n, `${n} samples`);
  const page = await open(t, all);
  await says(page, "Live");
  await growsTo(10);
  assert.ok((await isWhole(page, await messages())) >= 10);

  // The history is there at once: before anything else is published.
  await page.reload();
  await page.locator("#processor .line[d*=L]").waitFor({ state: "attached" });
  assert.ok((await isWhole(page, await messages())) >= 10);

  // The server dies. What is measured meanwhile waits in the back end.
  await server.kill();
  await page.clock.fastForward(6_000);
  await says(page, "Connecting");
  await page.getByText(/^measured \d+ s ago$/).waitFor();
  await server.start();
  const { seq } = await room();
  await growsTo(seq + 20);
  areConsecutive(await messages());
  await isWhole(page, await messages());
  await says(page, "Live");

  // The page's network goes away, and comes back.
  net.cut();
  await eventually(async () => (await room()).connections === 0, "the page is gone");
  await growsTo((await room()).seq + 10);
  net.mend();
  await isWhole(page, await messages());

  // A page that is not looked at has no stream, and has missed nothing when it is.
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await eventually(async () => (await room()).connections === 0, "the stream is closed");
  await growsTo((await room()).seq + 10);
  await hide(false);
  await isWhole(page, await messages());

  // The network dies without a word.
  net.freeze();
  await growsTo((await room()).seq + 10);
  await page.clock.fastForward(20_000);
  await isWhole(page, await messages());

  // The back end stops: the number stays, and the page says how old it is.
  await example.stop();
  const value = async () => `${Math.round((await messages()).at(-1).data.processor)} %`;
  // One more sample may still be on its way.
  await eventually(async () => (await isWhole(page, await messages())) === (await messages()).length, "all of them");
  areConsecutive(await messages());
  await page.clock.fastForward(6_000);
  await says(page, "The back end is silent");
  await page.getByText(/^measured \d+ s ago$/).waitFor();
  await eventually(async () => (await page.locator("#processor .value").textContent()) === (await value()), "the last number");
  const failing = page.waitForEvent("requestfailed");
  await page.clock.fastForward(20_000);
  await failing;
  await says(page, "The back end is silent");
  net.cut();
  net.mend();
  await example.start();
  await says(page, "Live");
  assert.deepEqual(page.errors, []);
});

test("a page may read the room and do nothing else, and it goes on under a new token when its own expires", async (t) => {
  const all = await begin(t, 50, { "auth-leeway": "0s" });
  const { server, url, messages, room } = all;
  const { token } = await (await fetch(`${url}/access`)).json();
  const publishing = await call(server, "POST", "/v1/rooms/machine/messages", { key: token, body: { data: {} } });
  isRefusal(publishing, 403, "forbidden");
  isRefusal(await call(server, "GET", "/events/another", { key: token }), 403, "forbidden");
  isRefusal(await call(server, "GET", "/events/machine"), 401, "unauthorized");
  for (const path of ["/backend.mjs", "/..%2fbackend.mjs", "/public/../../backend.mjs", "//", "/constructor"]) {
    assert.equal((await fetch(url + path)).status, 404, path);
  }

  let tokens = 0;
  const rooms = [{ match: "machine", can: ["join", "history"] }];
  const soonOver = () => sign({ sub: `viewer-${(tokens += 1)}`, exp: at(tokens === 1 ? 3 : 600), rooms });
  const page = await open(t, all, { token: soonOver });
  const refused = [];
  page.on("response", (response) => response.status() === 401 && refused.push(response.url()));
  await says(page, "Live");
  await eventually(async () => (await room()).connections === 0, "the token has expired");
  const { length } = await messages();
  await page.clock.fastForward(3_000);
  await eventually(() => tokens === 2, "another token");
  await eventually(async () => (await isWhole(page, await messages())) > length + 20, "more samples");
  assert.deepEqual(refused, [], "no attempt with the old one");
});

// The page's texts as a screen reader has them.
const label = (page, metric) => page.locator(`#${metric} svg`).getAttribute("aria-label");
const row = (page, n) => page.locator(`#last tr:nth-child(${n}) td`).allTextContents();

test("numbers are texts, too, holes stay holes, a moment can be looked at, and a log that is lost is not drawn on", async (t) => {
  const all = await begin(t, FOREVER, { store: "memory" });
  const { server, publish } = all;
  const page = await open(t, all);
  await says(page, "The back end is silent");
  assert.equal(await label(page, "processor"), "Processor: nothing measured");
  assert.deepEqual(await page.locator(".value").allTextContents(), ["–", "–", "–"]);
  for (const [seconds, processor, delay] of [[400, 99], [60, 10], [58, 20, 47], [30, 40], [1, 30], [0, 25, 7.25]]) await publish(seconds, processor, delay);
  await eventually(async () => (await label(page, "delay")).endsWith("7.3 ms at the end"), "the last");
  assert.equal(await label(page, "processor"), "Processor in the last five minutes: 10 % to 40 %, 25 % at the end");
  assert.equal(await label(page, "memory"), "Memory in the last five minutes: 4.01 GiB to 4.47 GiB, 4.07 GiB at the end");
  assert.deepEqual(await page.locator(".value").allTextContents(), ["25 %", "4.07 GiB", "7.3 ms"]);
  assert.deepEqual(await page.locator(".top").allTextContents(), ["100 %", "16.00 GiB", "50 ms"]);
  const ys = (await lines(page)).map((piece) => piece.map(([, y]) => y));
  assert.deepEqual(ys, [[10, 20], [40], [30, 25]].map((piece) => piece.map((value) => height(value, 100))));
  await page.getByText("The last values").click();
  assert.deepEqual((await row(page, 4)).slice(1), ["20 %", "4.47 GiB", "47 ms"]);

  // By keyboard, and by mouse.
  const [slider, moments] = [page.getByRole("slider", { name: "Processor" }), page.locator("output")];
  const text = () => slider.getAttribute("aria-valuetext");
  await page.getByText("The last values").click();
  for (const _ of upTo(3)) await page.keyboard.press("Shift+Tab");
  assert.ok(await slider.evaluate((element) => element === document.activeElement));
  assert.equal(await text(), "now");
  await page.keyboard.press("Home");
  await moments.first().waitFor();
  assert.match(await text(), /^\d.*: 10 %$/);
  await page.keyboard.press("End");
  await moments.first().waitFor({ state: "hidden" });
  for (const _ of upTo(25)) await page.keyboard.press("ArrowLeft");
  assert.match(await text(), /: 40 %$/);
  const texts = await moments.allTextContents();
  assert.equal(new Set(texts.map((each) => each.split(": ")[0])).size, 1, "all charts show the same moment");
  await page.keyboard.press("End");
  await moments.first().waitFor({ state: "hidden" });
  const { width } = await slider.boundingBox();
  await slider.hover({ position: { x: width * 0.9, y: 20 } });
  await eventually(async () => /: 40 %$/.test(await text()), "the sample under the mouse");
  await page.mouse.move(0, 0);
  await moments.first().waitFor({ state: "hidden" });

  // The log is in memory, so that a server that dies has lost it.
  await server.kill();
  await server.start();
  await eventually(async () => (await label(page, "processor")) === "Processor: nothing measured", "the reset");
  await publish(0, 70);
  await eventually(async () => (await label(page, "processor")).endsWith("70 % to 70 %, 70 % at the end"), "what comes then");
  assert.equal((await lines(page)).flat().length, 1);
  assert.deepEqual(page.errors, []);
});

// Nothing that a person with a screen reader, or without a mouse, cannot use.
async function isAccessible(page, what) {
  await hasNoViolations(page, what);
  const { scrollWidth, clientWidth } = await page.evaluate(() => document.documentElement);
  assert.equal(scrollWidth, clientWidth, `${what} fits`);
}

const DESK = { width: 1280, height: 720 };
const PHONE = { width: 390, height: 844 };

test("everybody can use it: in light and dark, on a desk and a phone, live and not", async (t) => {
  const all = await begin(t, 100);
  const page = await open(t, all);
  await page.getByText("The last values").click();
  const look = async (colorScheme, viewport, state) => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(viewport);
    await says(page, state);
    await isAccessible(page, `${state}, ${colorScheme}, ${viewport.width}`);
  };
  await look("light", DESK, "Live");
  await look("dark", PHONE, "Live");
  await page.clock.fastForward(6_000);
  await look("dark", DESK, "The back end is silent");
  await look("light", PHONE, "The back end is silent");
});

test("how it looks", { skip: process.env.UPDATE_SCREENSHOTS !== "1" }, async (t) => {
  const all = await begin(t, FOREVER);
  const wave = (n, period) => Math.sin((2 * Math.PI * n) / period);
  for (const n of upTo(300)) {
    const busy = n > 90 && n < 190 ? 34 : 0;
    const processor = 22 + busy + 6 * wave(n, 47) + 5 * wave(n, 11) + 4 * wave(n, 3.7);
    const delay = 3 + 2 * wave(n, 5.3) + wave(n, 2.9) + (n % 61 === 40 ? 24 : 0) + (busy > 0 ? 4 + 3 * wave(n, 7.1) : 0);
    const memory = 6.1 + (busy > 0 ? (n - 90) / 45 : n > 90 ? Math.max(0, (240 - n) / 22) : 0) + 0.05 * wave(n, 9);
    await all.publish(300 - n, processor, delay, memory);
  }
  const page = await open(t, all, { viewport: DESK });
  await says(page, "Live");
  const { width } = await page.locator("#processor .chart").boundingBox();
  await page.locator("#processor .chart").hover({ position: { x: width * 0.62, y: 60 } });
  await page.locator("output").first().waitFor();
  await screenshot(page, "example-dashboard");
  await page.mouse.move(0, 0);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize(PHONE);
  await page.locator("output").first().waitFor({ state: "hidden" });
  await screenshot(page, "example-dashboard-phone");
});
