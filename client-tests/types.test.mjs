// `switchboard types`: what it prints compiles with the types of socket.io-client and @switchboard/client, and says no to what the server would refuse.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { defer } from "./support/scope.mjs";
import { binary } from "./support/server.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const client = join(here, "../client");

const SCHEMAS = {
  "cursor.json": { type: "object", required: ["x", "y"], properties: { x: { $ref: "coordinate.json" }, y: { $ref: "coordinate.json" }, color: { enum: ["red", "blue"] } } },
  "coordinate.json": { type: "number" },
  "text.json": { type: "object", required: ["text"], properties: { text: { type: "string" } } },
};

const CONFIG = `
[socketio]
relay = ["draw", "chat message", "game:*"]
[[rooms]]
match = "board-*"
events = { cursor = "cursor.json", message = "text.json", "odd-name" = true }
[[rooms]]
match = "other"
events = { "*" = false }
`;

const PROGRAM = `
import { io, type Socket } from "socket.io-client";
import { createClient } from "@switchboard/client";
import type { ClientToServerEvents, RoomEvents, ServerToClientEvents } from "./events.js";

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io("http://127.0.0.1:3000");
socket.emit("join", "board-1", (reply) => {
  if (!reply.ok) return void reply.error.code.length;
  for (const message of reply.messages) if (message.event === "cursor") message.data.x.toFixed();
});
socket.emit("message", { room: "board-1", data: { text: "hello" } }, (reply) => reply.ok && reply.seq.toFixed());
socket.emit("publish", { room: "board-1", event: "cursor", data: { x: 1, y: 2, color: "red" }, ephemeral: true }, (reply) => {
  if (!reply.ok) console.log(reply.error.at?.length);
});
socket.emit("publish", { room: "board-1", event: "odd-name", data: [1] });
socket.emit("draw", 1, "two");
socket.emit("chat message", "hello");
socket.on("message", (message, offset) => console.log(message.data.text.length, message.seq, offset.length));
socket.on("cursor", (data, meta) => console.log(data.x.toFixed(), data.color === "blue", meta.seq));
socket.on("kicked", ({ room, reason }) => console.log(room, reason));
socket.on("draw", (...args) => console.log(args.length));
// @ts-expect-error
socket.emit("message", { room: "board-1", data: { txt: "hello" } });
// @ts-expect-error
socket.emit("publish", { room: "board-1", event: "cursor", data: { x: "one", y: 2 } });
// @ts-expect-error
socket.emit("publish", { room: "board-1", event: "cursor", data: { x: 1, y: 2, color: "green" } });
// @ts-expect-error
socket.emit("publish", { room: "board-1", event: "cursr", data: { x: 1, y: 2 } });
// @ts-expect-error
socket.on("cursr", () => {});

const room = createClient<RoomEvents>("http://127.0.0.1:3000").room("board-1");
room.publish("cursor", { x: 1, y: 2 });
room.send({ text: "hello" });
// @ts-expect-error
room.publish("cursor", { x: 1 });
// @ts-expect-error
room.send("hello");
`;

test("the types of a server's events compile, permit what is right and refuse what is wrong", async (t) => {
  // Inside this folder, so that imports find what is installed here.
  const folder = await mkdtemp(join(here, ".types-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  for (const [name, schema] of Object.entries(SCHEMAS)) await writeFile(join(folder, name), JSON.stringify(schema));
  await writeFile(join(folder, "switchboard.toml"), CONFIG);
  await writeFile(join(folder, "events.ts"), execFileSync(binary, ["types"], { cwd: folder }));
  await writeFile(join(folder, "program.ts"), PROGRAM);
  const options = {
    strict: true, noEmit: true, target: "ES2022", module: "ESNext", moduleResolution: "bundler", lib: ["ES2023", "DOM"], types: [],
    paths: { "@switchboard/client": [join(client, "dist/esm/index.d.ts")] },
  };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["*.ts"] }));
  const { status, stdout } = spawnSync(process.execPath, [join(client, "node_modules/typescript/bin/tsc"), "-p", folder], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("the types of a server without policies are those of the contract", async (t) => {
  const folder = await mkdtemp(join(here, ".types-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  const text = execFileSync(binary, ["types"], { cwd: folder, encoding: "utf8" });
  assert.match(text, /^export interface RoomEvents \{\n {2}message: unknown;\n\}$/m);
});
