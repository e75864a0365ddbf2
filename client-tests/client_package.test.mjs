// The package @switchboard/client as it is published: its entries, its types and its size.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const folder = fileURLToPath(new URL("../client/", import.meta.url));
const manifest = JSON.parse(await readFile(`${folder}package.json`, "utf8"));
const require = createRequire(`${folder}package.json`);

async function run(command, ...args) {
  const { stdout } = await promisify(execFile)(command, args, { cwd: folder }).catch((error) => {
    throw new Error(`${command} ${args.join(" ")}\n${error.stdout}${error.stderr}`);
  });
  return stdout;
}

test("ES modules and CommonJS have the same exports", async () => {
  for (const [entry, { import: module, require: common }] of Object.entries(manifest.exports)) {
    if (!module) continue;
    const names = Object.keys(await import(new URL(module.default, `file://${folder}`).href)).sort();
    assert.deepEqual(Object.keys(require(`${folder}${common.default}`)).filter((name) => name !== "__esModule").sort(), names, entry);
  }
  const { createClient, connectPlain, subscribe, SwitchboardError } = require("@switchboard/client");
  for (const each of [createClient, connectPlain, subscribe, SwitchboardError]) assert.equal(typeof each, "function");
  assert.equal(createClient("http://127.0.0.1:1").status, "idle");
});

test("plain WebSocket and event streams need no socket.io-client", async () => {
  const loaded = await run(
    process.execPath,
    "--input-type=module",
    "-e",
    'import { register } from "node:module";' +
      "register(`data:text/javascript,export async function resolve(name, context, next) {" +
      " if (name.startsWith('socket.io')) throw new Error(name); return next(name, context); }`);" +
      'const { connectPlain } = await import("./dist/esm/plain.js"); const { subscribe } = await import("./dist/esm/sse.js");' +
      "console.log(typeof connectPlain, typeof subscribe);",
  );
  assert.equal(loaded.trim(), "function function");
});

test("the types permit what is right and refuse what is wrong, for both kinds of modules", async () => {
  await run(process.execPath, require.resolve("typescript/package.json").replace("package.json", "bin/tsc"), "-p", "tsconfig.types.json");
});

test("a client costs a page less than 8 kB", async (t) => {
  t.diagnostic(await run(process.execPath, "scripts/size.mjs"));
});

test("the tarball has what is built, the README and the licences", async () => {
  await run(process.execPath, "scripts/licences.mjs");
  const [{ files }] = JSON.parse(await run("npm", "pack", "--dry-run", "--json", "--ignore-scripts"));
  const names = files.map(({ path }) => path);
  const built = ["dist/esm/index.js", "dist/esm/index.d.ts", "dist/cjs/index.js", "dist/cjs/index.d.ts", "dist/cjs/package.json"];
  for (const name of ["package.json", "README.md", "LICENSE-MIT", "LICENSE-APACHE", ...built]) {
    assert.ok(names.includes(name), `${name} is missing`);
  }
  assert.deepEqual(names.filter((name) => !/^(dist\/|README\.md|LICENSE-|package\.json)/.test(name)), []);
});
