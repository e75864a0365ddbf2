// The dashboard at /admin in Chromium, of a cluster: what it shows of other nodes, and of those that die or are drained.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch } from "./support/browser.mjs";
import { open, upTo } from "./support/clients.mjs";
import { ADMIN, button, enter, figures, go, notice, operator } from "./support/dashboard.mjs";
import { nodes } from "./support/nodes.mjs";
import { redis } from "./support/redis.mjs";
import { eventually } from "./support/scope.mjs";
import { peer } from "./support/websocket.mjs";

test("two nodes are shown with their numbers; one that dies is missed, and one that is drained says so, and ends", async (t) => {
  const browser = await launch(t);
  const [here, there] = await nodes(t, await redis(t), 2, { ...ADMIN, "presence-lease": "2s", "drain-over": "8s" });
  const admin = operator(here);
  const node = async (server) => (await operator(server).get("/v1/stats")).node;
  const [ownId, otherId] = [await node(here), await node(there)];
  const page = await enter(t, browser, here, { at: "#/nodes" });
  const card = (id, where = page) => where.getByRole("listitem").filter({ hasText: `${id} · ` });
  await card(otherId).getByText("Ready", { exact: true }).waitFor();
  assert.match(await card(ownId).textContent(), new RegExp(`answers this page.*${here.address} · redis`));

  const alice = await open(t, here, { user: "alice" });
  const bob = await open(t, there, { user: "bob" });
  const carol = await peer(t, there, { user: "carol", room: "far" });
  await bob.ok("join", "far");
  for (const n of upTo(20)) await bob.ok("message", { room: "far", data: n });
  const shows = (id, text) => eventually(async () => (await card(id).textContent()).includes(text), `${id}: ${text}`);
  await shows(otherId, "Connections2");
  await shows(ownId, "Connections1");
  await shows(otherId, "messages20");
  await shows(ownId, "messages0");
  await go(page, "Overview");
  await eventually(async () => /^Nodes ready 2 of 2, Connections 3, /.test(await figures(page, "All nodes")), "the sums");
  await go(page, "Rooms");
  const row = page.getByRole("row", { name: /^far / });
  const rates = async () => (await row.getByRole("cell").allTextContents()).join(" ");
  await eventually(async () => /^2 2 [\d.]+\/s$/.test(await rates()), "the rate of a room of the other node");
  await go(page, "Users");
  await page.getByRole("link", { name: "bob" }).click();
  await page.getByRole("cell", { name: otherId, exact: true }).waitFor();
  assert.match(await page.getByRole("table", { name: "Connections" }).textContent(), /Socket\.IO/);

  await go(page, "Nodes");
  await there.kill();
  await eventually(async () => (await card(otherId).count()) === 0, "the node is away", 30_000);
  await there.start();
  const newId = await node(there);
  const beside = await enter(t, browser, there, { at: "#/nodes" });
  // So many that closing them takes longer than it takes until the next numbers come.
  const others = await Promise.all(upTo(350).map((n) => peer(t, here, { user: `guest-${n}` })));
  await card(newId).getByText("Ready", { exact: true }).waitFor();
  await button(page, "Drain…").click();
  const dialog = page.getByRole("dialog", { name: "Drain this node?" });
  const [name] = await dialog.getByText("Type").locator("strong").allTextContents();
  const drain = button(dialog, "Drain");
  assert.equal(await drain.isDisabled(), true);
  await dialog.getByLabel("to confirm").fill(name);
  const told = alice.on("draining");
  await drain.click();
  await notice(page, "is draining.");
  const [[{ reconnect_in_ms }]] = await told.count(1);
  assert.ok(reconnect_in_ms >= 0);
  await card(ownId).getByText("Draining", { exact: true }).waitFor();
  await card(ownId, beside).getByText("Draining", { exact: true }).waitFor();
  for (const other of [others[0], others.at(-1)]) await other.frames.until((frames) => frames.find(({ data }) => data?.event === "draining"), "draining");
  await eventually(() => !here.alive(), "the drained node has not ended");
  assert.deepEqual(await here.stop(), { code: 0, signal: null });
  await page.getByText("The server cannot be reached.").waitFor();
});
