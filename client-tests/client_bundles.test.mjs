// Pages that load their client from the server, as Socket.IO's own server has it.

import assert from "node:assert/strict";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { launch, openPage } from "./support/browser.mjs";
import { serve } from "./support/server.mjs";
import { call } from "./support/web.mjs";

const dist = join(dirname(createRequire(import.meta.url).resolve("socket.io-client/package.json")), "dist");

test("the client's bundles are served from node_modules, from a folder or by a redirect; otherwise the page's author is told what to do", async (t) => {
  const files = ["socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js", "socket.io.esm.min.js", "socket.io.js.map"];
  const server = await serve(t);
  for (const file of files) {
    const { status, text } = await call(server, "GET", `/socket.io/${file}`);
    assert.equal(status, 404);
    assert.match(text, /npm install socket\.io-client/);
    assert.match(text, /socketio\.client/);
  }

  const served = async (server) => {
    for (const file of files) {
      const { status, headers, text } = await call(server, "GET", `/socket.io/${file}`);
      assert.equal(status, 200, file);
      if (file.endsWith(".js")) assert.match(headers.get("content-type"), /javascript/);
      assert.equal(text, await readFile(join(dist, file), "utf8"));
      const again = await fetch(`${server.url}/socket.io/${file}`, { headers: { "if-modified-since": headers.get("last-modified") } });
      assert.equal(again.status, 304, "what has not changed is not sent again");
      assert.equal((await call(server, "HEAD", `/socket.io/${file}`)).status, 200);
    }
  };
  // Installed while it runs.
  await mkdir(join(server.folder, "node_modules"));
  await symlink(dirname(dist), join(server.folder, "node_modules", "socket.io-client"));
  await served(server);
  // As the page of a tutorial does.
  const page = await openPage(t, await launch(t), `${server.url}/`);
  await page.addScriptTag({ url: "/socket.io/socket.io.js" });
  const user = await page.evaluate(() => new Promise((resolve) => io({ auth: { user: "alice" } }).on("session", (session) => resolve(session.user))));
  assert.equal(user, "alice");

  await served(await serve(t, { "socketio-client": dist }));

  const elsewhere = await serve(t, { "socketio-client": "https://cdn.example/client/" });
  const sent = await fetch(`${elsewhere.url}/socket.io/socket.io.min.js`, { redirect: "manual" });
  assert.deepEqual([sent.status, sent.headers.get("location")], [302, "https://cdn.example/client/socket.io.min.js"]);
});
