// Back ends in other languages answer stock clients: those of examples/chat-example-hooks in Node.js, Python and PHP, for what the front
// end of Socket.IO's chat example does; and the library of Standard Webhooks from PyPI.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { listen, told } from "./support/chat_example.mjs";
import { acknowledged, open, upTo } from "./support/clients.mjs";
import { away, follow } from "./support/follow.mjs";
import { program } from "./support/hooks.mjs";
import { freePorts } from "./support/ports.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const example = (file) => here(`../examples/chat-example-hooks/${file}`);

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY = "the-key-of-the-chat-example";

const LANGUAGES = {
  "Node.js": [process.execPath, (port) => [example("backend.mjs"), port]],
  Python: ["python3", (port) => ["-u", example("backend.py"), port]],
  PHP: ["php", (port) => ["-S", `127.0.0.1:${port}`, example("backend.php")]],
};

// The example as its configuration has it, but for the addresses: its server and its back end.
async function chat(t, language, options = {}) {
  const [at] = await freePorts(1);
  const server = await serve(t, {
    ...UNLIMITED,
    "hooks-call": JSON.stringify([{ url: `http://127.0.0.1:${at}/`, events: ["add user", "new message", "typing", "stop typing"], secret: SECRET, ...options }]),
    "hooks-notify": JSON.stringify([{ url: `http://127.0.0.1:${at}/`, events: ["member.left"], rooms: "@*", secret: SECRET }]),
    "auth-api-keys": KEY,
    "presence-grace": "1s",
  });
  const secret = join(server.folder, "secret");
  await writeFile(secret, `${SECRET}\n`);
  const [command, args] = LANGUAGES[language];
  const backend = await program(t, command, args, { SWITCHBOARD_URL: server.url, API_KEY: KEY, HOOK_SECRET_FILE: secret }, at);
  return { server, backend };
}

for (const language of Object.keys(LANGUAGES)) {
  for (const v of [2, 3, 4]) {
    test(`client ${v} and a back end in ${language}: users come, talk and type, and the others are told`, async (t) => {
      const { server } = await chat(t, language);
      const [alice, bob, guest] = await Promise.all(upTo(3).map(async () => listen(await open(t, server, { v }))));
      await acknowledged(alice, "add user", "alice");
      await told(alice, ["login", { numUsers: 1 }]);
      await acknowledged(bob, "add user", "bøb 🦀");
      await told(bob, ["user joined", { username: "alice", numUsers: 1 }], ["login", { numUsers: 2 }]);
      await told(alice, ["user joined", { username: "bøb 🦀", numUsers: 2 }]);
      bob.socket.emit("add user", "mallory");
      bob.socket.emit("typing");
      bob.socket.emit("stop typing");
      bob.socket.emit("new message", "hi/\\\"🦀");
      const username = "bøb 🦀";
      await told(alice, ["typing", { username }], ["stop typing", { username }], ["new message", { username, message: "hi/\\\"🦀" }]);
      await guest.refused("new message", "psst", "bad_request");
      bob.socket.disconnect();
      await told(alice, ["user left", { username, numUsers: 1 }]);
      await guest.story.count(6);
      await acknowledged(guest, "add user", "carol");
      assert.deepEqual(guest.story.items.at(-1), ["login", { numUsers: 2 }]);
    });
  }

  test(`a back end in ${language} keeps the order of each client under load`, async (t) => {
    const { server } = await chat(t, language, { timeout: "20s", concurrency: 16 });
    const clients = await Promise.all(upTo(8).map(() => open(t, server)));
    const reader = await open(t, server);
    const seen = reader.on("new message");
    for (const [n, client] of clients.entries()) await acknowledged(client, "add user", `user-${n}`);
    for (const n of upTo(40)) for (const client of clients) client.socket.emit("new message", n);
    await seen.count(320, 60_000);
    for (const n of clients.keys()) {
      assert.deepEqual(seen.items.filter(([{ username }]) => username === `user-${n}`).map(([{ message }]) => message), upTo(40));
    }
  });

  test(`a back end in ${language} that is killed and started again: clients are told meanwhile, keep their names, and nothing is sent twice`, async (t) => {
    const { server, backend } = await chat(t, language);
    const [alice, bob] = [listen(await follow(t, server)), listen(await open(t, server))];
    await acknowledged(alice, "add user", "alice");
    await told(bob, ["user joined", { username: "alice", numUsers: 1 }]);
    for (const n of upTo(2)) {
      await backend.kill();
      await alice.refused("new message", "lost", "unavailable");
      await backend.start();
      assert.equal(await away(alice, "cut"), true);
      await acknowledged(alice, "new message", `again ${n}`);
      await told(bob, ["new message", { username: "alice", message: `again ${n}` }]);
    }
  });
}

// Installed from the registry where that has not been done yet.
let venv;
before(async () => {
  const { stdout } = await promisify(execFile)(here("../scripts/venv"));
  venv = stdout.trim();
});

test("a call's signature is right for the library of Standard Webhooks from PyPI, and one of another secret is not", async (t) => {
  const [right, wrong] = [SECRET, `whsec_${Buffer.alloc(32, 1).toString("base64")}`];
  const { url } = await program(t, join(venv, "bin/python"), (port) => [here("python/webhooks.py"), port, right]);
  for (const [secret, expected] of [[right, [true, "näme 🦀", { a: [1.5] }]], [wrong, undefined]]) {
    const server = await serve(t, { ...UNLIMITED, "hooks-call": JSON.stringify([{ url, events: ["check"], secret }]) });
    const alice = await open(t, server, { user: "alice" });
    const ack = await acknowledged(alice, "check", "näme 🦀", { a: [1.5] });
    if (expected) assert.deepEqual(ack, expected);
    else assert.equal(ack[0].error.code, "unauthorized");
  }
});
