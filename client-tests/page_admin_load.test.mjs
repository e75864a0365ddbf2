// The dashboard at /admin in Chromium while its server has very many connections and rooms: nothing on the page takes long.
//
// All ten thousand connections with SWITCHBOARD_LONG=1, otherwise a part of them.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { launch } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { ADMIN, enter, figures, go, goTo, isAt, operator } from "./support/dashboard.mjs";
import { defer, eventually, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { withQuery } from "./support/web.mjs";

const CONNECTIONS = process.env.SWITCHBOARD_LONG === "1" ? 10_000 : 5_000;
const [ROOMS, ROOMS_EACH] = [5_000, 200];
const IN_THE_HALL = 1_000;
const HANDSHAKES = 200;
const LONGEST_MS = 100;
// Somebody else may have the processor: what is long is long each time.
const ROUNDS = 3;

const LIMITS = {
  ...UNLIMITED,
  "limits-connects-per-second": 0,
  "limits-user-joins-per-second": 0,
  "limits-connections-per-user": 0,
  "websocket-ping-interval": "1h",
};

// A plain WebSocket without a library, as ten thousand of those would take the test more than they take the server.
async function visitor(t, server, query) {
  const socket = connect(server.port, "127.0.0.1");
  defer(t, () => socket.destroy());
  const path = withQuery("/ws", query);
  const upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
  socket.write([`GET ${path} HTTP/1.1`, `Host: ${server.address}`, ...upgrade, "", ""].join("\r\n"));
  let text = "";
  const due = [query.room ?? []].flat().length;
  const greeted = new Promise((resolve, reject) => {
    socket.on("data", (bytes) => {
      if (text === undefined) return;
      text += bytes.toString("latin1");
      if (!text.includes('"connected"') || text.split('"joined"').length <= due) return;
      text = undefined;
      resolve();
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`closed: ${text}`)));
  });
  await within(greeted, () => `not connected: ${text?.slice(0, 300)}`, 60_000);
}

// Has `work(n)` done for 1 to `total`, some at the same time.
async function inTurns(total, width, work) {
  let done = 0;
  const worker = async () => {
    while (done < total) await work((done += 1));
  };
  await Promise.all(upTo(width).map(worker));
}

const name = (kind, n) => `${kind}-${String(n).padStart(5, "0")}`;

// Everybody is connected: some are in many rooms, some in the hall, and the others in none.
async function gather(t, server) {
  const collectors = ROOMS / ROOMS_EACH;
  const roomsOf = (n) => upTo(ROOMS_EACH).map((i) => name("room", (n - 1) * ROOMS_EACH + i));
  await inTurns(collectors, 4, (n) => visitor(t, server, { user: name("user", n), room: roomsOf(n) }));
  const others = CONNECTIONS - collectors;
  await inTurns(others, HANDSHAKES, (n) => visitor(t, server, { user: name("user", n + collectors), room: n <= IN_THE_HALL ? "hall" : undefined }));
}

// Collects the page's long tasks, and where each was.
function observe() {
  window.tasks = [];
  const note = ({ duration }) => window.tasks.push({ ms: Math.round(duration), at: location.hash });
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type: "longtask", buffered: true });
}

// Looks at every view, pages and searches; `time(what, act)` measures how long what is waited for takes.
async function lookAround(page, time) {
  const rows = page.getByRole("table").last().locator("tbody tr");
  const link = (text) => page.getByRole("link", { name: text, exact: true });
  // An update of the numbers.
  const update = () => page.evaluate(() => new Promise((resolve) => {
    const slider = document.querySelector('[role="slider"]');
    new MutationObserver((_, observer) => resolve(observer.disconnect())).observe(slider, { attributes: true, attributeFilter: ["aria-valuemax"] });
  }));
  await go(page, "Overview");
  await update();
  await update();
  await go(page, "Nodes");
  await eventually(async () => (await figures(page.locator(".node"), /^Now/)).includes(`Connections ${CONNECTIONS.toLocaleString("en-GB")}`), "the connections");

  for (const [view, kind] of [["Rooms", "room"], ["Users", "user"]]) {
    const field = page.getByRole("searchbox");
    await time(`${view}, first page`, async () => {
      await go(page, view);
      await rows.nth(99).waitFor();
    });
    for (const n of upTo(5)) {
      await time(`${view}, page ${n + 1}`, async () => {
        const last = await rows.last().textContent();
        await link("Next page").click();
        await eventually(async () => (await rows.last().textContent()) !== last, "the next page");
      });
    }
    await link("Previous page").click();
    await time(`${view}, search`, async () => {
      await field.fill(`${kind}-0123`);
      await eventually(async () => (await rows.count()) === 10, "what was searched for");
    });
    await time(`${view}, one`, async () => {
      await rows.getByRole("link").nth(3).click();
      await isAt(page, `${kind}-01233`);
      await page.getByText(/^As of/).first().waitFor();
    });
  }
  await time("a user in many rooms", async () => {
    await goTo(page, "#/users/user-00001");
    await page.getByRole("button", { name: /^Show all 20\d rooms$/ }).click();
    await link("room-00200").last().waitFor();
  });
  await time("a room with many members", async () => {
    await goTo(page, "#/rooms/hall");
    await page.getByRole("button", { name: "Next page" }).click();
    await page.getByRole("button", { name: "First page" }).waitFor();
  });
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.hall();
  await page.getByRole("log").getByText('"the last of them"').last().waitFor();
  for (const order of ["Busiest", "Largest"]) {
    await go(page, "Rooms");
    await link(order).click();
    await rows.getByText("hall").waitFor();
  }
}

test(`${CONNECTIONS} connections and ${ROOMS} rooms: no view of the page has a task of more than ${LONGEST_MS} ms`, async (t) => {
  const server = await serve(t, { ...ADMIN, ...LIMITS });
  const began = performance.now();
  await gather(t, server);
  t.diagnostic(`everybody is there after ${Math.round(performance.now() - began)} ms`);
  const page = await enter(t, await launch(t), server, { before: (page) => page.addInitScript(observe) });
  const admin = operator(server);
  page.hall = async () => {
    await Promise.all(upTo(100).map((n) => admin.say("hall", { n, text: "what everybody in the hall hears" })));
    await admin.say("hall", "the last of them");
  };
  const rounds = [];
  while (rounds.length < ROUNDS && !(rounds.at(-1) < LONGEST_MS)) {
    const times = [];
    const time = async (what, act) => {
      const start = performance.now();
      await act();
      times.push(`${what} ${Math.round(performance.now() - start)} ms`);
    };
    await lookAround(page, time);
    const tasks = await page.evaluate(() => window.tasks.splice(0));
    rounds.push(Math.max(0, ...tasks.map(({ ms }) => ms)));
    t.diagnostic(`${times.join(", ")}; tasks of 50 ms and more: ${tasks.map(({ ms, at }) => `${ms} ms at ${at}`).join(", ") || "none"}`);
  }
  assert.ok(rounds.at(-1) < LONGEST_MS, `the longest tasks of ${ROUNDS} rounds: ${rounds} ms`);
});
