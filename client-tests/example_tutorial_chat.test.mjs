// examples/tutorial-chat: the server binary with its configuration, and clients that do what the page of Socket.IO's tutorial does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open, upTo } from "./support/clients.mjs";
import { http } from "./support/raw.mjs";
import { serve } from "./support/server.mjs";

const config = fileURLToPath(new URL("../examples/tutorial-chat/switchboard.toml", import.meta.url));

test("what a client of any version says, all of any version are sent, itself included, in one order", async (t) => {
  const server = await serve(t, { config });
  const modes = ["polling", "websocket", "upgrade", "upgrade", "websocket", "polling"];
  const clients = await Promise.all(modes.map((mode, i) => open(t, server, { v: 2 + (i % 3), mode })));
  const seen = clients.map((client) => client.on("chat message"));
  const said = clients.map((_, i) => upTo(10).map((n) => `${i} says ${n} <b>&</b> 🦀`));
  for (let n = 0; n < 10; n += 1) clients.forEach((client, i) => client.socket.emit("chat message", said[i][n]));
  const [first, ...others] = await Promise.all(seen.map(async (journal) => (await journal.count(60)).map(([text]) => text)));
  for (const other of others) assert.deepEqual(other, first);
  assert.equal(first.length, 60);
  for (const [i, texts] of said.entries()) assert.deepEqual(first.filter((text) => text.startsWith(`${i} `)), texts);
  assert.deepEqual(clients.flatMap(({ errors }) => errors.items), []);
});

test("the page's script is one of socket.io-client", async (t) => {
  const server = await serve(t, { config });
  const { status, headers } = await http(server, "/socket.io/socket.io.js");
  assert.equal(status, 302);
  assert.match(headers.location, /^https:\/\/.*\/socket\.io-client@4\/dist\/socket\.io\.js$/);
});
