// python-socketio 5, synchronous and asyncio, over every transport; the cases are in python/client.py.

import { execFile } from "node:child_process";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { run } from "./support/programs.mjs";
import { serve } from "./support/server.mjs";
import { SECRET } from "./support/tokens.mjs";
import { call } from "./support/web.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
let python;

// Installed from the registry where that has not been done yet.
before(async () => {
  const { stdout } = await promisify(execFile)(path("../scripts/venv"));
  python = `${stdout.trim()}/bin/python`;
});

const flavours = ["sync", "asyncio"].flatMap((flavour) =>
  ["polling", "websocket", "upgrade"].map((transport) => [flavour, transport]),
);

const RELAY = { "socketio-relay": "draw,größe", "socketio-namespaces": "/,/chat" };
const CASES = {
  connects: "is told its session, and its messages are acknowledged and come back",
  escapes: "sends and hears names and texts that are not ASCII",
  binary: "relays binary both ways",
  namespaces: "speaks in two namespaces",
};

for (const [flavour, transport] of flavours) {
  const client = `a ${flavour} Python client over ${transport}`;
  const start = (t, server, name) => run(t, python, [path("python/client.py"), name, flavour, transport, server.url]);

  for (const [name, what] of Object.entries(CASES)) {
    test(`${client} ${what}`, async (t) => {
      await start(t, await serve(t, RELAY), name).succeeded();
    });
  }

  test(`${client} comes back to a server that was started again, and misses nothing`, async (t) => {
    const server = await serve(t);
    const client = start(t, server, "reconnects");
    await client.ready();
    const body = { data: "while you were away" };
    await call(server, "POST", "/v1/rooms/lobby/messages", { user: "bob", body });
    await server.kill();
    await server.start();
    await client.succeeded();
  });

  test(`${client} is told that its token is refused`, async (t) => {
    await start(t, await serve(t, { "auth-hmac-secret": SECRET }), "refused").succeeded();
  });
}
