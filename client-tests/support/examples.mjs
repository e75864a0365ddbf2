// Runs an example of examples/ with its own `npm start`, against a server of the test.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "./ports.mjs";
import { defer, Journal, within } from "./scope.mjs";

const examples = fileURLToPath(new URL("../../examples", import.meta.url));

// Resolves to the address of the example's page. The first start in a checkout installs packages. `env` are further variables; what it
// prints goes into `output`, too.
export async function startExample(t, name, server, env = {}, output = new Journal(`examples/${name}`)) {
  const folder = join(examples, name);
  const { scripts } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const [port] = await freePorts(1);
  const [program, ...args] = scripts.start.split(" ");
  if (args.includes("vite")) args.push("--host", "127.0.0.1", "--port", String(port), "--strictPort");
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, SWITCHBOARD_URL: server.url, PORT: String(port), NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  defer(t, () => {
    child.kill();
    return within(ended, () => `examples/${name} does not end`);
  });
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => output.add(text));
  ended.then((code) => output.add(`(it ended with ${code})`));
  const url = `http://127.0.0.1:${port}`;
  const said = () => output.items.join("");
  await output.until(() => said().includes(url) || said().includes("(it ended"), "its address", 120_000);
  if (!said().includes(url)) throw new Error(`examples/${name} did not start\n${said()}`);
  return url;
}
