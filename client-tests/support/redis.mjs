// Redis as nodes need it: processes of the test's own, that can be killed, frozen, and started again with what they had
// written.

import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePorts } from "./ports.mjs";
import { defer, eventually, within } from "./scope.mjs";

const SLOTS = 16_384;

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

// One Redis.
export async function redis(t) {
  const server = await launch(t);
  await server.ready();
  return server;
}

// A Redis Cluster of three masters without replicas: what one of them holds is away while it is.
export async function redisCluster(t) {
  const clustered = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"];
  const masters = [];
  for (let i = 0; i < 3; i += 1) masters.push(await launch(t, clustered));
  const [first, ...others] = masters;
  for (const [i, master] of masters.entries()) {
    const edge = (n) => Math.floor((SLOTS * n) / masters.length);
    await master.cli("CLUSTER", "ADDSLOTSRANGE", edge(i), edge(i + 1) - 1);
    await master.cli("CLUSTER", "SET-CONFIG-EPOCH", i + 1);
  }
  // Handshakes that take longer than the node timeout are given up.
  const meet = async (ms) => {
    for (const { port, bus } of others) await first.cli("CLUSTER", "MEET", "127.0.0.1", port, bus);
    for (const master of masters) await eventually(() => knows(master, masters.length), "the masters do not know each other", ms);
  };
  await meet(4_000).catch(() => meet(15_000));
  for (const master of masters) await master.ready();
  return { masters, url: masters.map((master) => master.url).join(",") };
}

// Whether a master has heard of all `n`, and of their slots: its state is ok before.
async function knows(master, n) {
  const info = await master.ask("CLUSTER", "INFO");
  return [`cluster_known_nodes:${n}`, `cluster_slots_assigned:${SLOTS}`].every((line) => info.includes(line));
}

// The channels that somebody listens to, over all masters.
export async function channels({ masters }) {
  const asked = masters.flatMap((master) => ["CHANNELS", "SHARDCHANNELS"].map((which) => master.cli("PUBSUB", which)));
  return (await Promise.all(asked)).flatMap((lines) => lines.split("\n")).filter((name) => name !== "");
}

// A process on ports of its own.
async function launch(t, settings = []) {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-redis-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  const [port, bus] = await freePorts(2);
  const server = new Redis(port, bus, folder, settings);
  defer(t, () => server.kill());
  await server.launch();
  return server;
}

class Redis {
  #child;
  #exited;

  constructor(port, bus, folder, settings) {
    this.port = port;
    this.bus = bus;
    this.folder = folder;
    this.clustered = settings.length > 0;
    // What was acknowledged has to survive a kill of the process: so it is written before, but need not be on the disk, whose
    // flushes would wait for those of every other test.
    const kept = ["--appendonly", "yes", "--appendfsync", "no", "--save", ""];
    const own = this.clustered ? ["--cluster-port", bus, "--cluster-config-file", "nodes.conf"] : [];
    this.args = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, ...kept, ...settings, ...own].map(String);
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  get masters() {
    return [this];
  }

  // Starts the process, and waits until it answers.
  async launch() {
    const child = spawn("redis-server", this.args, { stdio: "ignore" });
    running.add(child);
    this.#child = child;
    this.#exited = new Promise((resolve, reject) => {
      child.once("exit", resolve);
      child.once("error", reject);
    }).finally(() => running.delete(child));
    const ended = this.#exited.then(() => {
      throw new Error("Redis ended while it was started");
    });
    ended.catch(() => {});
    const answers = async () => (await this.ask("PING")).startsWith("PONG");
    await Promise.race([ended, eventually(answers, "Redis does not answer")]);
  }

  // Starts it again with what it had written.
  async restart() {
    await this.launch();
    await this.ready();
  }

  // Waits until it takes commands.
  async ready() {
    if (!this.clustered) return;
    const well = async () => (await this.ask("CLUSTER", "INFO")).includes("cluster_state:ok");
    await eventually(well, "the Cluster does not come up", 30_000);
  }

  // SIGKILL, without a word to anybody.
  async kill() {
    this.#child.kill("SIGKILL");
    await within(this.#exited, () => "Redis did not end after SIGKILL");
  }

  // It keeps its connections, takes new ones, and answers nobody.
  freeze() {
    this.#child.kill("SIGSTOP");
  }

  thaw() {
    this.#child.kill("SIGCONT");
  }

  // What redis-cli prints for a command, which has to succeed.
  async cli(...command) {
    const args = ["-p", this.port, "-e", ...command].map(String);
    return (await promisify(execFile)("redis-cli", args, { timeout: 5_000 })).stdout;
  }

  // What redis-cli prints, or nothing if it is not answered.
  ask(...command) {
    return this.cli(...command).catch(() => "");
  }
}
