// TLS in the server itself: stock clients over it, certificates that change under them, and what OpenSSL finds.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { request } from "node:https";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { MATRIX, open } from "./support/clients.mjs";
import { freePorts } from "./support/ports.mjs";
import { defer, eventually, within } from "./support/scope.mjs";
import { binary, serve, UNLIMITED } from "./support/server.mjs";
import { certificate, makeCertificate } from "./support/tls.mjs";
import { metric } from "./support/web.mjs";

// A server with a certificate of this test's, whose metrics are read without TLS.
async function secure(t, options = {}) {
  const { files, cert } = await certificate(t);
  const [port] = await freePorts(1);
  const internal = `127.0.0.1:${port}`;
  const tls = { "tls-cert": files.cert, "tls-key": files.key, "http-internal-listen": internal };
  const server = await serve(t, { ...UNLIMITED, ...tls, ...options });
  return { server, files, ca: cert, read: (name) => metric({ url: `http://${internal}` }, `switchboard_${name}`) };
}

// A TLS connection; resolves once it is open.
async function dial(t, server, ca, options = {}) {
  const socket = connectTls({ port: server.port, host: "127.0.0.1", ca, ...options });
  defer(t, () => socket.destroy());
  socket.on("error", () => {});
  const opened = once(socket, "secureConnect");
  await within(opened, () => "no TLS");
  return socket;
}

// All that a connection is sent until it ends.
async function everything(socket) {
  let text = "";
  socket.setEncoding("utf8").on("data", (part) => (text += part));
  await within(once(socket, "close"), () => `the connection does not end; it was sent ${text}`);
  return text;
}

test("stock clients talk over TLS by every transport, with binary, and come back after a cut", async (t) => {
  const { server, ca } = await secure(t, { "socketio-relay": "draw" });
  const clients = await Promise.all(MATRIX.map(({ v, mode }) => open(t, server, { v, mode, ca, user: `${mode}${v}` })));
  const received = clients.map((client) => client.on("message"));
  for (const client of clients) await client.ok("join", "lobby");
  for (const [i, client] of clients.entries()) await client.ok("message", { room: "lobby", data: i });
  for (const journal of received) await journal.count(clients.length);
  const drawn = clients.map((client) => client.on("draw"));
  const image = Buffer.alloc(300_000, 7);
  clients[8].socket.emit("draw", { image });
  for (const journal of drawn.slice(0, 8)) {
    const [[{ image: got }]] = await journal.count(1);
    assert.ok(image.equals(Buffer.from(got)), "the same bytes");
  }

  await server.kill();
  await server.start();
  await Promise.all(clients.map((client) => client.session(2)));
  for (const client of clients) await client.ok("join", "lobby");
  await clients[0].ok("message", { room: "lobby", data: "after" });
  for (const journal of received) await eventually(() => journal.items.at(-1)[0].data === "after", "a message after the restart");
});

test("certificates are swapped under 500 live clients: none loses anything, and new ones see the new certificate", async (t) => {
  const { server, files, ca, read } = await secure(t, { "limits-connections-per-user": 0 });
  const clients = [];
  for (let i = 0; i < 500; i += 50) {
    const opened = Array.from({ length: 50 }, (_, k) => open(t, server, { ca, user: `u${i + k}` }));
    clients.push(...(await Promise.all(opened)));
  }
  const received = clients.map((client) => client.on("message"));
  const gone = clients.map((client) => client.on("disconnect"));
  await Promise.all(clients.map((client) => client.ok("join", "lobby")));
  const before = (await dial(t, server, ca)).getPeerX509Certificate().fingerprint256;

  const { cert } = await makeCertificate(files);
  process.kill(server.pid, "SIGHUP");
  await eventually(async () => (await read("tls_reloads_total")) === 1, "the certificate is not read");
  const after = (await dial(t, server, cert)).getPeerX509Certificate().fingerprint256;
  assert.notEqual(after, before);

  await clients[0].ok("message", { room: "lobby", data: "through" });
  for (const journal of received) await journal.count(1);
  for (const journal of gone) assert.deepEqual(journal.items, []);
  const late = await open(t, server, { ca: cert, user: "late", mode: "upgrade" });
  await late.ok("join", "lobby");
  await late.ok("message", { room: "lobby", data: "and on" });
  for (const journal of received) await journal.count(2);

  await makeCertificate({ key: `${files.key}.other`, cert: files.cert });
  process.kill(server.pid, "SIGHUP");
  await eventually(async () => (await read("tls_certificates_refused")) === 1, "the mismatch is not seen");
  assert.match(server.log, /the certificates in force stay: the key in .*key\.pem is not for the certificate in .*cert\.pem/);
  assert.equal((await dial(t, server, cert)).getPeerX509Certificate().fingerprint256, after);
});

