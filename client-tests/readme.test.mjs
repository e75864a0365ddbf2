// The README's client example, run as it stands.
//
// The README has a fenced block of JavaScript between the lines `<!-- client -->` and `<!-- /client -->`, and another
// one between `<!-- social -->` and `<!-- /social -->`. Each is an
// ES module that imports only `socket.io-client` and connects to http://127.0.0.1:3000 (or localhost). It is run as a
// process of its own, against a fresh server whose address takes the place of that one. Each comment
// `// prints: some text` in it promises a line on standard output, in this order, where `…` stands for any text. The
// process need not end by itself.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { defer, Journal } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

for (const name of ["client", "social"]) {
  test(`the ${name} example of the README prints what the README says`, (t) => printsWhatItSays(t, name));
}

async function printsWhatItSays(t, name) {
  const readme = await readFile(join(here, "../README.md"), "utf8");
  const block = new RegExp(`<!-- ${name} -->[^]*?\`\`\`(?:js|javascript|mjs)\\n([^]*?)\`\`\`[^]*?<!-- \\/${name} -->`);
  const code = readme.match(block)?.[1];
  assert.ok(code, `the README has a block of JavaScript between <!-- ${name} --> and <!-- /${name} -->`);
  const promised = [...code.matchAll(/\/\/ prints: (.*)$/gm)].map(([, line]) => line.trim());
  assert.notEqual(promised.length, 0, "the example promises to print something");

  const server = await serve(t);
  const address = /http:\/\/(127\.0\.0\.1|localhost):3000/g;
  assert.match(code, address, "the example connects to the default address");

  // Inside this folder, so that the import finds the stock client installed here.
  const folder = await mkdtemp(join(here, ".readme-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "example.mjs"), code.replace(address, server.url));

  const child = spawn(process.execPath, ["example.mjs"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  defer(t, () => child.kill("SIGKILL"));
  const output = new Journal("the example");
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (complaints += text));
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    lines.forEach((line) => output.add(line.trim()));
  });
  let status = null;
  child.on("exit", (code) => {
    status = code;
    output.add("(the example ended)");
  });

  const printed = await output.until(
    (lines) => (lines.length >= promised.length || status !== null) && lines.slice(0, promised.length),
    "what it promises",
  );
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  for (const [i, line] of promised.entries()) {
    const pattern = new RegExp(`^${line.split("…").map(escaped).join(".*")}$`);
    assert.match(printed[i] ?? "", pattern, `line ${i + 1}; on standard error: ${complaints}`);
  }
  assert.ok(status === null || status === 0, `the example ended with ${status}: ${complaints}`);
}
