// Dockerfile, compose.yaml, the manifests of Kubernetes and the unit of systemd, as far as they can be checked where nothing runs containers: they are
// valid, what they set are options of the server, and they give it the time to stop that it needs.

import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { defer } from "./support/scope.mjs";
import { binary } from "./support/server.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const SECRET = "a-secret-of-the-tests-that-is-long-enough";
// What the server needs to stop, in seconds: drain.deadline.
const DEADLINE = 25;

let python;
let nodes;
before(async () => {
  const { stdout } = await promisify(execFile)(join(root, "scripts/venv"));
  python = join(stdout.trim(), "bin");
  const read = await promisify(execFile)(join(python, "python"), [join(root, "client-tests/python/deployments.py"), root]);
  nodes = JSON.parse(read.stdout);
});

// `switchboard config --check` with these variables, in an empty folder.
async function check(t, environment) {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  const { status, stdout, stderr } = spawnSync(binary, ["config", "--check"], { cwd: folder, env: environment, encoding: "utf8" });
  return { status, said: stdout + stderr };
}

test("the manifests of Kubernetes are valid", async () => {
  const validated = promisify(execFile)(join(python, "kubernetes-validate"), ["--strict", join(root, "examples/kubernetes/switchboard.yaml")]);
  const { stdout } = await validated.catch((error) => assert.fail(error.stdout + error.stderr));
  assert.equal(stdout.match(/passed/g)?.length, 6, stdout);
});

test("every node is given options that the server has, and the time to stop", async (t) => {
  assert.deepEqual(nodes.map(({ name }) => name), ["compose.yaml node-a", "compose.yaml node-b", "switchboard.yaml switchboard", "Dockerfile"]);
  for (const { name, environment, grace } of nodes) {
    // What comes from elsewhere: a secret, or the name of a pod.
    const values = { SWITCHBOARD_NODE: "pod-7", SWITCHBOARD_AUTH_HMAC_SECRET: SECRET, SWITCHBOARD_REDIS_URL: "redis://redis:6379" };
    const given = Object.entries(environment).map(([key, value]) => [key, value.startsWith("$") ? values[key] : value]);
    const { status, said } = await check(t, { SWITCHBOARD_AUTH_HMAC_SECRET: SECRET, ...Object.fromEntries(given) });
    assert.equal(status, 0, `${name}: ${said}`);
    if (grace !== null) assert.ok(grace > DEADLINE, `${name} may take ${grace} s`);
  }
});

test("a container that is started without a key says what to paste", async (t) => {
  const { environment } = nodes.find(({ name }) => name === "Dockerfile");
  const { status, said } = await check(t, environment);
  assert.equal(status, 2);
  const [line] = said.match(/SWITCHBOARD_AUTH_HMAC_SECRET=\$\(openssl rand -hex 32\)/);
  const pasted = spawnSync("sh", ["-c", `${line}; printf %s "$SWITCHBOARD_AUTH_HMAC_SECRET"`], { encoding: "utf8" }).stdout;
  assert.equal((await check(t, { ...environment, SWITCHBOARD_AUTH_HMAC_SECRET: pasted })).status, 0);
});

const skip = spawnSync("systemd-analyze", ["--version"]).status !== 0 && "systemd is not installed";

test("the unit of systemd is valid and exposes little, and gives the server the time to stop", { skip }, async (t) => {
  const unit = await readFile(join(root, "packaging/debian/switchboard.service"), "utf8");
  const folder = await mkdtemp(join(tmpdir(), "switchboard-unit-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "switchboard.service");
  await writeFile(file, unit.replaceAll("/usr/bin/switchboard", binary));
  const verified = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" });
  assert.equal(verified.stderr.split("\n").filter((line) => line.includes("switchboard")).join("\n"), "");
  const { stdout } = spawnSync("systemd-analyze", ["security", "--offline=yes", file], { encoding: "utf8" });
  assert.ok(Number(stdout.match(/exposure level.*: ([\d.]+)/)[1]) < 2, stdout);
  assert.ok(Number(unit.match(/TimeoutStopSec=(\d+)s/)[1]) > DEADLINE);
});
