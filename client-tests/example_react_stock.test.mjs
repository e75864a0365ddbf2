// examples/react-stock in Chromium: a React app with nothing but socket.io-client, while its server is killed and its network is away.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, openPage } from "./support/browser.mjs";
import { upTo } from "./support/clients.mjs";
import { startExample } from "./support/examples.mjs";
import { network } from "./support/proxy.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { Caller } from "./support/web.mjs";

// The log is asked for again and again until everything is in it.
const POLLED = { "limits-joins-per-second": 0, "limits-user-joins-per-second": 0 };

// The lines that a page shows, the stored ones with their `seq`.
const lines = (page) =>
  page.locator("li").evaluateAll((items) => items.map((item) => [Number(item.dataset.seq ?? 0), item.querySelector("span").textContent]));

async function say(page, text) {
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

const isConnected = (page) => page.locator("output", { hasText: page.user }).waitFor();
const isOffline = (page) => page.locator("output", { hasText: "offline" }).waitFor();

// A page of `user`, and the WebSockets that it has opened to the server; Vite has one of its own.
async function chatter(t, browser, url, user, prepare = async () => {}) {
  const page = await openPage(t, browser, "about:blank");
  page.user = user;
  page.sockets = [];
  page.on("websocket", (socket) => socket.url().includes("/socket.io/") && page.sockets.push(socket));
  await prepare(page);
  await page.goto(`${url}/?user=${user}`);
  await isConnected(page);
  return page;
}

async function log(reader) {
  const { messages } = await reader.get("/v1/rooms/lobby/messages", { limit: 1000 });
  return messages.map(({ seq, data }) => [seq, data.text]);
}

// `n` messages of `reader`, in few requests.
async function write(reader, n, text) {
  const texts = upTo(n).map((i) => `${text} ${i}`);
  for (let i = 0; i < n; i += 100) {
    const request = (text) => ({ method: "POST", path: "/v1/rooms/lobby/messages", body: { data: { text } } });
    const requests = texts.slice(i, i + 100).map(request);
    const { responses } = await reader.ok(200, "POST", "/v1/batch", { body: { requests } });
    assert.ok(responses.every(({ status }) => status === 201), "all are stored");
  }
  return texts;
}

// Waits until the page shows the log as it is stored: in order, each message once, and nothing that is on its way.
async function showsTheLog(page, stored) {
  let shown;
  const complete = async () => JSON.stringify((shown = await lines(page))) === JSON.stringify(stored);
  await eventually(complete, `${page.user} shows the log`).catch(() => assert.deepEqual(shown, stored, page.user));
}

test("a React app with socket.io-client alone", async (t) => {
  // Each part has a server of its own behind this.
  const way = await network(t, { port: 0 });
  const url = await startExample(t, "react-stock", way);
  const browser = await launch(t);
  const begin = async (part, options) => {
    const server = (way.server = await serve(part, { ...POLLED, ...options }));
    return { server, reader: new Caller(server, { user: "carol" }) };
  };

  for (const [how, options] of [
    ["are recovered", {}],
    ["join since what they have, because nothing is recovered", { "recovery-window": 0 }],
  ]) {
    await t.test(`two browsers lose and double nothing over kills and a network that is away: they ${how}`, async (t) => {
      const { server, reader } = await begin(t, options);
      const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => chatter(t, browser, url, user)));
      const said = [];
      const each = async (n) => {
        for (const page of upTo(n).flatMap(() => [alice, bob])) {
          said.push(`${page.user} ${said.length}`);
          await say(page, said.at(-1));
        }
      };

      await each(2);
      for (const page of [alice, bob]) await page.locator("li[data-seq='4']").waitFor();
      // StrictMode has run each effect twice.
      assert.deepEqual([alice, bob].map(({ sockets }) => sockets.length), [1, 1]);
      assert.equal((await reader.get("/v1/rooms/lobby")).connections, 2);

      // These are sent to a server that never reads them.
      server.freeze();
      await each(2);
      await server.kill();
      await isOffline(alice);
      await each(2);
      await server.start();
      // And it dies again with some of these in flight.
      await isConnected(alice);
      await Promise.all([each(4), server.kill()]);
      await server.start();

      await bob.context().setOffline(true);
      await isOffline(bob);
      await each(2);
      said.push(...(await write(reader, 130, "carol")));
      await bob.context().setOffline(false);
      await each(2);

      // A stock client may wait 7.5 seconds before it tries again, and the app ten for an ack.
      const stored = await eventually(async () => {
        const all = await log(reader);
        return all.length >= said.length && all;
      }, "all is stored", 40_000);
      assert.deepEqual(stored.map(([seq]) => seq), upTo(said.length));
      assert.deepEqual(stored.map(([, text]) => text).sort(), said.toSorted());
      for (const page of [alice, bob]) {
        const own = (texts) => texts.filter((text) => text.startsWith(page.user));
        assert.deepEqual(own(stored.map(([, text]) => text)), own(said), `what ${page.user} said is stored in that order`);
        await showsTheLog(page, stored);
        assert.deepEqual(page.errors, []);
        assert.equal(page.sockets.filter((socket) => !socket.isClosed()).length, 1, `${page.user} has one connection`);
      }
    });
  }

  await t.test("a message whose ack was lost is sent again, and is there once", async (t) => {
    const { reader } = await begin(t);
    let links = [];
    let deaf = false;
    const alice = await chatter(t, browser, url, "alice", (page) =>
      page.routeWebSocket(/socket\.io/, (socket) => {
        const server = socket.connectToServer();
        server.onMessage((message) => deaf || socket.send(message));
        links.push(socket, server);
      }),
    );
    await say(alice, "first");
    await alice.locator("li[data-seq='1']").waitFor();
    await eventually(() => links.length > 0, "a WebSocket");
    deaf = true;
    await say(alice, "second");
    await eventually(async () => (await log(reader)).length === 2, "it is stored");
    await alice.getByText("sending").waitFor();
    deaf = false;
    for (const link of links.splice(0)) await link.close();
    await showsTheLog(alice, [[1, "first"], [2, "second"]]);
    await say(alice, "third");
    await showsTheLog(alice, [[1, "first"], [2, "second"], [3, "third"]]);
    assert.equal((await log(reader)).length, 3);
  });

  await t.test("a browser that missed more than the log keeps shows what is left, and goes on behind it", async (t) => {
    const { reader } = await begin(t, { ...UNLIMITED, "recovery-window": 0, "history-messages": 20 });
    const alice = await chatter(t, browser, url, "alice");
    await write(reader, 3, "first");
    await showsTheLog(alice, await log(reader));
    await alice.context().setOffline(true);
    await isOffline(alice);
    await write(reader, 400, "missed");
    await alice.context().setOffline(false);
    await isConnected(alice);
    await say(alice, "here again");
    await alice.locator("li[data-seq='404']").waitFor();
    const shown = await lines(alice);
    assert.deepEqual(shown.at(-1), [404, "here again"]);
    assert.ok(shown.length >= 20 && shown.length <= 120, `${shown.length} lines`);
    assert.deepEqual(shown.map(([seq]) => seq), upTo(404).slice(-shown.length), "without a hole");
  });
});
