// Clients in processes of their own, so that they can be killed or frozen without a word of goodbye.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { open } from "./clients.mjs";
import { defer, within } from "./scope.mjs";

const here = fileURLToPath(import.meta.url);

// A process whose client, opened with `options`, has sent each of `events` and had it acknowledged.
export async function elsewhere(t, server, options, events) {
  const child = fork(here, [JSON.stringify({ url: server.url, options, events })]);
  const exited = new Promise((resolve) => child.on("exit", resolve));
  defer(t, () => {
    // A frozen process ends by this signal too.
    child.kill("SIGKILL");
    return exited;
  });
  const ready = new Promise((resolve, reject) => {
    child.once("message", resolve);
    exited.then((code) => reject(new Error(`the client process ended with ${code}`)));
  });
  await within(ready, () => "the client process did not come up");
  return child;
}

async function main({ url, options, events }) {
  // Nothing is tidied up here: the process is ended from outside.
  const client = await open({ after() {} }, { url }, options);
  for (const event of events) await client.ok(...event);
  process.send("ready");
}

if (process.argv[1] === here) await main(JSON.parse(process.argv[2]));
