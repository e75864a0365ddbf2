// The README's examples, run as they stand.
//
// JavaScript: a fenced block between the lines `<!-- name -->` and `<!-- /name -->`, one for each name of EXAMPLES. Each
// is an ES module that imports only what a reader is told to install and connects to http://127.0.0.1:3000 (or
// localhost). It is run as a process of its own, against a fresh server whose address takes the place of that one. Each
// comment `// prints: some text` in it promises a line on standard output, in this order, where `…` stands for any text.
// The process need not end by itself.
//
// Shell: every block of ```sh between `<!-- curl -->` and `<!-- /curl -->`, one bash for all blocks between two such
// lines, against a fresh server in the place of that one, started with the flags that the words `--name value` after
// `curl` in the first of these comments say. `# prints: some text` promises that a line of the output has that text, again
// with `…` for any, each in the output that comes after the one before. Every command has to succeed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { defer, Journal, within } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

const EXAMPLES = ["client", "social", "events", "websocket", "poll"];

const here = fileURLToPath(new URL(".", import.meta.url));
const readme = await readFile(join(here, "../README.md"), "utf8");
const address = /http:\/\/(127\.0\.0\.1|localhost):3000/g;

for (const name of EXAMPLES) {
  test(`the ${name} example of the README prints what the README says`, (t) => printsWhatItSays(t, name));
}

const shells = [...readme.matchAll(/<!-- curl(?: (--.*?))? -->([^]*?)<!-- \/curl -->/g)];

test("the README has commands for a shell", () => assert.notEqual(shells.length, 0));

for (const [i, [, flags, text]] of shells.entries()) {
  test(`the README's commands for a shell, part ${i + 1}, answer what the README says`, (t) => answersWhatItSays(t, flags, text));
}

// The pattern of a promised line.
function promise(line) {
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return line.split("…").map(escaped).join(".*");
}

async function printsWhatItSays(t, name) {
  const block = new RegExp(`<!-- ${name} -->[^]*?\`\`\`(?:js|javascript|mjs)\\n([^]*?)\`\`\`[^]*?<!-- \\/${name} -->`);
  const code = readme.match(block)?.[1];
  assert.ok(code, `the README has a block of JavaScript between <!-- ${name} --> and <!-- /${name} -->`);
  const promised = [...code.matchAll(/\/\/ prints: (.*)$/gm)].map(([, line]) => line.trim());
  assert.notEqual(promised.length, 0, "the example promises to print something");

  const server = await serve(t);
  assert.match(code, /(127\.0\.0\.1|localhost):3000/, "the example connects to the default address");
  const own = code.replace(/(127\.0\.0\.1|localhost):3000/g, server.address);

  // Inside this folder, so that the import finds what is installed here.
  const folder = await mkdtemp(join(here, ".readme-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "example.mjs"), own);

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
  for (const [i, line] of promised.entries()) {
    assert.match(printed[i] ?? "", new RegExp(`^${promise(line)}$`), `line ${i + 1}; on standard error: ${complaints}`);
  }
  assert.ok(status === null || status === 0, `the example ended with ${status}: ${complaints}`);
}

async function answersWhatItSays(t, flags, text) {
  const options = Object.fromEntries([...(flags ?? "").matchAll(/--(\S+) (\S+)/g)].map(([, name, value]) => [name, value]));
  const server = await serve(t, options);
  const script = [...text.matchAll(/```sh\n([^]*?)```/g)].map(([, code]) => code).join("\n");
  assert.match(script, address, "the commands ask the default address");
  const promised = [...script.matchAll(/^\s*# prints: (.*)$/gm)].map(([, line]) => line.trim());
  assert.notEqual(promised.length, 0, "the commands promise an answer");

  const child = spawn("bash", ["-euo", "pipefail", "-c", script.replace(address, server.url)], {
    cwd: server.folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  defer(t, () => child.kill("SIGKILL"));
  let [output, complaints] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (more) => (output += more));
  child.stderr.setEncoding("utf8").on("data", (more) => (complaints += more));
  const status = await within(new Promise((resolve) => child.on("close", resolve)), () => `the commands did not end\n${output}`);
  assert.equal(status, 0, `${output}\n${complaints}`);
  let rest = output;
  for (const line of promised) {
    const found = rest.match(new RegExp(promise(line)));
    assert.ok(found, `${line}\nis not in\n${rest}`);
    rest = rest.slice(found.index + found[0].length);
  }
}
