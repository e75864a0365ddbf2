// The servers that the protocols of documents come from, as they are. They keep documents in memory.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { freePorts } from "./ports.mjs";
import { defer, Journal, within } from "./scope.mjs";

const HOCUSPOCUS = `
import { Server } from "@hocuspocus/server";
await new Server({ port: Number(process.env.PORT), address: process.env.HOST, quiet: true }).listen();
console.log("running");
`;

// How each is started in Node.js. It says `running` once it listens.
const PROGRAMS = {
  "@y/websocket-server": ["node_modules/@y/websocket-server/src/server.js"],
  "@hocuspocus/server": ["--input-type=module", "--eval", HOCUSPOCUS],
};

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

// Starts one of them, by its name in npm, for clients to connect to.
export async function referenceServer(t, name) {
  const [port] = await freePorts(1);
  const env = { ...process.env, PORT: port, HOST: "127.0.0.1" };
  const cwd = fileURLToPath(new URL("..", import.meta.url));
  const child = spawn(process.execPath, PROGRAMS[name], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const ended = new Promise((resolve) => child.on("close", resolve)).finally(() => running.delete(child));
  defer(t, () => {
    child.kill("SIGKILL");
    return ended;
  });
  const output = new Journal(name);
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => output.add(text));
  const early = ended.then(() => {
    throw new Error(`${name} has ended:\n${output.items.join("")}`);
  });
  early.catch(() => {});
  const ready = output.until((items) => items.join("").includes("running"), "running");
  await within(Promise.race([ready, early]), () => `${name} does not start`);
  return { address: `127.0.0.1:${port}` };
}
