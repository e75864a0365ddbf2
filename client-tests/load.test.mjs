// `switchboard load` against Socket.IO's own server, so that what one has can be compared.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { test } from "node:test";
import { Server } from "socket.io";
import { defer, within } from "./support/scope.mjs";
import { binary } from "./support/server.mjs";

// Socket.IO's server with these events; `deliver` passes a message on.
async function plain(t, options, deliver) {
  const http = createServer();
  const io = new Server(http, options);
  io.on("connection", (socket) => {
    socket.on("enter", (room, ack) => {
      socket.join(room);
      ack?.();
    });
    socket.on("say", ({ room, text }, ack) => {
      deliver(io, socket, room, text);
      ack?.();
    });
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  defer(t, () => io.close());
  return `http://127.0.0.1:${http.address().port}`;
}

// Runs a short load over those events; resolves to its exit code and report.
async function load(t, url, ...options) {
  const events = ["--join-event", "enter", "--send-event", "say", "--send-args", '{"room":"{room}","text":"{data}"}'];
  const course = ["--warm-up", "100ms", "--duration", "400ms", "--drain", "1s", "--json"];
  const args = ["load", url, "--target", "socket.io", "--receive-event", "said", ...events, ...course, ...options];
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
  defer(t, () => child.kill("SIGKILL"));
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
  const closed = new Promise((resolve) => child.on("close", resolve));
  const code = await within(closed, () => `no end of the load: ${stderr}`);
  assert.notEqual(stdout, "", stderr);
  return { code, report: JSON.parse(stdout), stderr };
}

const toAll = (io, _, room, text) => io.to(room).emit("said", { text });
const shape = ["--connections", "20", "--rooms", "5"];

for (const transport of ["socket.io", "polling"]) {
  test(`a server on Socket.IO is loaded over ${transport}, with acks and without`, async (t) => {
    const url = await plain(t, {}, toAll);
    for (const pace of [["--rate", "200"], ["--acks", "--in-flight", "2"], ["--until", "delivered"]]) {
      const { code, report, stderr } = await load(t, url, "--transport", transport, ...shape, ...pace);
      assert.equal(code, 0, JSON.stringify(report) + stderr);
      assert.ok(report.messages.sent > 10, `${report.messages.sent} sent`);
      assert.equal(report.deliveries.received, 4 * report.messages.sent);
      assert.equal(report.load.target, "socket.io");
    }
  });
}

test("connection state recovery of Socket.IO's server is taken part in", async (t) => {
  const url = await plain(t, { connectionStateRecovery: {} }, toAll);
  const faults = ["--cuts", "40", "--reconnect-after", "50ms", "--rate", "200"];
  const { report, stderr } = await load(t, url, ...shape, ...faults);
  assert.ok(report.faults.recovered > 0, JSON.stringify(report.faults) + stderr);
});

test("a server that broadcasts to the others, and loses and repeats messages, is found out", async (t) => {
  let number = 0;
  const url = await plain(t, {}, (_, socket, room, text) => {
    number += 1;
    const times = { 5: 0, 8: 2 }[number] ?? 1;
    for (let i = 0; i < times; i += 1) socket.to(room).emit("said", { text });
  });
  const { code, report } = await load(t, url, "--connections", "3", "--rate", "100", "--no-echo");
  assert.equal(code, 1);
  assert.deepEqual([report.deliveries.lost, report.deliveries.repeated, report.deliveries.disordered], [2, 2, 0]);
});
