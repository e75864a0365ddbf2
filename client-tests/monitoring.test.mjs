// examples/monitoring: what the rules and the dashboard ask for is what the server shows, and a real Prometheus that scrapes a node understands it. Without
// Prometheus the second part is left out.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open } from "./support/clients.mjs";
import { freePorts } from "./support/ports.mjs";
import { defer, eventually, within } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

const example = (name) => fileURLToPath(new URL(`../examples/monitoring/${name}`, import.meta.url));
const skip = spawnSync("prometheus", ["--version"]).status !== 0 && "Prometheus is not installed";

const alerts = await readFile(example("alerts.yaml"), "utf8");
const dashboard = JSON.parse(await readFile(example("dashboard.json"), "utf8"));
// What the dashboard asks, with its variables as Grafana fills them in.
const questions = dashboard.panels.flatMap(({ targets }) =>
  targets.map(({ expr }) => expr.replaceAll("$__rate_interval", "1m").replaceAll(/\$(instance|job)/g, ".+")),
);

test("the rules and the dashboard name metrics and labels that the server has", async () => {
  const text = await readFile(new URL("../docs/metrics.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `((?:switchboard|process)_\w+)` \| (\w+) \| ([^|]*) \|/gm)];
  const known = new Map(rows.map(([, name, , labels]) => [name, [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label)]));
  const scraped = ["instance", "job"];
  for (const asked of [...questions, ...[...alerts.matchAll(/expr: (?:\|\n)?([^]*?)\n {8}(?:for|labels):/g)].map(([, expr]) => expr)]) {
    const names = [...asked.matchAll(/\b(?:switchboard|process)_\w+/g)].map(([name]) => name.replace(/_bucket$/, ""));
    assert.ok(names.length > 0, asked);
    for (const name of names) assert.ok(known.has(name), `${name} of ${asked}`);
    const labels = [...asked.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list]) => list.split(", "));
    const matched = [...asked.matchAll(/(\w+)=~?"/g)].map(([, label]) => label);
    const some = [...scraped, "le", ...names.flatMap((name) => known.get(name))];
    for (const label of [...labels, ...matched]) assert.ok(some.includes(label), `${label} of ${asked}`);
  }
});

test("the rules raise the alerts that their tests expect", { skip }, () => {
  const { status, stdout, stderr } = spawnSync("promtool", ["test", "rules", example("alerts_test.yaml")], { encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
});

test("a Prometheus that scrapes a node takes the rules and answers what the dashboard asks", { skip }, async (t) => {
  const server = await serve(t, { store: "memory" });
  const client = await open(t, server, { user: "ann" });
  await client.ok("join", "lobby");
  await client.ok("message", { room: "lobby", data: "hello" });

  const folder = await mkdtemp(join(tmpdir(), "switchboard-prometheus-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  await copyFile(example("alerts.yaml"), join(folder, "alerts.yaml"));
  const scrape = `global: { scrape_interval: 1s }
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: switchboard
    static_configs: [{ targets: ["${server.address}"] }]
`;
  await writeFile(join(folder, "prometheus.yml"), scrape);
  const [port] = await freePorts(1);
  const flags = [`--web.listen-address=127.0.0.1:${port}`, "--config.file=prometheus.yml", "--storage.tsdb.path=data"];
  const child = spawn("prometheus", flags, { cwd: folder, stdio: "ignore" });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  defer(t, () => {
    child.kill("SIGTERM");
    return within(ended, () => "Prometheus does not end");
  });
  const ask = async (path) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    return response.json();
  };
  const query = (expr) => ask(`query?query=${encodeURIComponent(expr)}`);
  const stored = async () => (await query("switchboard_messages_total").catch(() => null))?.data?.result[0]?.value[1] === "1";
  await eventually(stored, "the message is not counted", 30_000);

  const { data } = await ask("rules");
  assert.equal(data.groups[0].rules.length, alerts.match(/alert:/g).length);
  for (const rule of data.groups[0].rules) assert.equal(rule.lastError ?? "", "", rule.name);
  for (const asked of questions) {
    const { status, error } = await query(asked);
    assert.equal(status, "success", `${asked}: ${error}`);
  }
  const drawn = await Promise.all(questions.slice(0, 5).map(query));
  for (const { data } of drawn) assert.ok(data.result.length > 0, "a question of the dashboard has no answer");
});
