// Write-only managers of python-socketio over the nodes' Redis; what they publish is in python/emitter.py.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { open } from "./support/clients.mjs";
import { compatible, redisClient } from "./support/emitters.mjs";
import { run } from "./support/programs.mjs";
import { redis } from "./support/redis.mjs";
import { metric } from "./support/web.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
let python;

before(async () => {
  const { stdout } = await promisify(execFile)(path("../scripts/venv"));
  python = `${stdout.trim()}/bin/python`;
});

for (const flavour of ["sync", "asyncio"]) {
  test(`what a ${flavour} write-only manager does reaches the sockets of every node`, async (t) => {
    const store = await redis(t);
    const [a, b] = await compatible(t, store);
    const alice = await open(t, a, { user: "alice" });
    const bob = await open(t, b, { user: "bob" });
    const carol = await open(t, b, { user: "carol", namespace: "/chat" });
    const clients = [alice, bob, carol];
    const heard = clients.map((client) => client.on("told"));
    const gone = alice.on("disconnect");
    await bob.ok("join", "lobby");
    const ids = [alice.socket.id, bob.socket.id];
    await run(t, python, [path("python/emitter.py"), flavour, store.url, ...ids]).succeeded();
    const ends = (items) => items.at(-1)?.[0] === "end";
    // An offset follows where a client would take a text, or the event's name, for one.
    const isOffset = (argument) => typeof argument === "string" && argument.includes("~");
    const told = ({ items }) => items.map((args) => args.filter((argument) => !isOffset(argument)));
    const expected = [
      [["all", 1.5, null], [], ["bytes", { b: Buffer.from([1, 2]) }], ["not bob"], ["entered"]],
      [["all", 1.5, null], [], ["bytes", { b: Buffer.from([1, 2]) }], ["lobby"], ["end"]],
      [["chat"], ["end"]],
    ];
    for (const n of [1, 2]) {
      await heard[n].until(ends, "the end");
      assert.deepEqual(told(heard[n]), expected[n]);
    }
    assert.equal((await gone.count(1))[0][0], "io server disconnect");
    assert.deepEqual(told(heard[0]), expected[0]);
  });
}

test("a pickle is never read, and the log says what to do", async (t) => {
  const store = await redis(t);
  const [server] = await compatible(t, store, 1);
  const alice = await open(t, server, { user: "alice" });
  const told = alice.on("told");
  const raw = await redisClient(t, store);
  const script = "import pickle,sys; sys.stdout.buffer.write(pickle.dumps({'method':'emit','event':'told','data':['pickled'],'namespace':'/'}))";
  const { stdout } = await promisify(execFile)(python, ["-c", script], { encoding: "buffer" });
  await raw.publish("socketio", stdout);
  await raw.publish("socketio", JSON.stringify({ method: "emit", event: "told", data: ["json"], namespace: "/" }));
  assert.deepEqual(await told.count(1).then(([[first]]) => first), "json");
  assert.equal(await metric(server, 'switchboard_emitter_messages_refused_total{reason="pickle"}'), 1);
  assert.match(server.log, /update python-socketio to 5\.14/);
});
