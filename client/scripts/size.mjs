// Says what each import costs a page, minified and compressed, without socket.io-client and React; fails if `createClient`, compressed
// as web servers do it for browsers (Brotli), costs more than was promised.

import { brotliCompressSync, gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const LIMIT = 8000;
const folder = fileURLToPath(new URL("..", import.meta.url));

const size = async (code) => {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: folder, loader: "js" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    external: ["socket.io-client", "react"],
  });
  const [{ contents, text }] = outputFiles;
  return { minified: contents.length, brotli: brotliCompressSync(contents).length, gzip: gzipSync(contents, { level: 9 }).length, text };
};

const entries = {
  "createClient": await size('export { createClient } from "./dist/esm/index.js";'),
  "connectPlain": await size('export { connectPlain } from "./dist/esm/index.js";'),
  "subscribe": await size('export { subscribe } from "./dist/esm/index.js";'),
  "all of these": await size('export * from "./dist/esm/index.js";'),
  "/react": await size('export * from "./dist/esm/react/index.js";'),
};
for (const [name, { minified, brotli, gzip }] of Object.entries(entries)) {
  console.log(`${name.padEnd(14)} ${String(minified).padStart(6)} bytes minified, ${String(brotli).padStart(5)} by Brotli, ${String(gzip).padStart(5)} by gzip`);
}

const problems = [];
const { brotli } = entries.createClient;
if (brotli >= LIMIT) problems.push(`createClient has ${brotli} bytes compressed; ${LIMIT} are the limit`);
for (const name of ["connectPlain", "subscribe"]) {
  if (entries[name].text.includes("socket.io-client")) problems.push(`${name} alone imports socket.io-client`);
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
