// The entries of the hooks as packages: what they need, how large they are, and that applications without React need none of it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { bundle } from "./support/react.mjs";

const client = new URL("../client/", import.meta.url);

// Minified, as an application's bundler does it; resolves to the code and the files that are in it.
async function minified(file, external) {
  const entry = new URL(`dist/esm/${file}`, client).pathname;
  const options = { entryPoints: [entry], write: false, minify: true, format: "esm", metafile: true, external };
  const { outputFiles, metafile } = await bundle(19, file, options);
  return { code: outputFiles[0].contents, files: Object.keys(metafile.inputs), imports: Object.values(metafile.outputs)[0].imports };
}

test("the hooks add less than 3 kB to the core", async (t) => {
  const { code } = await minified("react/index.js", ["react", "*/create.js", "*/sse.js"]);
  const size = gzipSync(code).length;
  t.diagnostic(`${size} bytes, compressed`);
  assert.ok(size < 3000, `${size} bytes`);
});

test("the hooks import React and socket.io-client, over plain WebSocket only React, and the core no React", async () => {
  const importsOf = async (file) => {
    const { imports } = await minified(file, ["react", "socket.io-client"]);
    return [...new Set(imports.map(({ path }) => path))].sort();
  };
  assert.deepEqual(await importsOf("react/index.js"), ["react", "socket.io-client"]);
  assert.deepEqual(await importsOf("react/plain.js"), ["react"]);
  assert.deepEqual(await importsOf("index.js"), ["socket.io-client"]);
});

test("both entries are client modules for Next.js, export the same, and name each export", async () => {
  const read = (name) => readFile(new URL(`dist/esm/react/${name}.js`, client), "utf8");
  const [socketio, plain] = await Promise.all(["index", "plain"].map(read));
  const exported = /^export (?:const (\w+)|\{ ([^}]*) \})/gm;
  const names = (code) => [...code.matchAll(exported)].flatMap(([, one, list]) => one ?? list.split(", ")).sort();
  for (const code of [socketio, plain]) {
    assert.match(code, /^"use client";/);
    assert.doesNotMatch(code, /export \*/);
    assert.ok(names(code).includes("useMessages"));
  }
  assert.deepEqual(names(plain), names(socketio));
});

test("the types know the application's events", () => {
  const tsc = fileURLToPath(new URL("node_modules/typescript/bin/tsc", client));
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", "test-react"], { cwd: fileURLToPath(client), encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
