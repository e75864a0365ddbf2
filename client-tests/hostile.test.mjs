// Hostile clients beside 200 stock ones, of whom none may notice. SWITCHBOARD_LONG=1 makes it last ten minutes;
// SWITCHBOARD_SEED repeats the choices of a run that failed, SWITCHBOARD_ATTACK makes it one attack only.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { open, upTo } from "./support/clients.mjs";
import { defer, eventually, within } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";

const LONG = process.env.SWITCHBOARD_LONG === "1";
const SEED = Number(process.env.SWITCHBOARD_SEED ?? Date.now() % 2 ** 32);
const ATTACKER = fileURLToPath(new URL("support/attacker.mjs", import.meta.url));
const ROOMS = upTo(10).map((n) => `r${n - 1}`);
const MODES = ["websocket", "upgrade", "polling"];

// The longest that a client may wait for an ack, in milliseconds; on a machine on which they wait long without any attack, this many times that.
const LONGEST = 1_000;
const TIMES = 3;

// What the server may hold more than before, in MiB: its budget of bytes in flight, and as much again for what hyper, the
// connections and the allocator have of it.
const MOST = 256;

// Two hundred clients, twenty a room, who have stopped connecting.
async function crowd(t, server) {
  const clients = [];
  while (clients.length < 200) {
    const some = upTo(20).map(async (i) => {
      const number = clients.length + i;
      const client = await open(t, server, { mode: MODES[number % 3], token: sign({ sub: `user${number}` }) });
      client.room = ROOMS[number % ROOMS.length];
      client.messages = client.on("message");
      client.gone = client.on("disconnect");
      await client.ok("join", client.room);
      return client;
    });
    clients.push(...(await Promise.all(some)));
  }
  return clients;
}

// Has each client say something every `gap` ms or so. `waits` holds how long each ack took, `said` what was said in each room.
function talk(clients, gap) {
  let over = false;
  const said = Object.fromEntries(ROOMS.map((room) => [room, []]));
  const waits = [];
  const talking = clients.map(async (client, i) => {
    await pause((i / clients.length) * gap);
    for (let n = 1; !over; n += 1) {
      const data = `${client.me.user}:${n}`;
      const began = performance.now();
      const { seq } = await client.ok("message", { room: client.room, data });
      waits.push({ ms: performance.now() - began, at: new Date().toISOString(), user: client.me.user });
      said[client.room][seq - 1] = data;
      await pause(gap);
    }
  });
  const all = Promise.all(talking);
  all.catch(() => {});
  return {
    said,
    waits,
    stop: () => {
      over = true;
      return all;
    },
  };
}

// A process that attacks from an address of its own. Resolves, once it was stopped, to how often it did what.
function attack(t, server, number) {
  const how = { port: server.port, address: `127.0.0.${2 + number}`, seed: SEED + number, hold: 500, only: process.env.SWITCHBOARD_ATTACK };
  const child = spawn(process.execPath, [ATTACKER, JSON.stringify(how)], { stdio: ["pipe", "pipe", "inherit"] });
  defer(t, () => child.kill("SIGKILL"));
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const exited = new Promise((resolve) => child.on("exit", resolve));
  return async () => {
    child.stdin.end();
    const code = await within(exited, () => "the attacker did not stop", 60_000);
    assert.equal(code, 0, "the attacker failed");
    return JSON.parse(output);
  };
}

test("200 clients lose nothing, wait for nothing and stay connected while others attack at random", async (t) => {
  t.diagnostic(`SWITCHBOARD_SEED=${SEED}`);
  const server = await serve(t, { "auth-hmac-secret": SECRET, "auth-api-keys": "a-key-of-the-back-end-of-some-length", "socketio-relay": "draw" });
  const clients = await crowd(t, server);
  const talked = talk(clients, 2_000);
  await pause(2_000);
  const before = { memory: await server.memory(), waits: talked.waits.splice(0) };

  const attackers = upTo(LONG ? 2 : 1).map((number) => attack(t, server, number));
  let peak = before.memory;
  let over = false;
  const watching = (async () => {
    for (; !over; await pause(100)) peak = Math.max(peak, await server.memory());
  })();
  await pause(LONG ? 600_000 : 5_000);
  const counts = await Promise.all(attackers.map((stop) => stop()));
  over = true;
  await watching;
  const under = talked.waits.splice(0);
  await talked.stop();

  const sorted = (waits) => waits.map(({ ms }) => ms).sort((a, b) => a - b);
  const shown = (waits) => [0.5, 0.99, 1].map((part) => Math.round(sorted(waits)[Math.ceil(part * waits.length) - 1])).join("/");
  t.diagnostic(`acks in ms, median/99 %/longest: ${shown(before.waits)} before, ${shown(under)} under attack`);
  t.diagnostic(`memory in MiB: ${before.memory.toFixed()} before, ${peak.toFixed()} at most; attacks: ${JSON.stringify(counts)}`);

  for (const client of clients) {
    assert.deepEqual(client.gone.items, [], `${client.name} ${client.me.user} was disconnected`);
    const due = talked.said[client.room];
    await eventually(() => client.messages.items.filter(([{ event, from }]) => event === "message" && from.user !== "mallory").length >= due.length, "late");
    const heard = client.messages.items.map(([{ data }]) => data);
    assert.deepEqual(heard, due, `${client.name} ${client.me.user}`);
  }
  const worst = under.reduce((a, b) => (a.ms > b.ms ? a : b));
  const longest = Math.max(LONGEST, TIMES * Math.max(...before.waits.map(({ ms }) => ms)));
  assert.ok(worst.ms <= longest, `an ack took ${worst.ms.toFixed()} ms: ${JSON.stringify(worst)}`);
  assert.ok(peak - before.memory <= MOST, `memory went from ${before.memory.toFixed()} to ${peak.toFixed()} MiB`);
});
