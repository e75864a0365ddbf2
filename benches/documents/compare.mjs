// What an update of a document costs a server, and what a document that is stored or open takes: Switchboard beside the reference servers of
// both protocols.
//
//     cargo build --release && cd benches/documents && npm ci && node compare.mjs [--server FILE] [--rounds N] [--only TEXT]
//
// The servers take turns, each alone on one core and loaded from another. The load is frames that were made before, not clients of Yjs: what
// is measured is the server. Linux only: CPU time and memory are read from /proc.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import * as Y from "yjs";
import { usage } from "../support/usage.mjs";

const CLIENTS = 100;
const UPDATES = 20;
const EVERY_MS = 500;
const DOCUMENTS = 1000;

const { values } = parseArgs({ options: { server: { type: "string", default: "../../target/release/switchboard" }, rounds: { type: "string", default: "3" }, only: { type: "string", default: "" } } });

const switchboard = (store) => (port, folder) => {
  const flags = { listen: `127.0.0.1:${port}`, store, data: folder, "limits-connects-per-second": 0, "log-filter": "error" };
  return [values.server, Object.entries(flags).map(([name, value]) => `--${name}=${value}`), {}];
};

// Each with its protocol.
const SERVERS = {
  "@y/websocket-server": ["y-websocket", (port) => ["node", ["node_modules/@y/websocket-server/src/server.js"], { PORT: port, HOST: "127.0.0.1" }]],
  "Switchboard, memory": ["y-websocket", switchboard("memory")],
  "Switchboard, SQLite": ["y-websocket", switchboard("sqlite")],
  "@hocuspocus/server": ["hocuspocus", (port) => ["node", ["hocuspocus.mjs"], { PORT: port }]],
  "Switchboard, memory, /collab": ["hocuspocus", switchboard("memory")],
  "Switchboard, SQLite, /collab": ["hocuspocus", switchboard("sqlite")],
};

const number = (n) => {
  const bytes = [];
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) | 128);
  return [...bytes, n];
};
const sized = (bytes) => Buffer.concat([Buffer.from(number(bytes.length)), bytes]);

// How a protocol opens a document, and frames what is sent.
const PROTOCOLS = {
  "y-websocket": {
    path: (name) => `/yjs/${name}`,
    frame: (_, message) => message,
    hello: () => [],
  },
  hocuspocus: {
    path: () => "/collab",
    frame: (name, message) => Buffer.concat([sized(Buffer.from(name)), message]),
    hello: (name) => [Buffer.concat([sized(Buffer.from(name)), Buffer.from([2, 0, 0])])],
  },
};

const STEP_1 = Buffer.from([0, 0, 1, 0]);
const isUpdate = (frame, skip) => frame[skip] === 0 && frame[skip + 1] === 2;

// What a client types, one character after the other, as frames of y-websocket.
function typed(id, updates) {
  const doc = new Y.Doc();
  doc.clientID = id;
  const frames = [];
  doc.on("update", (update) => frames.push(Buffer.concat([Buffer.from([0, 2]), sized(update)])));
  const text = doc.getText("text");
  for (let n = 0; n < updates; n += 1) text.insert(n, "x");
  doc.destroy();
  return frames;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function start([protocol, command]) {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "documents-"));
  const [program, args, env] = command(port, folder);
  const child = spawn("taskset", ["-c", "0", program, ...args], { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"] });
  const server = { ...PROTOCOLS[protocol], port, pid: child.pid };
  server.stop = async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  while (child.exitCode === null) {
    const socket = await connect(server, "first").catch(() => undefined);
    if (socket) {
      socket.close();
      return server;
    }
    await pause(100);
  }
  throw new Error(`${program} has ended`);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A client that has the document open, with what it receives counted.
async function connect(server, name) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}${server.path(name)}`);
  const skip = server.frame(name, Buffer.alloc(0)).length;
  socket.updates = 0;
  await once(socket, "open");
  const synced = new Promise((resolve, reject) => {
    socket.on("message", (frame) => {
      if (isUpdate(frame, skip)) socket.updates += 1;
      if (frame[skip] === 0 && frame[skip + 1] === 1) resolve();
    });
    socket.on("close", reject);
    socket.on("error", reject);
  });
  for (const frame of [...server.hello(name), server.frame(name, STEP_1)]) socket.send(frame);
  await synced;
  return socket;
}

// Many clients in one document: CPU time of the server for each update that a client sends, in microseconds.
async function oneDocument(server) {
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => connect(server, "one")));
  const frames = sockets.map((_, n) => typed(n + 1, UPDATES).map((frame) => server.frame("one", frame)));
  const before = usage(server);
  for (let n = 0; n < UPDATES; n += 1) {
    for (const [of, socket] of sockets.entries()) {
      socket.send(frames[of][n]);
      await pause(EVERY_MS / CLIENTS);
    }
  }
  // A server may pass several updates on as one: all have come when nothing more does.
  const received = () => sockets.reduce((sum, { updates }) => sum + updates, 0);
  for (let before = -1; before < received(); await pause(2000)) before = received();
  const { cpu } = usage(server);
  for (const socket of sockets) socket.terminate();
  return ((cpu - before.cpu) / (UPDATES * CLIENTS)) * 1e6;
}

// Many documents, each of which a client has typed into: CPU time for each update, in microseconds, and bytes that each document takes while
// it is open (with its connection) and after its client has left.
async function manyDocuments(server) {
  const before = usage(server);
  const frames = Array.from({ length: DOCUMENTS }, (_, n) => typed(n + 1, UPDATES / 4).map((frame) => server.frame(`d${n}`, frame)));
  const sockets = [];
  for (let n = 0; n < DOCUMENTS; n += 1) sockets.push(await connect(server, `d${n}`));
  const begun = usage(server);
  for (let round = 0; round < UPDATES / 4; round += 1) {
    for (const [n, socket] of sockets.entries()) {
      socket.send(frames[n][round]);
      if (n % 10 === 0) await pause(1);
    }
  }
  await pause(2000);
  const typedAll = usage(server);
  for (const socket of sockets) socket.terminate();
  await pause(5000);
  const left = usage(server);
  return {
    update: ((typedAll.cpu - begun.cpu) / (DOCUMENTS * (UPDATES / 4))) * 1e6,
    open: (typedAll.memory - before.memory) / DOCUMENTS,
    left: (left.memory - before.memory) / DOCUMENTS,
  };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const chosen = Object.entries(SERVERS).filter(([name]) => name.includes(values.only));
const results = Object.fromEntries(chosen.map(([name]) => [name, { one: [], many: [], open: [], left: [] }]));
for (let round = 1; round <= Number(values.rounds); round += 1) {
  for (const [name, what] of chosen) {
    process.stderr.write(`round ${round}: ${name}\n`);
    const into = results[name];
    let server = await start(what);
    into.one.push(await oneDocument(server));
    await server.stop();
    server = await start(what);
    const { update, open, left } = await manyDocuments(server);
    into.many.push(update);
    into.open.push(open);
    into.left.push(left);
    await server.stop();
    process.stderr.write(`${JSON.stringify({ one: into.one.at(-1), update, open, left })}\n`);
  }
}

console.log("| server | an update to 99 others | an update, 1,000 documents | an open document | a document that was left |");
console.log("|---|---|---|---|---|");
for (const [name, { one, many, open, left }] of Object.entries(results)) {
  const kb = (bytes) => `${(median(bytes) / 1000).toFixed(1)} kB`;
  console.log(`| ${name} | ${median(one).toFixed(0)} µs | ${median(many).toFixed(0)} µs | ${kb(open)} | ${kb(left)} |`);
}
process.exit();
