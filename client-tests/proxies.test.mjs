// The configurations of examples/proxies as they stand, but for addresses, names and certificates: two nodes behind each proxy. Whatever is not
// installed is left out; scripts/test installs what Debian has.

import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import WebSocket from "ws";
import { open, upTo } from "./support/clients.mjs";
import { nodes } from "./support/nodes.mjs";
import { freePorts } from "./support/ports.mjs";
import { redis } from "./support/redis.mjs";
import { defer, eventually, Journal, within } from "./support/scope.mjs";
import { binary } from "./support/server.mjs";
import { certificate } from "./support/tls.mjs";

const ADMIN_KEY = "the-key-of-the-tests-operators";
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

const nginx = {
  argv: (file, folder) => ["nginx", "-c", file, "-p", folder, "-g", `daemon off; error_log stderr warn; pid ${folder}/pid;`],
  is: () => spawnSync("nginx", ["-v"]).status === 0,
};
const haproxy = {
  argv: (file) => ["haproxy", "-f", file, "-db"],
  is: () => spawnSync("haproxy", ["-v"]).status === 0,
};
const caddy = {
  argv: (file) => ["caddy", "run", "--config", file, "--adapter", "caddyfile"],
  is: () => spawnSync("caddy", ["version"]).status === 0,
};

