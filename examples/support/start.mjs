// Starts an example with everything that it needs, until Ctrl-C: `node ../support/start.mjs [--keys] [--hooks] COMMAND...`, in the example's
// folder.
//
// It installs packages, builds @switchboard/client and starts a server, each if it is missing. The command finds the server's address in
// SWITCHBOARD_URL, and Vite in VITE_SWITCHBOARD_URL. With --keys the server is not open to anybody: AUTH_SECRET and API_KEY have its keys.
// With --hooks the example's backend.mjs runs beside the command: its calls are signed with the file `secret` (HOOK_SECRET_FILE), and API_KEY has
// a key of the server.
//
// SWITCHBOARD_URL (and AUTH_SECRET, API_KEY) name a server that runs already, SWITCHBOARD_BIN a program that is built already.

import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const example = process.cwd();
const children = new Set();
let ending = false;

async function main(args) {
  const first = args.findIndex((arg) => !arg.startsWith("--"));
  const [program, ...rest] = args.slice(first);
  const [withKeys, withHooks] = ["--keys", "--hooks"].map((option) => args.slice(0, first).includes(option));
  buildClient();
  install(example);
  if (withHooks) makeHookSecret();
  const keys = {};
  if (withKeys) keys.AUTH_SECRET = key("AUTH_SECRET");
  if (withKeys || withHooks) keys.API_KEY = key("API_KEY");
  const url = process.env.SWITCHBOARD_URL ?? (await serve(findServer(), keys));
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => end(0));
  const path = [join(example, "node_modules/.bin"), process.env.PATH].join(delimiter);
  const env = { ...process.env, ...keys, PATH: path, SWITCHBOARD_URL: url, VITE_SWITCHBOARD_URL: url };
  const child = start(program, rest, { env, stdio: ["ignore", "inherit", "inherit"] });
  child.on("exit", (code) => ending || end(code ?? 1));
  if (withHooks) runBackEnd(env);
}

const key = (name) => process.env[name] ?? randomBytes(32).toString("hex");

function start(program, args, options) {
  const child = spawn(program, args, options);
  children.add(child);
  child.on("exit", () => children.delete(child));
  child.on("error", ({ message }) => fail(`${program} cannot be started: ${message}`));
  return child;
}

// What calls of hooks are signed with: the server and the back end read it.
function makeHookSecret() {
  const path = process.env.HOOK_SECRET_FILE ?? join(example, "secret");
  if (!existsSync(path)) writeFileSync(path, `whsec_${randomBytes(32).toString("base64")}\n`, { mode: 0o600 });
}

// One that is killed is started again: try it.
function runBackEnd(env) {
  const child = start(process.execPath, ["backend.mjs"], { env, stdio: ["ignore", "inherit", "inherit"] });
  child.on("exit", () => {
    if (ending) return;
    console.log("The back end has ended, and starts again in ten seconds");
    setTimeout(() => ending || runBackEnd(env), 10_000);
  });
}

function end(code) {
  ending = true;
  process.exitCode = code;
  for (const child of children) child.kill();
}

function fail(message) {
  console.error(`\n${message}`);
  for (const child of children) child.kill();
  process.exit(1);
}

// Runs a program to its end.
function run(folder, program, ...args) {
  const { status, error } = spawnSync(program, args, { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) fail(`${[program, ...args].join(" ")}: failed in ${folder}${error ? ` (${error.message})` : ""}`);
}

const changed = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

// The packages of the lock file, unless they are there.
function install(folder) {
  if (changed(join(folder, "node_modules/.package-lock.json")) >= changed(join(folder, "package-lock.json"))) return;
  console.log(`Installing the packages of ${basename(folder)}`);
  run(folder, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error");
}

// Builds @switchboard/client, unless it is built from these sources or the example has no use for it.
function buildClient() {
  const client = join(root, "client");
  const { dependencies } = JSON.parse(readFileSync(join(example, "package.json"), "utf8"));
  if (!dependencies["@switchboard/client"]) return;
  const sources = readdirSync(join(client, "src"), { recursive: true }).map((name) => changed(join(client, "src", name)));
  if (changed(join(client, "dist/esm/index.js")) >= Math.max(...sources)) return;
  install(client);
  console.log("Building @switchboard/client");
  run(client, "npm", "run", "--silent", "build");
}

// A server that is built, or else Cargo builds one.
function findServer() {
  const release = join(root, "target/release/switchboard");
  const found = [process.env.SWITCHBOARD_BIN, release, join(root, "target/debug/switchboard")].find((path) => path && existsSync(path));
  if (found) return found;
  if (spawnSync("cargo", ["--version"]).status !== 0) {
    fail("There is no server yet. Install Rust (https://rustup.rs) and run this again, or set SWITCHBOARD_BIN to a server\n" +
      "that is built, or SWITCHBOARD_URL to one that runs.");
  }
  console.log("Building the server, which takes some minutes the first time");
  run(root, "cargo", "build", "--release", "--locked");
  return release;
}

// Starts a server and resolves to its address. One that is killed is started again at the same address: try it.
async function serve(program, keys, listen = "127.0.0.1:0") {
  const args = ["--listen", listen, "--data", join(root, "data", basename(example)), "--log-filter", "error"];
  const own = {};
  if (keys.AUTH_SECRET) own.SWITCHBOARD_AUTH_HMAC_SECRET = keys.AUTH_SECRET;
  if (keys.API_KEY) own.SWITCHBOARD_AUTH_API_KEYS = keys.API_KEY;
  const child = start(program, args, { env: { ...process.env, ...own }, stdio: ["ignore", "pipe", "inherit"] });
  const address = await new Promise((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const [, found] = text.match(/http:\/\/(127\.0\.0\.1:\d+)/) ?? [];
      if (found) resolve(found);
    });
    child.on("exit", () => ending || fail("The server ended while it started."));
  });
  child.removeAllListeners("exit");
  child.on("exit", () => {
    children.delete(child);
    if (ending) return;
    console.log("The server has ended, and starts again in two seconds");
    setTimeout(() => ending || serve(program, keys, address), 2_000);
  });
  console.log(`The server: http://${address}, process ${child.pid}`);
  return `http://${address}`;
}

await main(process.argv.slice(2));
