// React with Testing Library in jsdom, in each version that the hooks support, and what tests of the hooks have in common.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { JSDOM } from "jsdom";
import { defer, eventually } from "./scope.mjs";

export const VERSIONS = [18, 19];

const here = fileURLToPath(new URL("..", import.meta.url));
const dist = fileURLToPath(new URL("../../client/dist/esm", import.meta.url));
const cache = `${here}node_modules/.cache/`;
const require = createRequire(import.meta.url);

// A browser's globals. Node's own are kept where it has them, as the client uses them in both.
const { window } = new JSDOM("<!doctype html><body></body>", { url: "http://127.0.0.1", pretendToBeVisual: true });
for (const name of ["window", "document", "navigator", "HTMLElement", "HTMLIFrameElement", "Element", "Node", "MutationObserver"]) {
  globalThis[name] ??= window[name];
}

// Bundles a file of this folder with one version of React, which the hooks then have, too.
export function bundle(version, file, options) {
  return build({
    entryPoints: [`${here}support/${file}`],
    bundle: true,
    logLevel: "error",
    absWorkingDir: here,
    define: { "process.env.NODE_ENV": '"development"' },
    alias: {
      react: version === 18 ? "react18" : "react",
      "react-dom": version === 18 ? "react-dom18" : "react-dom",
      "socket.io-client": "socket.io-client",
      "@switchboard/client/react": `${dist}/react/index.js`,
      "@switchboard/client": `${dist}/index.js`,
    },
    ...options,
  });
}

// The bundle is inside this folder, so that it finds socket.io-client.
async function load(version) {
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(`${cache}react-`);
  const outfile = `${folder}/entry.cjs`;
  await bundle(version, "react_entry.mjs", { outfile, platform: "node", format: "cjs", external: ["socket.io-client"] });
  const loaded = require(outfile);
  await rm(folder, { recursive: true });
  return loaded;
}

export const reacts = new Map();
for (const version of VERSIONS) reacts.set(version, await load(version));

// The Socket that the bundles use: counts what is emitted under a name while the test `t` runs.
export function countEmits(t, name) {
  const { Socket } = require("socket.io-client");
  const { emit } = Socket.prototype;
  const counter = { count: 0, rooms: [] };
  Socket.prototype.emit = function (event, ...args) {
    if (event === name) {
      counter.count += 1;
      counter.rooms.push(args[0]?.room);
    }
    return emit.call(this, event, ...args);
  };
  defer(t, () => (Socket.prototype.emit = emit));
  return counter;
}

// Renders `ui` under StrictMode for the test `t`; `update(ui)` renders again.
export function mount(t, { React, testing }, ui) {
  const strict = (child) => React.createElement(React.StrictMode, null, child);
  const view = testing.render(strict(ui));
  defer(t, () => view.unmount());
  return { ...view, update: (next) => view.rerender(strict(next)) };
}

// A client of the library for the test `t`, to be somebody else.
export function clientOf(t, { createClient }, server, user, options = {}) {
  const client = createClient(server.url, { auth: { user }, reconnect: { minDelay: 50, maxDelay: 200 }, ...options });
  defer(t, () => client.close());
  return client;
}

// A room that stays joined, once it is.
export async function joined(t, client, name) {
  const room = client.room(name);
  defer(t, room.subscribe(() => {}));
  await eventually(() => room.getSnapshot().status === "joined", `${name} was not joined: ${JSON.stringify(room.getSnapshot().error)}`);
  return room;
}