// `tcp`: the nodes have TLS themselves and read the PROXY protocol. `adapt` changes what only a test needs otherwise.
const PROXIES = [
  {
    file: "nginx.conf",
    program: nginx,
    adapt: (text, { folder, port }) =>
      text
        .replace(/^( +listen) 443/m, `$1 127.0.0.1:${port}`)
        .replace("http {", `http {\n${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((part) => `${part}_temp_path ${folder}/${part};`).join("\n")}\naccess_log off;`),
  },
  { file: "haproxy.cfg", program: haproxy, adapt: (text, { port }) => text.replace("bind :443", `bind 127.0.0.1:${port}`) },
  {
    file: "Caddyfile",
    program: caddy,
    adapt: (text, { port }) => `{\n\tadmin off\n\tauto_https disable_redirects\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n${text.replace(":443 {", `:${port} {\n\tbind 127.0.0.1`)}`,
  },
  {
    file: "nginx-tcp.conf",
    program: { ...nginx, is: () => nginx.is() && existsSync(STREAM_MODULE) },
    tcp: true,
    adapt: (text, { port }) => text.replace("listen 443", `listen 127.0.0.1:${port}`),
  },
  { file: "haproxy-tcp.cfg", program: haproxy, tcp: true, adapt: (text, { port }) => text.replace("bind :443", `bind 127.0.0.1:${port}`) },
];

// Two nodes behind a proxy: `{ url, port, ca, nodes }`.
async function behind(t, { file, program, tcp, adapt }) {
  const { files, cert, key } = await certificate(t);
  const options = { "http-trusted-proxies": "127.0.0.1", "auth-admin-key": ADMIN_KEY, "limits-logins-per-minute": 2 };
  if (tcp) Object.assign(options, { "http-proxy-protocol": true, "tls-cert": files.cert, "tls-key": files.key });
  const running = await nodes(t, await redis(t), 2, options);

  const folder = await mkdtemp(join(tmpdir(), "switchboard-proxy-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "haproxy.pem"), Buffer.concat([cert, key]));
  const [port] = await freePorts(1);
  const text = await readFile(new URL(`../examples/proxies/${file}`, import.meta.url), "utf8");
  const configured = adapt(text, { folder, port })
    .replaceAll("/etc/ssl/chat.example/haproxy.pem", join(folder, "haproxy.pem"))
    .replaceAll("/etc/ssl/chat.example/fullchain.pem", files.cert)
    .replaceAll("/etc/ssl/chat.example/privkey.pem", files.key)
    .replaceAll("chat.example", "127.0.0.1")
    .replaceAll("127.0.0.1:3001", running[0].address)
    .replaceAll("127.0.0.1:3002", running[1].address);
  await writeFile(join(folder, file), configured);

  const [command, ...args] = program.argv(join(folder, file), folder);
  const child = spawn(command, args, { cwd: folder, env: { ...process.env, HOME: folder }, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  defer(t, () => {
    child.kill("SIGTERM");
    // HAProxy and Caddy wait for open connections.
    setTimeout(() => child.kill("SIGKILL"), 1_000).unref();
    return within(ended, () => "the proxy does not end");
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (more) => (said += more));
  const way = { url: `https://127.0.0.1:${port}`, port, ca: cert, nodes: running };
  let last;
  const isReady = async () => (last = await ask(way, "GET", "/readyz").catch((error) => error)).status === 200;
  await eventually(isReady, "the proxy does not lead to the nodes").catch((error) => assert.fail(`${error.message}: ${last.status ?? last}\n${said}`));
  return way;
}

// A client's own address: this machine has many.
const from = ({ ca }, last) => new Agent({ ca, localAddress: `127.0.0.${last}` });

// One request by HTTP/1.1, from the address that ends with `last`.
async function ask(way, method, path, { last = 2, headers = {}, body = "" } = {}) {
  const response = await new Promise((resolve, reject) => {
    const asked = request(way.url + path, { method, agent: from(way, last), headers: { ...headers, "content-length": body.length } }, resolve);
    asked.on("error", reject).end(body);
  });
  let text = "";
  for await (const part of response.setEncoding("utf8")) text += part;
  return { status: response.statusCode, headers: response.headers, text };
}

for (const proxy of PROXIES) {
  const skip = !proxy.program.is() && "it is not installed";

  test(`behind ${proxy.file} stock clients speak over polling, WebSocket and both, at both nodes`, { skip }, async (t) => {
    const way = await behind(t, proxy);
    const modes = ["polling", "websocket", "upgrade"];
    const joined = upTo(9).map(async (i) => {
      const options = { mode: modes[i % 3], user: `user${i}`, withCredentials: true, agent: from(way, 10 + i) };
      const client = await open(t, way, options);
      client.heard = client.on("message");
      await client.ok("join", "lobby");
      return client;
    });
    const clients = await Promise.all(joined);
    const met = await Promise.all(clients.map((client) => client.session()));
    assert.equal(new Set(met.map(({ node }) => node)).size, 2, "both nodes have clients");
    for (const client of clients) await client.ok("message", { room: "lobby", data: "hello" });
    for (const { heard } of clients) assert.equal((await heard.count(9)).length, 9);
  });

  test(`behind ${proxy.file} events arrive when they happen, over HTTP/2 and plain WebSockets`, { skip }, async (t) => {
    const way = await behind(t, proxy);
    const session = connectHttp2(way.url, { ca: way.ca });
    defer(t, () => session.destroy());
    const stream = session.request({ ":path": "/events/lobby?user=reader" });
    let text = "";
    const read = new Journal("what a stream has told");
    stream.setEncoding("utf8").on("data", (more) => read.add((text += more)));
    await read.until(() => text.includes("event: session"), "the session");
    assert.equal(session.alpnProtocol, "h2");

    const socket = new WebSocket(`wss://127.0.0.1:${way.port}/ws/lobby?user=plain`, { ca: way.ca });
    defer(t, () => socket.terminate());
    const frames = new Journal("frames");
    socket.on("message", (data) => frames.add(data.toString()));
    await frames.until((items) => items.some((frame) => frame.includes('"connected"')), "the connection");
    socket.send(JSON.stringify({ type: "text", data: "at once" }));
    await frames.until((items) => items.some((frame) => frame.includes("at once")), "the message");
    await read.until(() => text.includes("at once"), "the message");
  });

  test(`behind ${proxy.file} a client counts for its own address, whatever it says`, { skip }, async (t) => {
    const way = await behind(t, proxy);
    let cookie;
    const logIn = async (last, key, more = {}) => {
      const headers = { "content-type": "application/json", ...(cookie ? { cookie } : {}), ...more };
      const answer = await ask(way, "POST", "/admin/session", { last, headers, body: JSON.stringify({ key }) });
      // All of these requests go to one node.
      cookie ??= answer.headers["set-cookie"]?.map((each) => each.split(";")[0]).join("; ");
      return answer;
    };
    const wrong = async (...args) => (await logIn(...args)).status;
    const forged = { "x-forwarded-for": "127.0.0.99", forwarded: "for=127.0.0.99" };
    assert.equal(await wrong(50, "a-wrong-key-of-an-attacker"), 401);
    assert.equal(await wrong(50, "a-wrong-key-of-an-attacker", forged), 401);
    assert.equal(await wrong(50, "a-wrong-key-of-an-attacker"), 429);
    assert.equal(await wrong(50, "a-wrong-key-of-an-attacker", forged), 429);
    assert.equal(await wrong(51, "a-wrong-key-of-an-attacker"), 401);
    const { status, headers } = await logIn(52, ADMIN_KEY);
    assert.equal(status, 204);
    assert.match(headers["set-cookie"].join("\n"), /switchboard.*; Secure/i);
    for (const node of way.nodes) assert.doesNotMatch(node.log, /sends no readable|does not begin with/);
  });
}

test("the health of a node that reads the PROXY protocol is asked with its header", async (t) => {
  const [node] = await nodes(t, await redis(t), 1, { "http-trusted-proxies": "127.0.0.1", "http-proxy-protocol": true });
  const health = (...more) => promisify(execFile)(binary, ["health", `--listen=${node.address}`, ...more]).catch((error) => error);
  const ready = await health("--http-trusted-proxies=127.0.0.1", "--http-proxy-protocol");
  assert.equal(ready.stdout, "ready\n");
  assert.equal((await health()).code, 1);
  await eventually(() => node.log.includes("does not begin with a PROXY header: have the proxy send it"), "the log does not say why");
});
