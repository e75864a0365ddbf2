// examples/editor in Chromium: several people write one text, without a network and over restarts of the server, too.
//
// UPDATE_SCREENSHOTS=1 writes its pictures of docs/images.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { hasNoViolations } from "./support/accessibility.mjs";
import { launch, openPage, screenshot } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { edit } from "./support/documents.mjs";
import { startExample } from "./support/examples.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

const folder = fileURLToPath(new URL("../examples/editor", import.meta.url));
const PHONE = { width: 390, height: 844 };
const KEPT = "Offline: your edits are kept and sent when you are back";

// The example as its users start it. `enter` opens a document as somebody, in a browser of its own.
async function begin(t, options = {}) {
  const server = await serve(t, options);
  const url = await startExample(t, "editor", server);
  const browser = await launch(t);
  const enter = async (user, document = "notes", options = {}) => {
    const page = await openPage(t, browser, "about:blank", options);
    page.user = user;
    page.asked = new Set();
    page.on("request", (request) => page.asked.add(request.url()));
    page.on("websocket", (socket) => page.asked.add(socket.url()));
    page.on("requestfailed", (request) => request.failure().errorText === "csp" && page.asked.delete(request.url()));
    await page.goto(`${url}/#${document}`);
    await page.getByLabel("Your name").fill(user);
    await page.keyboard.press("Enter");
    return page;
  };
  return { server, url, browser, enter };
}

const text = (page) => page.getByRole("textbox", { name: "Text", exact: true });
const state = (page, words) => page.getByRole("status").getByText(words, { exact: true }).waitFor();
const button = (page, name) => page.getByRole("button", { name, exact: true });

// Who a page says is here, itself first.
async function people(page) {
  const names = await page.getByRole("list", { name: "Who is here" }).locator(".person span").allTextContents();
  return names.map((name) => name.replace(" (you)", ""));
}

const cursor = (page, user) => page.locator(".cm-ySelectionCaret", { hasText: user });

// The text that a page shows, without the names at the cursors in it.
const shown = (page) =>
  page.locator(".cm-content").evaluate((content) => {
    const copy = content.cloneNode(true);
    copy.querySelectorAll(".cm-ySelectionCaret, .cm-placeholder").forEach((each) => each.remove());
    return [...copy.querySelectorAll(".cm-line")].map((line) => line.textContent.replaceAll("\u200b", "")).join("\n");
  });

async function shows(page, expected) {
  let found;
  const same = async () => (found = await shown(page)) === expected;
  await eventually(same, `${page.user} sees the text`).catch(() => assert.equal(found, expected));
}

// Waits until all pages show the same text that has all these parts, and returns it.
async function agree(pages, parts) {
  let all;
  const same = async () => {
    all = await Promise.all(pages.map(shown));
    return all.every((each) => each === all[0]) && parts.every((part) => all[0].includes(part));
  };
  await eventually(same, "all see the same", 30_000).catch(() => assert.fail(`not the same, or without ${parts}: ${JSON.stringify(all)}`));
  return all[0];
}

// Types at the end of the text.
async function type(page, words) {
  await text(page).focus();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(words);
}

