// The back end: measures its machine once a second, publishes each sample, and serves the page that shows them. Any language can do it.

import { createHmac, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { cpus, freemem, totalmem } from "node:os";
import { setTimeout as pause } from "node:timers/promises";

const { SWITCHBOARD_URL: url, AUTH_SECRET: secret, API_KEY: key, PORT = "8080", SAMPLE_MS = "1000" } = process.env;
if (!url || !secret || !key) throw new Error("set SWITCHBOARD_URL, AUTH_SECRET and API_KEY, or run `npm start`");

const ROOM = "machine";

// --- What is measured

let before = processorTimes();
let longest = 0;

function sample() {
  const now = processorTimes();
  const [busy, all] = [now.busy - before.busy, now.all - before.all];
  const total = totalmem();
  // The time of the measurement is part of it: what waits for the server while that is away is published later.
  const measured = { at: Date.now(), processor: all > 0 ? (100 * busy) / all : 0, memory: total - freemem(), total, delay: longest };
  before = now;
  longest = 0;
  return measured;
}

// Milliseconds that the processors have spent, with work and in all.
function processorTimes() {
  const times = cpus().map((processor) => processor.times);
  const all = times.flatMap(Object.values).reduce((sum, ms) => sum + ms, 0);
  return { all, busy: all - times.reduce((sum, { idle }) => sum + idle, 0) };
}

// By how many milliseconds a timer of this process was late, at most: for so long the event loop was busy with something else.
function watchEventLoop() {
  const due = performance.now() + 20;
  setTimeout(() => {
    longest = Math.max(longest, performance.now() - due);
    watchEventLoop();
  }, 20);
}

// --- How it is published

const run = randomUUID();
const waiting = [];
let published = 0;
let publishing = false;

// Publishes one sample after the other. While the server is away they wait, as many as the chart shows.
async function publish(measured) {
  waiting.push({ id: `${run}-${(published += 1)}`, data: measured });
  waiting.splice(0, waiting.length - 300);
  if (publishing) return;
  publishing = true;
  while (waiting.length > 0) await store(waiting.shift());
  publishing = false;
}

// Resolves once the message is stored. The same `id` again is the same message, so that trying again is safe.
async function store(message) {
  for (let wait = 250; ; wait = Math.min(2 * wait, 2_000)) {
    const { status, text } = await post(`/v1/rooms/${ROOM}/messages`, message);
    if (status === 200 || status === 201) return;
    if (status < 500 && status !== 429) throw new Error(`the server refuses what is published with ${status}: ${text}`);
    await pause(wait);
  }
}

// The response; without a status if there was none.
async function post(path, body) {
  try {
    const response = await fetch(url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    return { status: response.status, text: await response.text() };
  } catch {
    return {};
  }
}

// --- Who may read it

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

// A JSON Web Token (HS256) with which one page may read the room for ten minutes, and do nothing else. Each is a user of its own,
// because limits count by user. An application asks first who it is.
function viewerToken() {
  const claims = {
    sub: `viewer-${randomUUID()}`,
    exp: Math.floor(Date.now() / 1000) + 600,
    rooms: [{ match: ROOM, can: ["join", "history"] }],
  };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

// --- The page

const FILES = new Map([
  ["/", ["index.html", "text/html"]],
  ["/style.css", ["style.css", "text/css"]],
  ...["page", "stream", "chart"].map((name) => [`/${name}.mjs`, [`${name}.mjs`, "text/javascript"]]),
]);

async function answer(path) {
  if (path === "/access") return [200, "application/json", JSON.stringify({ url: `${url}/events/${ROOM}`, token: viewerToken() })];
  const [name, type] = FILES.get(path) ?? [];
  if (!name) return [404, "text/plain", "not found"];
  return [200, `${type}; charset=utf-8`, await readFile(new URL(`public/${name}`, import.meta.url))];
}

createServer(async (request, response) => {
  const [status, type, body] = await answer(request.url.split("?")[0]);
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
}).listen(Number(PORT), "127.0.0.1", () => console.log(`The dashboard: http://127.0.0.1:${PORT}, process ${process.pid}`));

watchEventLoop();
setInterval(() => publish(sample()), Number(SAMPLE_MS));
