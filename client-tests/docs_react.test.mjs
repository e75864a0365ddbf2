// docs/react.md: its chat, as it stands, in two browsers, and every snippet by the types of the package.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { launch, openPage, servePages } from "./support/browser.mjs";
import { defer } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const client = join(here, "../client");
const page = await readFile(join(here, "../docs/react.md"), "utf8");

// The page's modules, by the name that `<!-- file NAME -->` gives them, or one by their order.
const snippets = [...page.matchAll(/(?:<!-- file (\S+) -->\n)?```(tsx?|css)\n([^]*?)```/g)].map(([, name, kind, code], i) => ({
  name: name ?? `src/snippet${i}.${kind}`,
  code,
}));

async function folderOf(t, snippets) {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-react-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  for (const { name, code } of snippets) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), code);
  }
  return folder;
}

// The chat of the page with the package as it is built, for a server at `url`.
async function bundle(folder, url) {
  const outfile = join(folder, "dist/page.js");
  await build({
    entryPoints: [join(folder, "src/main.tsx")],
    outfile,
    bundle: true,
    format: "esm",
    jsx: "automatic",
    logLevel: "error",
    nodePaths: [join(here, "node_modules")],
    define: { "process.env.NODE_ENV": '"development"' },
    alias: {
      react: join(here, "node_modules/react"),
      "socket.io-client": join(here, "node_modules/socket.io-client"),
      "@switchboard/client/react": join(client, "dist/esm/react/index.js"),
    },
  });
  const text = await readFile(outfile, "utf8");
  assert.ok(text.includes("http://127.0.0.1:3000"));
  await writeFile(outfile, text.replaceAll("http://127.0.0.1:3000", url));
  await writeFile(join(folder, "dist/index.html"), '<!doctype html><div id="root"></div><script type="module" src="/page.js"></script>');
  return join(folder, "dist");
}

test("the chat of the guide works in two browsers, and goes on after a kill of the server", async (t) => {
  const server = await serve(t);
  const url = await servePages(t, await bundle(await folderOf(t, snippets), server.url));
  const browser = await launch(t);
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => openPage(t, browser, `${url}/?user=${user}`)));
  for (const page of [alice, bob]) await page.getByText("connected; here: alice, bob").waitFor();

  await bob.getByLabel("Message").pressSequentially("hello");
  await alice.getByText("bob is typing").waitFor();
  await bob.getByRole("button", { name: "Send" }).click();
  await server.kill();
  await alice.getByText("offline").waitFor();
  for (const text of ["one", "two"]) {
    await alice.getByLabel("Message").fill(text);
    await alice.getByRole("button", { name: "Send" }).click();
  }
  await server.start();
  for (const page of [alice, bob]) {
    await page.locator("li:nth-child(3)").waitFor();
    await page.locator("li", { hasText: "…" }).first().waitFor({ state: "detached" });
    const lines = await page.locator("li").allInnerTexts();
    assert.deepEqual(lines.map((line) => line.trim()).sort(), ["alice one", "alice two", "bob hello"]);
    assert.deepEqual(page.errors, []);
  }
});

test("every snippet of the guide compiles", async (t) => {
  const types = join(client, "node_modules/@types");
  const folder = await folderOf(t, [
    ...snippets,
    { name: "src/globals.d.ts", code: "declare const process: { env: Record<string, string | undefined> };\ndeclare module \"*.css\";" },
    {
      name: "tsconfig.json",
      code: JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          target: "ES2022",
          module: "ESNext",
          moduleResolution: "bundler",
          moduleDetection: "force",
          jsx: "react-jsx",
          lib: ["ES2023", "DOM", "DOM.Iterable"],
          types: [],
          paths: {
            "@switchboard/client": [join(client, "dist/esm/index.d.ts")],
            "@switchboard/client/*": [join(client, "dist/esm/*.d.ts"), join(client, "dist/esm/*/index.d.ts")],
            react: [join(types, "react")],
            "react/*": [join(types, "react/*")],
            "react-dom/*": [join(types, "react-dom/*")],
          },
        },
        include: ["src"],
      }),
    },
  ]);
  assert.ok(snippets.length > 8);
  try {
    execFileSync(process.execPath, [join(client, "node_modules/typescript/bin/tsc"), "-p", folder], { stdio: "pipe" });
  } catch ({ stdout, message }) {
    assert.fail(`${stdout || message}`);
  }
});