async function isAccessible(page, what) {
  await hasNoViolations(page, what);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing is wider than the page, ${what}`);
}

// No page had an error, nor asked any other host for anything.
function isFine(...pages) {
  for (const page of pages) {
    assert.deepEqual(page.errors, []);
    const hosts = new Set([...page.asked].filter((url) => !url.startsWith("data:")).map((url) => new URL(url).hostname));
    assert.deepEqual([...hosts], ["127.0.0.1"]);
  }
}

test("the types fit, and the page can be built", () => {
  const npm = (...args) => execFileSync("npm", args, { cwd: folder, encoding: "utf8", stdio: "pipe" });
  if (!existsSync(join(folder, "node_modules/.package-lock.json"))) npm("ci", "--no-audit", "--no-fund");
  npm("run", "build", "--", "--outDir", "node_modules/.cache/dist");
});

test("two people type at the same time, and see each other's text, cursor and name", async (t) => {
  const { enter } = await begin(t);
  const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
  for (const page of [alice, bob]) await state(page, "Connected");
  await eventually(async () => (await people(alice)).join() === "alice,bob" && (await people(bob)).join() === "bob,alice", "both are here");

  const [hers, his] = ["the quick brown fox jumps over the lazy dog", "pack my box with five dozen liquor jugs"];
  await type(alice, "A: \nB: ");
  await shows(bob, "A: \nB: ");
  await text(alice).press("ArrowUp");
  await text(alice).press("End");
  await text(bob).press("Control+End");
  await Promise.all([alice.keyboard.type(hers), bob.keyboard.type(his)]);
  for (const page of [alice, bob]) await shows(page, `A: ${hers}\nB: ${his}`);
  await cursor(alice, "bob").waitFor();
  await cursor(bob, "alice").waitFor();
  const top = async (locator) => (await locator.boundingBox()).y;
  assert.ok((await top(cursor(bob, "alice"))) < (await top(bob.locator(".cm-line").nth(1))), "her cursor is in the first line");

  // What somebody selects is marked with their colour.
  await text(alice).press("Home");
  await text(alice).press("Shift+End");
  await bob.locator(".cm-ySelection").getByText(hers.slice(0, 9)).first().waitFor();
  await button(bob, "alice").click();
  await bob.keyboard.type("!");
  await shows(alice, `A: ${hers}!\nB: ${his}`);

  await alice.close();
  await cursor(bob, "alice").waitFor({ state: "detached" });
  await eventually(async () => (await people(bob)).join() === "bob", "alice has gone");
  isFine(bob);
});

test("undo takes back what oneself has typed, and nothing of the others", async (t) => {
  const { enter } = await begin(t);
  const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
  await type(alice, "from alice. ");
  await shows(bob, "from alice. ");
  assert.equal(await button(bob, "Undo").getAttribute("aria-disabled"), "true");
  await type(bob, "from bob. ");
  await shows(alice, "from alice. from bob. ");
  await text(alice).press("Control+z");
  for (const page of [alice, bob]) await shows(page, "from bob. ");
  await text(alice).press("Control+z");
  await text(alice).press("Control+y");
  for (const page of [alice, bob]) await shows(page, "from alice. from bob. ");
  await button(bob, "Undo").click();
  for (const page of [alice, bob]) await shows(page, "from alice. ");
  await button(bob, "Redo").click();
  for (const page of [alice, bob]) await shows(page, "from alice. from bob. ");
  isFine(alice, bob);
});

test("who goes offline writes on, and when they are back all have the same text", async (t) => {
  const { enter } = await begin(t);
  const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
  await type(alice, "begun together.");
  await shows(bob, "begun together.");
  await cursor(bob, "alice").waitFor();
  await button(alice, "Go offline").click();
  await state(alice, KEPT);
  await eventually(async () => (await people(bob)).join() === "bob" && (await people(alice)).join() === "alice", "they see each other no longer");
  await cursor(bob, "alice").waitFor({ state: "detached" });
  await type(alice, " Offline from alice.");
  await type(bob, " Meanwhile from bob.");
  await shows(alice, "begun together. Offline from alice.");
  await shows(bob, "begun together. Meanwhile from bob.");
  await button(alice, "Go online").click();
  await state(alice, "Connected");
  const both = await agree([alice, bob], ["begun together.", " Offline from alice.", " Meanwhile from bob."]);
  assert.equal(both.length, "begun together. Offline from alice. Meanwhile from bob.".length);

  // Nothing was typed this time, and yet the others see her again.
  await button(alice, "Go offline").click();
  await cursor(bob, "alice").waitFor({ state: "detached" });
  await button(alice, "Go online").click();
  await cursor(bob, "alice").waitFor();
  await eventually(async () => (await people(bob)).join() === "bob,alice", "alice is back");

  const carol = await enter("carol");
  await shows(carol, both);
  isFine(alice, bob, carol);
});

test("a server that is killed and started loses nothing, nor does a page that is loaded again meanwhile", async (t) => {
  const { server, enter } = await begin(t, { store: "sqlite" });
  const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
  await type(alice, "stored.");
  await shows(bob, "stored.");
  await server.kill();
  for (const page of [alice, bob]) await state(page, KEPT);
  await type(alice, " While it was down, alice.");
  await type(bob, " While it was down, bob.");
  await alice.reload();
  await shows(alice, "stored. While it was down, alice.");
  await state(alice, KEPT);
  await type(alice, " After the reload.");
  await server.start();
  for (const page of [alice, bob]) await state(page, "Connected");
  const parts = ["stored.", " While it was down, alice.", " After the reload.", " While it was down, bob."];
  const all = await agree([alice, bob], parts);
  assert.equal(all.length, parts.join("").length);
  for (const page of [alice, bob]) await page.close();
  await server.stop();
  await server.start();
  const carol = await enter("carol");
  await shows(carol, all);
  isFine(alice, bob, carol);
});

test("the address names the document, and another name opens another one", async (t) => {
  const { enter } = await begin(t);
  const [alice, bob] = [await enter("alice", "notes"), await enter("bob", encodeURIComponent("team/plan 50% ü?"))];
  await type(alice, "notes");
  await type(bob, "the plan");
  const name = alice.getByLabel("Name of the document");
  assert.equal(await name.inputValue(), "notes");
  await name.fill("team/plan 50% ü?");
  await name.press("Enter");
  await shows(alice, "the plan");
  assert.equal(await name.inputValue(), "team/plan-50%-ü?");
  await eventually(async () => (await people(bob)).join() === "bob,alice", "alice is there");
  await alice.goBack();
  await shows(alice, "notes");
  await eventually(async () => (await people(bob)).join() === "bob", "alice has gone");
  isFine(alice, bob);
});

test("a text that the server does not take is kept, and the page says why", async (t) => {
  const { server, enter } = await begin(t, { "documents-update-bytes": 2000 });
  const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
  await type(alice, "short. ");
  await shows(bob, "short. ");
  const long = "long ".repeat(1000);
  await text(alice).press("Control+End");
  await alice.keyboard.insertText(long);
  await alice.getByRole("status").getByText(/^Your text is kept here, but the server refuses it: /).waitFor();
  await shows(alice, `short. ${long}`);
  await button(alice, "Undo").click();
  await type(alice, "shorter.");
  await button(alice, "Go online").click();
  await state(alice, "Connected");
  await agree([alice, bob], ["shorter."]);
  assert.ok(server.alive());
});

test("a cursor that comes with a hostile name and colour is a cursor, and loads nothing", async (t) => {
  const { server, enter } = await begin(t);
  const alice = await enter("alice");
  await type(alice, "here");
  await state(alice, "Connected");
  const mallory = await edit(t, server, "notes", { user: "mallory" });
  const head = { type: null, tname: "text", item: null, assoc: 0 };
  mallory.awareness.setLocalState({
    user: { name: "<img src=http://localhost/x>", color: "red;background:url(http://localhost/y)" },
    cursor: { anchor: head, head },
  });
  await cursor(alice, "<img").waitFor();
  await eventually(async () => (await people(alice)).length === 2, "mallory is in the list");
  await type(alice, "!");
  await shows(alice, "here!");
  isFine(alice);
});

// What is written in the pictures.
const PLAN = `# Launch plan

We open the **beta** on Thursday at 10:00. What is left is below; put your name behind what you take.

## Before Thursday

- [x] Price page, with the yearly plan
- [x] Answers to the twenty most frequent questions
- [ ] Screenshots for the app stores
- [ ] Mail to the waiting list

## Open questions

> Do we invite everybody at once, or in three waves?

`;

const HERS = "In waves: a third on Thursday, the rest on Monday. Then the mails do not all come at once.";

for (const [size, viewport] of [["desktop", { width: 1280, height: 800 }], ["phone", PHONE]]) {
  test(`everybody can use it, in light and dark: ${size}`, async (t) => {
    const { browser, url, enter } = await begin(t);
    const start = await openPage(t, browser, url, { viewport });
    await button(start, "Open the document").waitFor();
    const [alice, bob, carol] = [await enter("Alice", "launch-plan", { viewport }), await enter("Bob", "launch-plan"), await enter("Carol", "launch-plan")];
    await text(alice).focus();
    await alice.keyboard.insertText(PLAN);
    await shows(bob, PLAN);
    await shows(carol, PLAN);
    await type(bob, HERS);
    await carol.locator(".cm-line").getByText("Screenshots for the app stores").click();
    await text(carol).press("End");
    await carol.keyboard.type(" (Carol)");
    for (const _ of "(Carol)") await carol.keyboard.press("Shift+ArrowLeft");
    await shows(alice, `${PLAN.replace("stores", "stores (Carol)")}${HERS}`);
    for (const user of ["Bob", "Carol"]) await cursor(alice, user).waitFor();
    await alice.locator(".cm-ySelection").getByText("(Carol)").waitFor();
    const ends = await alice.locator(".cm-ySelectionInfo").evaluateAll((all) => all.map((name) => name.getBoundingClientRect().right));
    assert.ok(ends.every((end) => end <= viewport.width), `names end at ${ends}`);
    await state(alice, "Connected");
    for (const colorScheme of ["dark", "light"]) {
      for (const [what, page] of Object.entries({ start, text: alice })) {
        await page.emulateMedia({ colorScheme });
        await isAccessible(page, `${what}, ${colorScheme}`);
      }
    }
    if (size === "desktop") await screenshot(alice, "editor");
    await button(alice, "Go offline").click();
    await state(alice, KEPT);
    await isAccessible(alice, "offline");
    await alice.emulateMedia({ colorScheme: "dark" });
    await isAccessible(alice, "offline, dark");
    if (size === "phone") await screenshot(alice, "editor-phone");
  });
}

test("it can be used with the keyboard alone", async (t) => {
  const { enter } = await begin(t);
  const [alice, bob] = await Promise.all([enter("alice"), enter("bob")]);
  await type(alice, "one");
  await shows(bob, "one");
  await type(bob, " two");
  await shows(alice, "one two");
  const focused = (page) => page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);
  await alice.keyboard.press("Tab");
  assert.equal(await focused(alice), "Go offline");
  await alice.keyboard.press("Enter");
  await state(alice, KEPT);
  await alice.keyboard.press("Enter");
  await state(alice, "Connected");
  await alice.keyboard.press("Shift+Tab");
  assert.equal(await focused(alice), "Text");
  await eventually(async () => (await people(alice)).join() === "alice,bob", "bob is back in the list");
  await alice.keyboard.press("Shift+Tab");
  assert.equal(await focused(alice), "bob");
  await type(bob, " three");
  await shows(alice, "one two three");
  assert.equal(await focused(alice), "bob", "it keeps the focus while he types");
  await alice.keyboard.press("Enter");
  assert.equal(await focused(alice), "Text");
  for (const _ of upTo(2)) await alice.keyboard.press("Shift+Tab");
  assert.equal(await focused(alice), "Redo");
});
