// Runs the real binary (SWITCHBOARD_BIN) on a port and with a data folder of its own.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "./ports.mjs";
import { defer, within } from "./scope.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
// The server that is tested.
export const binary = resolve(here, process.env.SWITCHBOARD_BIN ?? "../target/debug/switchboard");

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

// An example that `cargo build --examples` has put beside the server.
export const example = (name) => join(dirname(binary), "examples", name);

// Options for tests that send as fast as they can.
export const UNLIMITED = {
  "limits-messages-per-second": 0,
  "limits-user-messages-per-second": 0,
  "limits-joins-per-second": 0,
  "limits-inbox": 8192,
};

// A server for the test `t`; `options` are flags without their dashes. Another `program` is given them as variables.
export async function serve(t, options = {}, program = binary) {
  if (!existsSync(program)) throw new Error(`no program at ${program}: cargo build --bins --examples, or set SWITCHBOARD_BIN`);
  const server = new Server(options, await mkdtemp(join(tmpdir(), "switchboard-")), program);
  defer(t, () => server.close());
  await server.start();
  return server;
}

export class Server {
  #child;
  #log = "";
  #expected = false;
  #exited;

  constructor(options, folder, program = binary) {
    this.options = options;
    this.folder = folder;
    this.program = program;
    this.address = undefined;
  }

  get url() {
    const tls = "tls-cert" in this.options || "tls-self-signed" in this.options;
    return `${tls ? "https" : "http"}://${this.address}`;
  }

  get port() {
    return Number(this.address.split(":")[1]);
  }

  get pid() {
    return this.#child.pid;
  }

  // Starts it, on the port it had before if it was running before.
  async start() {
    this.address ??= `127.0.0.1:${await freePorts(1)}`;
    const flags = { listen: this.address, data: join(this.folder, "data"), store: "sqlite", ...this.options };
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SWITCHBOARD_")));
    const args = [];
    for (const [name, value] of Object.entries(flags)) {
      if (this.program === binary) args.push(`--${name}=${value}`);
      else env[`SWITCHBOARD_${name.replaceAll("-", "_").toUpperCase()}`] = String(value);
    }
    const child = spawn(this.program, args, { cwd: this.folder, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    this.#expected = false;
    running.add(child);

    this.#exited = new Promise((resolve) => {
      child.on("error", (error) => resolve({ error }));
      child.on("exit", (code, signal) => resolve({ code, signal }));
    }).finally(() => running.delete(child));
    const record = (text) => {
      this.#log = (this.#log + text).slice(-200_000);
    };
    child.stderr.setEncoding("utf8").on("data", record);

    let output = "";
    const announced = new Promise((resolve) => {
      child.stdout.setEncoding("utf8").on("data", (text) => {
        record(text);
        if (output.length > 20_000) return;
        output += text;
        const found = output.match(/https?:\/\/(127\.0\.0\.1:\d+)/);
        if (found) resolve(found[1]);
      });
    });
    const died = this.#exited.then((how) => {
      throw new Error(`the server ended while starting: ${JSON.stringify(how)}\n${this.#log}`);
    });
    died.catch(() => {});
    this.address = await within(
      Promise.race([announced, died]),
      () => `the server did not announce an address\n${this.#log}`,
    );
  }

  // SIGTERM; resolves to `{ code, signal }` once it has ended.
  async stop(ms = 20_000) {
    this.#expected = true;
    this.#child.kill("SIGTERM");
    return within(this.#exited, () => `the server did not end after SIGTERM\n${this.#log}`, ms);
  }

  // SIGKILL, without a word to anybody.
  async kill() {
    this.#expected = true;
    this.#child.kill("SIGKILL");
    return within(this.#exited, () => "the server did not end after SIGKILL");
  }

  // It stops where it is: the system keeps its connections, and nobody is answered.
  freeze() {
    this.#child.kill("SIGSTOP");
  }

  thaw() {
    this.#child.kill("SIGCONT");
  }

  alive() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  // Resident memory, in MiB.
  async memory() {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(status.match(/VmRSS:\s+(\d+) kB/)[1]) / 1024;
  }

  // Ends it at the end of a test, and fails the test if it had ended by itself or panicked.
  async close() {
    const ended = this.alive() ? null : await this.#exited;
    if (!ended) await this.kill();
    await rm(this.folder, { recursive: true, force: true });
    if (ended && !this.#expected) {
      throw new Error(`the server ended by itself: ${JSON.stringify(ended)}\n${this.#log}`);
    }
    if (this.#log.includes("panicked at")) throw new Error(`the server panicked:\n${this.#log}`);
  }

  get log() {
    return this.#log;
  }
}
