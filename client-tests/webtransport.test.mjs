// Stock socket.io-client over WebTransport, in Chromium, which is the only one here that has it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { launch, openPage } from "./support/browser.mjs";
import { open } from "./support/clients.mjs";
import { freePorts } from "./support/ports.mjs";
import { eventually } from "./support/scope.mjs";
import { binary, serve, UNLIMITED } from "./support/server.mjs";

const SCRIPT = fileURLToPath(new URL("node_modules/sio4/dist/socket.io.js", import.meta.url));
// The system chooses the port: those of other tests are claimed by a UDP socket.
const OPTIONS = { ...UNLIMITED, listen: "127.0.0.1:0", "tls-self-signed": true, webtransport: true, "socketio-relay": "draw" };

// The SHA-256 of the server's certificate, which is how a page trusts it.
async function hashOf(server) {
  const socket = connect({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { raw } = socket.getPeerX509Certificate();
  socket.destroy();
  return [...createHash("sha256").update(raw).digest()];
}

// A page of the server's own with socket.io-client, where `start(user, transports)` makes a client.
async function chatPage(t, browser, server) {
  const page = await openPage(t, browser, `${server.url}/healthz`, { ignoreHTTPSErrors: true });
  await page.addScriptTag({ path: SCRIPT });
  await page.evaluate((hash) => {
    window.start = (user, transports, options = {}) => {
      const serverCertificateHashes = [{ algorithm: "sha-256", value: new Uint8Array(hash) }];
      const transportOptions = { webtransport: { serverCertificateHashes } };
      const socket = io({ transports, transportOptions, auth: { user }, reconnectionDelay: 50, reconnectionDelayMax: 100, ...options });
      window.seen = { messages: [], draws: [], sessions: [], errors: [], reasons: [] };
      socket.on("session", (session) => seen.sessions.push(session));
      socket.on("message", (message) => seen.messages.push(message.data));
      // An image of n bytes has n % 251 in each.
      socket.on("draw", (image) => {
        const bytes = new Uint8Array(image);
        seen.draws.push(bytes.every((byte) => byte === bytes.length % 251) ? bytes.length : "other bytes");
      });
      socket.on("connect_error", (error) => seen.errors.push(String(error)));
      socket.on("disconnect", (reason) => seen.reasons.push(reason));
      window.socket = socket;
    };
    window.transport = () => window.socket.io.engine?.transport?.name;
  }, await hashOf(server));
  return page;
}

const seen = (page) => page.evaluate(() => window.seen);
const join = (page, room) => page.evaluate((room) => socket.emitWithAck("join", room), room);

test("a client connects over WebTransport and sends and receives text and binary of every length", async (t) => {
  const server = await serve(t, OPTIONS);
  const browser = await launch(t, { quic: true });
  const page = await chatPage(t, browser, server);
  await page.evaluate(() => start("ann", ["webtransport"]));
  await eventually(async () => (await seen(page)).sessions.length === 1, "no session", 10_000).catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await seen(page))}\n${server.log}`);
  });
  assert.equal(await page.evaluate(() => transport()), "webtransport");
  assert.equal((await join(page, "lobby")).ok, true);

  const bob = await open(t, server, { user: "bob", rejectUnauthorized: false });
  const [messages, draws] = [bob.on("message"), bob.on("draw")];
  await bob.ok("join", "lobby");
  // Lengths around those where a packet's head grows, and more than a window of flow control.
  const lengths = [1, 60, 125, 126, 1000, 60_000];
  for (const length of lengths) {
    const ack = await page.evaluate((n) => socket.emitWithAck("message", { room: "lobby", data: "x".repeat(n) }), length);
    assert.equal(ack.ok, true, JSON.stringify(ack));
    await bob.ok("message", { room: "lobby", data: "y".repeat(length) });
  }
  await messages.count(2 * lengths.length);
  await eventually(async () => (await seen(page)).messages.length === 2 * lengths.length, "the page misses messages");
  assert.deepEqual((await seen(page)).messages.map((data) => data.length), lengths.flatMap((length) => [length, length]));

  const images = [1, 125, 126, 65_535, 65_536, 600_000];
  for (const length of images) {
    await page.evaluate((n) => socket.emit("draw", new Uint8Array(n).fill(n % 251)), length);
    bob.socket.emit("draw", Buffer.alloc(length, length % 251));
  }
  await draws.count(images.length);
  assert.deepEqual(draws.items.map(([image]) => image.length), images);
  await eventually(async () => (await seen(page)).draws.length === images.length, "the page misses images");
  assert.deepEqual((await seen(page)).draws, images);
});

test("a client that polls is offered WebTransport, upgrades, and recovers over it after a cut", async (t) => {
  const server = await serve(t, OPTIONS);
  const browser = await launch(t, { quic: true });
  const page = await chatPage(t, browser, server);
  await page.evaluate(() => start("ann", ["polling", "webtransport"]));
  await eventually(() => page.evaluate(() => transport() === "webtransport"), "no upgrade");
  assert.equal((await join(page, "lobby")).ok, true);
  const bob = await open(t, server, { user: "bob", rejectUnauthorized: false });
  await bob.ok("join", "lobby");
  await bob.ok("message", { room: "lobby", data: "one" });
  await eventually(async () => (await seen(page)).messages.length === 1, "a message over the upgraded connection");

  // The page's connection is cut; what is sent meanwhile is recovered.
  await page.evaluate(() => socket.io.engine.transport._transport.close());
  await bob.ok("message", { room: "lobby", data: "two" });
  await eventually(async () => (await seen(page)).messages.length === 2, "what was sent during the cut");
  const { sessions } = await seen(page);
  assert.equal(sessions.length, 2);
  assert.equal(await page.evaluate(() => socket.recovered), true);
});

test("a server that stops closes WebTransport with a reason that has clients come back", async (t) => {
  const server = await serve(t, OPTIONS);
  const browser = await launch(t, { quic: true });
  const page = await chatPage(t, browser, server);
  await page.evaluate(() => start("ann", ["webtransport"]));
  await eventually(async () => (await seen(page)).sessions.length === 1, "no session");
  await server.stop();
  await eventually(async () => (await seen(page)).reasons.length === 1, "the client is not closed");
  assert.match((await seen(page)).reasons[0], /^transport (close|error)$/);
});

test("a server whose UDP port is taken says so, and does not start", async (t) => {
  // The port is claimed by a UDP socket.
  const [port] = await freePorts(1);
  const args = ["serve", "--tls-self-signed", "--webtransport", `--listen=127.0.0.1:${port}`, "--store=memory"];
  const ended = await promisify(execFile)(binary, args, { timeout: 15_000 }).catch((error) => error);
  assert.equal(ended.code, 1);
  assert.match(ended.stderr, /cannot listen on 127\.0\.0\.1:\d+ for WebTransport \(UDP\)/);
});

test("WebTransport is offered only where it is served", async (t) => {
  const offered = async (options) => {
    const server = await serve(t, options);
    const browser = await launch(t, { quic: true });
    const page = await openPage(t, browser, `${server.url}/socket.io/?EIO=4&transport=polling`, { ignoreHTTPSErrors: true });
    const body = await page.evaluate(() => document.body.textContent);
    return JSON.parse(body.slice(1)).upgrades;
  };
  assert.deepEqual(await offered(OPTIONS), ["websocket", "webtransport"]);
  assert.deepEqual(await offered({ ...OPTIONS, webtransport: false }), ["websocket"]);
  assert.deepEqual(await offered({ ...OPTIONS, "socketio-transports": "polling" }), []);
});

test("a page that may not connect is refused, and so is every page at another path", async (t) => {
  const server = await serve(t, { ...OPTIONS, "auth-allow-anyone": true });
  const browser = await launch(t, { quic: true });
  const page = await chatPage(t, browser, server);
  const hash = await hashOf(server);
  const dial = (path) =>
    page.evaluate(
      async ([path, hash]) => {
        const serverCertificateHashes = [{ algorithm: "sha-256", value: new Uint8Array(hash) }];
        const session = new WebTransport(location.origin + path, { serverCertificateHashes });
        return session.ready.then(() => "ready", (error) => error.name);
      },
      [path, hash],
    );
  assert.equal(await dial("/socket.io/"), "ready");
  assert.equal(await dial("/healthz"), "WebTransportError");
  assert.equal(await dial("/nowhere"), "WebTransportError");
});
