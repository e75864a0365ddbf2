// The dashboard at /admin in Chromium: documents that Yjs clients have stored, page by page, and deleting one.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import * as Y from "yjs";
import { launch } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { ADMIN, button, DESKTOP, enter, EVIL, go, goTo, isAccessible, isAt, notice, PHONE, KEY } from "./support/dashboard.mjs";
import { edit } from "./support/documents.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const browser = await launch({ after });
const start = (t) => serve(t, { ...ADMIN, ...UNLIMITED, store: "memory" });

const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/octet-stream" };
const api = (server, name, path = "", options = {}) => fetch(`${server.url}/v1/documents/${encodeURIComponent(name)}${path}`, { headers, ...options });

// Stores a document as a back end does.
async function store(server, name, text = "x") {
  const doc = new Y.Doc();
  doc.getText("text").insert(0, text);
  const { status } = await api(server, name, "/updates", { method: "POST", body: Y.encodeStateAsUpdate(doc) });
  assert.equal(status, 201);
}

const row = (page, name) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) });
const cells = async (page, name) => (await row(page, name).locator("th, td").allTextContents()).slice(0, 4);

test("documents are listed with their size, updates and clients, and one is deleted once that is confirmed", async (t) => {
  const server = await start(t);
  const page = await enter(t, browser, server);
  await go(page, "Documents");
  await page.getByText("There is no document.").waitFor();
  await store(server, EVIL);
  await store(server, "team/notes", "y".repeat(3000));
  const alice = await edit(t, server, "team/notes");
  alice.text.insert(0, "z");
  await eventually(async () => (await (await api(server, "team/notes")).json()).updates === 2, "both updates are stored");
  await page.reload();
  await row(page, EVIL).waitFor();
  const [name, size, updates, clients] = await cells(page, "team/notes");
  assert.deepEqual([name, updates, clients], ["team/notes", "2", "1"]);
  assert.match(size, /^[23](\.\d)? KiB$/);
  for (const viewport of [DESKTOP, PHONE]) {
    await page.setViewportSize(viewport);
    await isAccessible(page, "documents");
  }
  await page.setViewportSize(DESKTOP);

  await button(page, "Delete team/notes").click();
  await page.getByText("Clients that have it open keep what they have.").waitFor();
  await isAccessible(page, "delete");
  await button(page, "Cancel").click();
  assert.equal((await api(server, "team/notes")).status, 200);
  await button(page, "Delete team/notes").click();
  await button(page, "Delete").click();
  await notice(page, "team/notes was deleted; 1 client still has it open.");
  await row(page, "team/notes").waitFor({ state: "detached" });
  assert.equal((await api(server, "team/notes")).status, 404);

  // It may be gone by then.
  await button(page, `Delete ${EVIL}`).click();
  await api(server, EVIL, "", { method: "DELETE" });
  await button(page, "Delete").click();
  await page.getByRole("alert").filter({ hasText: "There is no document" }).waitFor();
});

test("documents are found by the beginning of their names, a hundred a page", async (t) => {
  const server = await start(t);
  for (const n of upTo(101)) await store(server, `a-${`${n}`.padStart(3, "0")}`);
  await store(server, "b");
  const page = await enter(t, browser, server, { at: "#/documents" });
  await isAt(page, "Documents");
  const rows = page.getByRole("rowheader");
  await eventually(async () => (await rows.count()) === 100, "the first page");
  await page.getByRole("link", { name: "Next page" }).click();
  await row(page, "b").waitFor();
  assert.equal(await rows.count(), 2);
  await page.getByRole("link", { name: "Previous page" }).click();
  await eventually(async () => (await rows.count()) === 100, "the first page again");
  await page.getByRole("searchbox").fill("b");
  await row(page, "b").waitFor();
  await eventually(async () => (await rows.count()) === 1, "only those that begin with it");
  await goTo(page, "#/documents?prefix=nothing");
  await page.getByText("No document has a name that begins with nothing.").waitFor();
});
