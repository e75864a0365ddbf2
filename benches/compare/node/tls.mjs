// What TLS costs: an idle connection, a delivery and a connect, with and without, for Switchboard and for Socket.IO on Node.
//
//     cargo build --release && cd benches/compare/node && npm ci && node tls.mjs [--server FILE] [--rounds N]
//
// The servers take turns, each alone on one core and loaded from another. Linux only: CPU time and memory are read from /proc.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import { usage } from "../../support/usage.mjs";

const IDLE = 2_000;
const ROOM = 200;
const MESSAGES = 300;
const AT_ONCE = 100;

const { values } = parseArgs({ options: { server: { type: "string", default: "../../../target/release/switchboard" }, rounds: { type: "string", default: "3" } } });

const folder = mkdtempSync(join(tmpdir(), "tls-"));
const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
const asked = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
execFileSync("openssl", [...asked, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], { stdio: "ignore" });
const ca = readFileSync(cert);

const limits = ["connects-per-second", "connects-burst", "connections-per-user", "messages-per-second", "messages-burst", "user-messages-per-second", "user-messages-burst"];
const switchboard = (...flags) => [values.server, "--listen=127.0.0.1:0", "--store=memory", "--log-filter=error", ...limits.map((name) => `--limits-${name}=0`), ...flags];
const SERVERS = {
  "Switchboard": switchboard(),
  "Switchboard, TLS": switchboard(`--tls-cert=${cert}`, `--tls-key=${key}`),
  "Socket.IO on Node": ["node", "server.mjs"],
  "Socket.IO on Node, TLS": ["node", "server.mjs", "--tls", folder],
};

async function start(command) {
  const child = spawn("taskset", ["-c", "0", ...command], { cwd: import.meta.dirname, stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  const address = await new Promise((resolve, reject) => {
    child.once("exit", () => reject(new Error(`${command[0]} has ended`)));
    child.stdout.on("data", (text) => {
      printed += text;
      const found = printed.match(/http(s?):\/\/(127\.0\.0\.1:\d+)/);
      if (found) resolve(`ws${found[1]}://${found[2]}`);
    });
  });
  const stop = async () => {
    child.removeAllListeners("exit");
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  return { pid: child.pid, address, stop };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A client of Socket.IO that is in a room; it counts what is delivered to it.
async function client({ address }, room) {
  // No session is resumed: what is measured is a handshake in full.
  const socket = new WebSocket(`${address}/socket.io/?EIO=4&transport=websocket`, { ca, perMessageDeflate: false, agent: false });
  socket.delivered = 0;
  const joined = new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.on("message", (data) => {
      const text = data.toString();
      if (text === "2") socket.send("3");
      else if (text.startsWith("0{")) socket.send('40{"user":"u"}');
      else if (text.startsWith("40")) socket.send(`421["join","${room}"]`);
      else if (text.startsWith("431")) resolve();
      else if (text.startsWith('42["message"')) socket.delivered += 1;
      else if (text.startsWith("432")) socket.acked();
    });
  });
  await joined;
  return socket;
}

async function clients(server, n, room) {
  const all = [];
  while (all.length < n) {
    const some = Array.from({ length: Math.min(AT_ONCE, n - all.length) }, (_, i) => client(server, room(all.length + i)));
    all.push(...(await Promise.all(some)));
  }
  return all;
}

async function measure(server) {
  await client(server, "first");
  await pause(500);
  const before = usage(server);
  const idle = await clients(server, IDLE, (n) => `room-${n}`);
  await pause(2_000);
  const after = usage(server);
  const memory = (after.memory - before.memory) / IDLE / 1000;
  const connect = ((after.cpu - before.cpu) / IDLE) * 1e6;
  for (const socket of idle) socket.terminate();
  const members = await clients(server, ROOM, () => "all");
  const [sender] = members;
  const started = usage(server).cpu;
  for (let n = 0; n < MESSAGES; n += 1) {
    const acked = new Promise((resolve) => (sender.acked = resolve));
    sender.send(`422["message",{"room":"all","data":"${"x".repeat(128)}"}]`);
    await acked;
    while (!members.every((member) => member.delivered > n)) await pause(1);
  }
  const delivery = ((usage(server).cpu - started) / MESSAGES / ROOM) * 1e6;
  for (const socket of members) socket.terminate();
  return { memory, connect, delivery };
}

const rows = Object.fromEntries(Object.keys(SERVERS).map((name) => [name, []]));
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const [name, command] of Object.entries(SERVERS)) {
    const server = await start(command);
    rows[name].push(await measure(server));
    await server.stop();
    console.error(name, rows[name].at(-1));
  }
}
rmSync(folder, { recursive: true });

const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
console.log("| | idle connection, kB | connect and join, CPU µs | delivery, CPU µs |\n|---|---|---|---|");
for (const [name, measured] of Object.entries(rows)) {
  const [memory, connect, delivery] = ["memory", "connect", "delivery"].map((what) => median(measured.map((one) => one[what])));
  console.log(`| ${name} | ${memory.toFixed(1)} | ${connect.toFixed(0)} | ${delivery.toFixed(2)} |`);
}
process.exit(0);
