// Web pages and proxies: which pages may connect, which of their credentials count, and whom a proxy's request is counted for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { http, rawClient } from "./support/raw.mjs";
import { open, refusal, start } from "./support/clients.mjs";
import { eventually } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { SECRET, sign } from "./support/tokens.mjs";
import { Peer } from "./support/websocket.mjs";

const KEYED = { "auth-hmac-secret": SECRET, "auth-cookie": "session" };
const token = sign({ sub: "alice" });
const cookie = `session=${token}`;
const from = (origin, headers) => ({ extraHeaders: { origin, ...headers } });

test("a page of an unlisted origin connects with a token of its own, and not by the cookie that its browser adds", async (t) => {
  const server = await serve(t, KEYED);
  for (const origin of ["https://evil.example", "http://localhost", "null", "capacitor://localhost"]) {
    assert.equal((await open(t, server, { token, ...from(origin) })).me.user, "alice", origin);
    const refused = await refusal(start(t, server, { ...from(origin, { cookie }), reconnection: false }));
    assert.equal(refused.message, "unauthorized", origin);
  }
  const own = from(server.url, { cookie });
  assert.equal((await open(t, server, own)).me.user, "alice");
  const plain = (headers, query) => new Peer(t, server, { headers: { origin: "https://evil.example", ...headers }, query });
  await plain({}, { token }).next("system connected");
  const { status, body } = await plain({ cookie, authorization: `Bearer ${token}` }).ended();
  assert.equal(status, 401);
  assert.match(body.message, /http\.origins/);
});

test("only a trusted proxy says by which host a page reaches the server", async (t) => {
  const said = { "x-forwarded-host": "chat.example", "x-forwarded-proto": "https" };
  const page = (headers) => ({ ...from("https://chat.example", { cookie, ...headers }), reconnection: false });
  const trusting = await serve(t, { ...KEYED, "http-trusted-proxies": "127.0.0.1" });
  for (const headers of [
    said,
    { forwarded: 'for=203.0.113.7;host="chat.example";proto=https' },
    { host: "chat.example" },
    { host: "CHAT.example.:443" },
  ]) {
    // A client on Node names the host itself when it polls.
    for (const mode of headers.host === undefined ? ["websocket", "polling"] : ["websocket"]) {
      const client = await open(t, trusting, { mode, ...page(headers) });
      assert.equal(client.me.user, "alice", JSON.stringify(headers));
    }
  }
  const refused = { ...page(said) };
  refused.extraHeaders.origin = "http://chat.example";
  assert.equal((await refusal(start(t, trusting, refused))).message, "unauthorized", "a page that came without TLS");
  const strict = await serve(t, KEYED);
  assert.equal((await refusal(start(t, strict, page(said)))).message, "unauthorized");
});

test("a page that is refused is told which origin and host were seen, and the log says so once", async (t) => {
  const server = await serve(t);
  const ask = (origin) => http(server, "/socket.io/?EIO=4&transport=polling", { headers: { origin } });
  for (let i = 0; i < 3; i += 1) {
    const { status, body } = await ask("https://evil.example");
    assert.equal(status, 403);
    const { code, message } = JSON.parse(body);
    assert.equal(code, "forbidden");
    for (const part of ["https://evil.example", server.address, "http.origins"]) assert.ok(message.includes(part), message);
  }
  await eventually(() => server.log.includes("https://evil.example"), "the refusal was not logged");
  assert.equal(server.log.split("https://evil.example").length - 1, 1);
  for (const origin of ["http://localhost", "http://127.0.0.1:5173", "http://[::1]"]) {
    assert.equal((await ask(origin)).status, 200, origin);
  }
});

test("an application's page of any scheme may connect once it is listed", async (t) => {
  const server = await serve(t, { "http-origins": "file://, null, capacitor://localhost, https://*.example" });
  for (const origin of ["file://", "null", "capacitor://localhost", "https://app.example"]) {
    await open(t, server, { user: "alice", ...from(origin) });
  }
  const { status } = await new Peer(t, server, { headers: { origin: "ionic://localhost" } }).ended();
  assert.equal(status, 403);
});

test("a client behind a proxy counts once, however the proxy writes its address", async (t) => {
  const server = await serve(t, { "http-trusted-proxies": "127.0.0.1", "limits-connections-per-ip": 1 });
  const handshake = (headers) => http(server, "/socket.io/?EIO=4&transport=polling", { headers });
  for (const [name, first, again] of [
    ["x-forwarded-for", "203.0.113.1", "203.0.113.1:5123"],
    ["x-forwarded-for", "[2001:db8::1]:443", "2001:db8::1"],
    ["x-forwarded-for", "::ffff:203.0.113.2", "203.0.113.2, unknown"],
    ["forwarded", 'for="203.0.113.3:80";proto=https', "for=6.6.6.6, for=203.0.113.3"],
  ]) {
    await rawClient(t, server, {}, { headers: { [name]: first } });
    assert.equal((await handshake({ [name]: again })).status, 503, again);
  }
  assert.equal(server.log.includes("counted as one"), false);
  await rawClient(t, server, {}, { headers: { "x-forwarded-for": "unknown" } });
  await eventually(() => server.log.includes("counted as one"), "nothing was said of a proxy that hides its clients");
});
