// Clients in other languages: programs that do a case against a server, say `ready` where it waits for something, and fail
// by their exit code.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { defer, Journal, within } from "./scope.mjs";

// A program that is under way: `ready()`, and `succeeded()` once it has ended.
export function run(t, program, args) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  defer(t, () => child.kill("SIGKILL"));
  const output = new Journal("output");
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => output.add(text));
  const exited = new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => resolve(code ?? signal));
  });
  const said = () => output.items.join("");
  const early = exited.then((code) => assert.fail(`${program} ended (${code}):\n${said()}`));
  early.catch(() => {});
  return {
    ready: () => Promise.race([output.until(() => said().includes("ready\n"), "ready", 30_000), early]),
    succeeded: async () => assert.equal(await within(exited, () => `no end of ${program}:\n${said()}`, 60_000), 0, said()),
  };
}
