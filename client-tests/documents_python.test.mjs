// pycrdt, the Python port of Yjs, in one document with clients of every protocol; the client is python/documents.py.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { agreed, CLIENTS, edit } from "./support/documents.mjs";
import { chance } from "./support/random.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
let python;

before(async () => {
  const { stdout } = await promisify(execFile)(path("../scripts/venv"));
  python = `${stdout.trim()}/bin/python`;
});

const SECONDS = 6;

// A client in Python that edits for a while. `ask` resolves to what it has.
async function pycrdt(t, server) {
  const child = spawn(python, [path("python/documents.py"), `ws://${server.address}/yjs/notes?user=python`, `${SECONDS}`], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  defer(t, async () => {
    const ended = once(child, "exit");
    child.stdin.end();
    child.kill("SIGKILL");
    await ended;
  });
  assert.equal((await lines.next()).value, "ready");
  return {
    async ask() {
      child.stdin.write("\n");
      return JSON.parse((await lines.next()).value);
    },
  };
}

test("pycrdt and clients of every protocol edit at random over cuts and kill -9, and end with the same", async (t) => {
  const seed = Number(process.env.SWITCHBOARD_SEED ?? Math.floor(Math.random() * 1e9));
  const rng = chance(seed);
  t.diagnostic(`SWITCHBOARD_SEED=${seed}`);
  const server = await serve(t, { store: "sqlite" });
  const snakes = await Promise.all([pycrdt(t, server), pycrdt(t, server)]);
  const editors = await Promise.all(CLIENTS.map((client) => edit(t, server, "notes", { client })));
  const end = Date.now() + SECONDS * 1000;
  while (Date.now() < end) {
    const { doc, text, cut } = editors[Math.floor(rng() * editors.length)];
    const at = Math.floor(rng() * (text.length + 1));
    if (rng() < 0.7 || at === text.length) text.insert(at, "xyz");
    else text.delete(at, 1);
    doc.getArray("array").push([Math.floor(rng() * 1000)]);
    doc.getMap("map").set(`k${Math.floor(rng() * 5)}`, rng() < 0.5);
    if (rng() < 0.01) cut();
    if (rng() < 0.01) {
      await server.kill();
      await server.start();
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await agreed(editors);
  const [{ doc }] = editors;
  const plain = () => ({ text: doc.getText("text").toString(), array: doc.getArray("array").toJSON(), map: doc.getMap("map").toJSON() });
  const sorted = (map) => Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const inOrder = ({ map, ...more }) => ({ ...more, map: sorted(map) });
  const same = async () => (await Promise.all(snakes.map((snake) => snake.ask()))).every((has) => JSON.stringify(inOrder(has)) === JSON.stringify(inOrder(plain())));
  await eventually(same, "Python has the same", 20_000).catch(async () => {
    for (const snake of snakes) assert.deepEqual(inOrder(await snake.ask()), inOrder(plain()));
  });
  assert.ok(plain().text.length > 50);
});