test("OpenSSL is given TLS 1.2 and 1.3 with forward secrecy, and nothing older or weaker", async (t) => {
  const { server, files, read } = await secure(t);
  const run = async (...options) => {
    const args = ["s_client", "-connect", `127.0.0.1:${server.port}`, "-CAfile", files.cert, "-brief", ...options];
    const asked = promisify(execFile)("openssl", args, { timeout: 10_000 });
    asked.child.stdin.end("Q\n");
    const { stdout, stderr } = await asked.catch((error) => error);
    return stdout + stderr;
  };
  for (const [option, version] of [["-tls1_2", "TLSv1.2"], ["-tls1_3", "TLSv1.3"]]) {
    const said = await run(option);
    assert.match(said, new RegExp(`Protocol version: ${version.replace(".", "\\.")}`), said);
    assert.match(said, /Ciphersuite: (ECDHE-|TLS_)(.*GCM|.*CHACHA20)/, said);
    assert.match(said, /Verification: OK/, said);
  }
  const weakest = "DEFAULT:@SECLEVEL=0";
  for (const options of [
    ["-tls1", "-cipher", weakest],
    ["-tls1_1", "-cipher", weakest],
    ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"],
    ["-tls1_2", "-cipher", "AES256-GCM-SHA384:@SECLEVEL=0"],
  ]) {
    const said = await run(...options);
    assert.doesNotMatch(said, /CONNECTION ESTABLISHED/, `${options}: ${said}`);
  }
  assert.equal(await read("tls_handshakes_total"), 2);
  assert.equal(await read('tls_handshakes_failed_total{reason="handshake"}'), 4);
  // "R" asks to renegotiate, which servers are attacked with.
  const args = ["s_client", "-connect", `127.0.0.1:${server.port}`, "-tls1_2"];
  const asked = promisify(execFile)("openssl", args, { timeout: 10_000 });
  asked.child.stdin.write("R\n");
  const { stdout, stderr } = await asked.catch((error) => error);
  assert.match(stdout + stderr, /no renegotiation|unexpected message|alert/, stdout + stderr);
  assert.equal((await dial(t, server, undefined, { rejectUnauthorized: false })).authorized, false);
});

test("a client that ends its side has had its answer and is ended in order, and one that is cut off without a word is gone", async (t) => {
  const { server, ca } = await secure(t, { "presence-grace": "50ms" });
  const half = await dial(t, server, ca, { allowHalfOpen: true });
  const broken = [];
  half.on("error", (error) => broken.push(error));
  half.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
  half.once("data", () => half.end());
  assert.match(await everything(half), /^HTTP\/1\.1 200 OK[^]*\{"ok":true\}$/);
  assert.deepEqual(broken, []);

  const ann = await open(t, server, { ca, user: "ann" });
  const left = ann.on("presence");
  await ann.ok("join", "lobby");
  const socket = await dial(t, server, ca);
  socket.write(
    "GET /ws/lobby?user=bob HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n" +
      "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  const about = (what) => left.items.some(([{ event, user }]) => event === what && user === "bob");
  await eventually(() => about("join"), "bob does not come");
  // The TCP connection ends, and TLS has not: as if somebody on the way had cut it.
  socket.destroy();
  await eventually(() => about("leave"), "bob does not go", 30_000);
});

test("an event stream whose reader stands still is ended over TLS, too", async (t) => {
  const { server, ca, read } = await secure(t, { "limits-stall": "1s", "limits-outbox-bytes": "64 KiB" });
  const stalled = await dial(t, server, ca);
  stalled.pause();
  stalled.write("GET /events/lobby?user=bob HTTP/1.1\r\nhost: localhost\r\n\r\n");
  await eventually(async () => (await read("event_streams")) === 1, "the stream does not open");
  const ann = await open(t, server, { ca, user: "ann" });
  await ann.ok("join", "lobby");
  const data = "x".repeat(60_000);
  await eventually(async () => {
    for (let i = 0; i < 20; i += 1) await ann.ok("message", { room: "lobby", data });
    return (await read("event_streams")) === 0;
  }, "the stream stays open", 30_000);
});

test("health and a request without TLS are answered in words", async (t) => {
  const { server, files, read } = await secure(t);
  const options = ["--http-routes=health", "--listen", server.address, "--tls-cert", files.cert, "--tls-key", files.key];
  const health = await promisify(execFile)(binary, ["health", ...options]);
  assert.equal(health.stdout, "ready\n");
  const check = promisify(execFile)(binary, ["config", "--check", `--tls-cert=${files.cert}`, "--tls-key=/nowhere/key.pem"]);
  const refused = await check.catch((error) => error);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /tls\.cert, tls\.key: cannot read \/nowhere\/key\.pem/);
  const plain = await fetch(`http://${server.address}/`);
  assert.equal(plain.status, 400);
  assert.match(await plain.text(), /^This port speaks HTTPS/);
  assert.equal(await read('tls_handshakes_failed_total{reason="not_tls"}'), 1);
  const end = await read(`tls_certificate_not_after_seconds{certificate="${files.cert}"}`);
  assert.match(server.log, /WARN a certificate is about to expire days=1/);
  assert.ok(end > Date.now() / 1000 && end < Date.now() / 1000 + 3 * 86_400, `${end}`);
});

test("a self-signed certificate is for this machine, and for two weeks at most", async (t) => {
  const server = await serve(t, { "tls-self-signed": true });
  const asked = request(`${server.url}/healthz`, { rejectUnauthorized: false, agent: false }).end();
  const [response] = await once(asked, "response");
  assert.equal(response.statusCode, 200);
  const certificate = response.socket.getPeerCertificate();
  response.resume();
  assert.equal(certificate.subjectaltname, "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
  const days = (new Date(certificate.valid_to) - new Date(certificate.valid_from)) / 86_400_000;
  assert.ok(days <= 14, `${days} days`);
});
