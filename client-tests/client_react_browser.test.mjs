// The hooks in Chromium: fifty components on routes that change have one WebSocket and one place in their room.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { launch, openPage, servePages } from "./support/browser.mjs";
import { open, upTo } from "./support/clients.mjs";
import { bundle } from "./support/react.mjs";
import { watch } from "./support/presence.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { metric } from "./support/web.mjs";

for (const version of [18, 19]) {
  test(`React ${version}: one WebSocket for fifty components`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "switchboard-page-"));
    defer(t, () => rm(folder, { recursive: true }));
    await bundle(version, "react_page.mjs", { outfile: join(folder, "page.js"), platform: "browser", format: "esm", external: [] });
    await writeFile(join(folder, "index.html"), '<!doctype html><title>Fifty</title><script type="module" src="page.js"></script>');

    const server = await serve(t);
    const bob = await open(t, server, { user: "bob" });
    await bob.ok("join", "team");
    const presence = watch(bob, "team");
    const page = await openPage(t, await launch(t), "about:blank");
    const sockets = [];
    page.on("websocket", (socket) => sockets.push(socket.url()));
    await page.goto(`${await servePages(t, folder)}/?server=${encodeURIComponent(server.url)}`);

    const all = (text) => eventually(async () => (await page.getByText(text).count()) === 50, `fifty times: ${text}`);
    await all("joined, 2 here, 0 messages");
    for (const n of upTo(4)) {
      await page.getByRole("button").click();
      await bob.ok("message", { room: "team", data: n });
      await all(`joined, 2 here, ${n} messages`);
    }
    assert.equal(sockets.length, 1, sockets.join());
    assert.equal(await metric(server, "switchboard_connections"), 2);
    assert.deepEqual(presence.brief().filter((line) => line.includes("alice")), ["join alice 2"]);
    assert.deepEqual(page.errors, []);
  });
}
