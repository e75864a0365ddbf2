// examples/cluster as it stands: stock clients behind HAProxy, sticky or by WebSocket only, while a node ends. Without HAProxy
// there is nothing to be tested; scripts/test installs it.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { start, upTo } from "./support/clients.mjs";
import { follow, hears, Speaker } from "./support/follow.mjs";
import { freePorts } from "./support/ports.mjs";
import { pollingSession } from "./support/raw.mjs";
import { defer, Journal, within } from "./support/scope.mjs";
import { binary } from "./support/server.mjs";

const script = fileURLToPath(new URL("../examples/cluster/run", import.meta.url));
const installed = spawnSync("haproxy", ["-v"]).status === 0;
const skip = !installed && "haproxy is not installed";

// The example in a `mode`, with its `nodes` by name.
async function run(t, mode) {
  const [PORT, NODE_A, NODE_B, REDIS_PORT] = await freePorts(4);
  const env = { ...process.env, PORT, NODE_A, NODE_B, REDIS_PORT, BIN: binary };
  const child = spawn(script, [mode], { env, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  const stop = () => {
    child.kill("SIGINT");
    return within(ended, () => "the example does not end", 30_000);
  };
  defer(t, stop);
  let text = "";
  const output = new Journal("output of the example");
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (more) => {
      text += more;
      output.add(more);
    });
  }
  ended.then(() => output.add((text += "(it ended)")));
  await output.until(() => text.includes("Ctrl-C ends all") || text.includes("(it ended)"), "the start", 30_000);
  const found = [...text.matchAll(/(node-\d+)\s+http:\/\/127\.0\.0\.1:(\d+)\s+pid (\d+)/g)];
  const nodes = new Map(found.map(([, name, port, pid]) => [name, { port: Number(port), pid: Number(pid) }]));
  assert.equal(nodes.size, 2, text);
  return { port: PORT, url: `http://127.0.0.1:${PORT}`, nodes, stop };
}

const lives = (pid) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

for (const mode of ["sticky", "websocket"]) {
  for (const signal of ["SIGTERM", "SIGKILL"]) {
    test(`behind HAProxy (${mode}) clients of a node that ends by ${signal} continue on the other one`, { skip }, async (t) => {
      const proxy = await run(t, mode);
      const modes = mode === "sticky" ? ["polling", "websocket", "upgrade"] : ["websocket"];
      const clients = await Promise.all(
        upTo(6).map((i) => follow(t, proxy, { mode: modes[i % modes.length], user: `user${i}`, withCredentials: true })),
      );
      for (const client of clients) await client.ok("join", "lobby");
      assert.equal(new Set(clients.map(({ me }) => me.node)).size, 2, "both nodes have clients");
      const speaker = new Speaker(await follow(t, proxy, { user: "speaker", withCredentials: true }), "lobby");
      await speaker.say(5);
      for (const client of clients) await hears(client, upTo(5));

      const { node } = clients[0].me;
      const stop = speaker.keepOn(t, 10);
      process.kill(proxy.nodes.get(node).pid, signal);
      for (const client of clients.filter(({ me }) => me.node === node)) {
        assert.deepEqual(await client.returns.count(1), [true], client.name);
        await client.session(2);
        assert.notEqual(client.sessions.items[1][0].node, node);
      }
      await stop();
      for (const client of clients) await hears(client, upTo(speaker.said));
      assert.deepEqual(await proxy.stop(), { code: 0, signal: null });
      for (const { pid } of proxy.nodes.values()) assert.ok(!lives(pid), "a node is left");
    });
  }
}

test("behind HAProxy without stickiness a client that polls is refused at once", { skip }, async (t) => {
  const proxy = await run(t, "websocket");
  await assert.rejects(pollingSession(proxy), /answered 400/);
  const client = start(t, proxy, { mode: "polling", reconnection: false });
  const failed = new Promise((resolve) => client.socket.on("connect_error", resolve));
  await within(failed, () => "it was not refused");
});
