// The snippets of README.md and docs/, run as they stand, and the links between the pages.
//
// JavaScript that promises output: a fenced block between the lines `<!-- name -->` and `<!-- /name -->`. It is an ES module that imports only
// what a reader is told to install, and connects to http://127.0.0.1:3000 (or localhost). It runs as a process of its own, against a fresh
// server whose address replaces that one. Each comment `// prints: some text` in it promises a line on standard output, in this order,
// where `…` stands for any text. The process need not end by itself.
//
// Other JavaScript is a fragment: its syntax is checked.
//
// Shell: every block of ```sh between `<!-- curl -->` and `<!-- /curl -->`, one bash for all blocks between two such lines, against a fresh server,
// started with the flags that the words `--name value` after `curl` say. `# prints: some text` promises that a line of the output has that
// text, again with `…` for any, in the output after the previous one. Every command has to succeed.
//
// TOML is a configuration that `switchboard config --check` accepts; JSON parses. Rust is compiled by the documentation tests.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { defer, Journal, within } from "./support/scope.mjs";
import { binary, serve } from "./support/server.mjs";
import { makeCertificate } from "./support/tls.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..");
const address = /http:\/\/(127\.0\.0\.1|localhost):3000/g;
const PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];

for (const file of await readdir(join(root, "docs"))) if (file.endsWith(".md")) PAGES.push(`docs/${file}`);
for (const name of await readdir(join(root, "examples"))) {
  const page = `examples/${name}/README.md`;
  if (existsSync(join(root, page))) PAGES.push(page);
}
const texts = new Map(await Promise.all(PAGES.map(async (page) => [page, await readFile(join(root, page), "utf8")])));

// Blocks of a page: their language and code.
const blocks = (text) => [...text.matchAll(/^ *```([\w,-]+)\n([^]*?)^ *```$/gm)].map(([, language, code]) => ({ language, code }));

for (const [page, text] of texts) {
  for (const [, name] of text.matchAll(/<!-- (\w+) -->\n```js/g)) {
    test(`${page}: the ${name} example prints what the page says`, (t) => printsWhatItPromises(t, text, name));
  }
  for (const [i, [, flags, code]] of [...text.matchAll(/<!-- curl(?: (--.*?))? -->([^]*?)<!-- \/curl -->/g)].entries()) {
    test(`${page}: the shell commands, part ${i + 1}, print what the page says`, (t) => shellPrintsWhatItPromises(t, flags, code));
  }
  test(`${page}: its links lead somewhere, and its snippets are well-formed`, async (t) => {
    checkLinks(page, text);
    if (page !== "CHANGELOG.md") checkPaths(page, text);
    for (const { language, code } of blocks(text)) await checkSnippet(t, language, code);
  });
}

test("the pages have examples and commands that are run", () => {
  const all = [...texts.values()].join("\n");
  for (const marker of ["client", "social", "events", "websocket", "poll", "curl"]) assert.ok(all.includes(`<!-- /${marker} -->`), marker);
});

// The anchors that a page's headings make.
function anchors(text) {
  const headings = text.replace(/^ *```[^]*?^ *```$/gm, "").matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

function checkLinks(page, text) {
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path, anchor] = target.split("#");
    const file = path === "" ? page : normalize(join(dirname(page), path));
    assert.ok(existsSync(join(root, file)), `${page} links to ${target}, which does not exist`);
    if (anchor) assert.ok(anchors(texts.get(file) ?? "").includes(anchor), `${page} links to ${target}: no such heading`);
  }
}

// Paths of the project that a page names, as in `src/hub/rooms.rs`, exist.
function checkPaths(page, text) {
  for (const [, path] of text.matchAll(/`((?:src|tests|docs|client-tests|benches|examples|scripts|fuzz)\/[\w./-]*)`/g)) {
    assert.ok(existsSync(join(root, path)), `${page} names ${path}, which does not exist`);
  }
}

async function checkSnippet(t, language, code) {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-docs-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  if (language === "js") {
    await writeFile(join(folder, "snippet.mjs"), code);
    execFileSync(process.execPath, ["--check", join(folder, "snippet.mjs")], { stdio: "pipe" });
  } else if (language === "toml") {
    const file = join(folder, "switchboard.toml");
    if (code.includes("[tls]")) await makeCertificate({ cert: join(folder, "fullchain.pem"), key: join(folder, "privkey.pem") });
    const lines = code.split("\n").map((line) => line.replace(/^ {0,3}/, ""));
    await writeFile(file, lines.join("\n"));
    execFileSync(binary, ["config", "--check", "--config", file], { cwd: folder, stdio: "pipe" });
  } else if (language === "json") {
    JSON.parse(code);
  }
}

// The pattern of a promised line.
function promise(line) {
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return line.split("…").map(escaped).join(".*");
}

async function printsWhatItPromises(t, text, name) {
  const block = new RegExp(`<!-- ${name} -->[^]*?\`\`\`(?:js|javascript|mjs)\\n([^]*?)\`\`\`[^]*?<!-- \\/${name} -->`);
  const code = text.match(block)?.[1];
  assert.ok(code, `a block of JavaScript between <!-- ${name} --> and <!-- /${name} -->`);
  const promised = [...code.matchAll(/\/\/ prints: (.*)$/gm)].map(([, line]) => line.trim());
  assert.notEqual(promised.length, 0, "the example promises to print something");

  const server = await serve(t);
  assert.match(code, /(127\.0\.0\.1|localhost):3000/, "the example connects to the default address");
  const own = code.replace(/(127\.0\.0\.1|localhost):3000/g, server.address);

  // Inside this folder, so that the import finds what is installed here.
  const folder = await mkdtemp(join(here, ".docs-"));
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

async function shellPrintsWhatItPromises(t, flags, text) {
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
