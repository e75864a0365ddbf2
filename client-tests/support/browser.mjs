// Chromium, driven by playwright-core, and the folders with built pages that it opens.

import { createServer } from "node:http";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { defer } from "./scope.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const candidates = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

// Nothing but the test may use the network, and no machine's graphics card may change a picture.
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--force-color-profile=srgb",
  "--font-render-hinting=none",
];

// A browser for the test `t`; with `quic` it may use HTTP/3.
export async function launch(t, { quic = false } = {}) {
  const executablePath = candidates.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("no Chromium: apt-get install chromium, or set CHROMIUM to its path");
  const browser = await chromium.launch({ executablePath, args: quic ? FLAGS : [...FLAGS, "--disable-quic"] });
  defer(t, () => browser.close());
  return browser;
}

// A page of a user of its own: nothing is shared with other pages. `options` are those of `browser.newContext`. Errors of the page's
// scripts are collected in `page.errors`.
export async function openPage(t, browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ...options });
  defer(t, () => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(error));
  await page.goto(url);
  return page;
}

// Writes docs/images/NAME.png if UPDATE_SCREENSHOTS=1. The picture is what the viewport shows, without a blinking caret.
export async function screenshot(page, name, options = {}) {
  if (process.env.UPDATE_SCREENSHOTS !== "1") return;
  const path = join(root, "docs/images", `${name}.png`);
  await mkdir(dirname(path), { recursive: true });
  await page.screenshot({ path, animations: "disabled", caret: "hide", ...options });
}

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json" };

// Serves `folder` as any web server would; unknown paths get index.html, as an app with routes needs it. Resolves to the address.
export async function servePages(t, folder) {
  const server = createServer(async ({ url }, response) => {
    const path = normalize(decodeURIComponent(new URL(url, "http://localhost").pathname));
    const asked = join(folder, path);
    const file = existsSync(asked) && extname(asked) ? asked : join(folder, "index.html");
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    response.end(await readFile(file));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  defer(t, () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${server.address().port}`;
}
