// A namespace that is left and entered again at once, as by a component that unmounts and mounts: every CONNECT is answered.

import assert from "node:assert/strict";
import { test } from "node:test";
import { manager } from "./support/clients.mjs";
import { Raw, rawClient } from "./support/raw.mjs";
import { eventually, within } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";

const ROOMY = { ...UNLIMITED, "socketio-namespaces": "/,/chat,/news" };

// What the server warns of, but for a machine that allows few open files.
const complaints = ({ log }) => log.split("\n").filter((line) => / (WARN|ERROR) /.test(line) && !line.includes("fewer open files"));

// Leaves and enters `client`'s namespace so often, back to back.
async function rounds(client, number) {
  const { socket } = client;
  for (let round = 0; round < number; round += 1) {
    if (round % 3 === 0) socket.emit("join", "lobby");
    socket.disconnect();
    socket.connect();
    const connected = socket.connected ? undefined : new Promise((resolve) => socket.once("connect", resolve));
    await within(connected, () => `round ${round}: CONNECT was not answered`, 5000);
  }
}

for (const mode of ["websocket", "polling"]) {
  test(`every CONNECT right after a DISCONNECT gets a reply, over ${mode}`, async (t) => {
    const server = await serve(t, ROOMY);
    const namespace = manager(t, server, { mode });
    const [root, chat] = [namespace("/"), namespace("/chat")];
    await Promise.all([root.session(), chat.session()]);
    const drops = root.on("disconnect");
    await rounds(chat, mode === "websocket" ? 500 : 100);
    assert.deepEqual(drops.items, [], "the other namespace stays");
    await root.ok("join", "lobby");
    await chat.ok("join", "lobby");
    assert.deepEqual(complaints(server), []);
  });
}

test("every CONNECT gets a reply in many connections at once", async (t) => {
  const server = await serve(t, ROOMY);
  const clients = Array.from({ length: 20 }, (_, i) => {
    const namespace = manager(t, server, { mode: i % 4 === 0 ? "polling" : "websocket", v: i % 2 === 0 ? 4 : 3 });
    return [namespace("/"), namespace("/chat")];
  });
  await Promise.all(
    clients.map(async ([root, chat]) => {
      await Promise.all([root.session(), chat.session()]);
      await rounds(chat, 25);
    }),
  );
  assert.deepEqual(complaints(server), []);
});

test("two namespaces that are left and entered again as soon as they are connected stay with their client", async (t) => {
  const server = await serve(t, ROOMY);
  for (const mode of ["websocket", "polling"]) {
    for (let round = 0; round < 30; round += 1) {
      const namespace = manager(t, server, { mode });
      const clients = [namespace("/chat"), namespace("/news")];
      await Promise.all(
        clients.map(async (client) => {
          for (const socket = client.socket, once = { left: 2 }; once.left > 0; once.left -= 1) {
            await within(new Promise((resolve) => socket.once("connect", resolve)), () => `${mode}, round ${round}: no connect`);
            socket.disconnect();
            socket.connect();
          }
          await within(new Promise((resolve) => client.socket.once("connect", resolve)), () => `${mode}, round ${round}: no last connect`);
          await client.ok("join", "lobby");
        }),
      );
      for (const client of clients) client.close();
    }
  }
});

test("an event after a DISCONNECT is dropped and closes nothing", async (t) => {
  const server = await serve(t, ROOMY);
  const raw = await rawClient(t, server);
  raw.send("40/chat,{}");
  await raw.frame("40/chat,");
  for (const packet of ["41/chat,", '42/chat,["late",1]', "41/chat,", '43/chat,5[]', '451-/chat,["late"]']) raw.send(packet);
  raw.send(Buffer.from([1]));
  raw.send('421["join","lobby"]');
  assert.match(await raw.frame("431["), /"ok":true/);
});

test("a client that sends CONNECT again while its recovery is being decided keeps its session", async (t) => {
  const server = await serve(t, ROOMY);
  const first = await rawClient(t, server);
  const { pid } = first;
  first.send('421["join","lobby"]');
  await first.frame("431["); // its session is stored
  for (let round = 0; round < 10; round += 1) {
    const raw = new Raw(t, server);
    await raw.frame("0{");
    for (let times = 0; times < 3; times += 1) raw.send(`40${JSON.stringify({ pid })}`);
    const answer = await raw.frame("4");
    assert.equal(JSON.parse(answer.slice(2)).pid, pid, `round ${round}: ${answer}`);
  }
});

test("a namespace that is left before its client was let in holds up no other", async (t) => {
  const server = await serve(t, { ...ROOMY, "limits-connections-per-user": 1 });
  const raw = await rawClient(t, server, { user: "alice" });
  raw.send('40/chat,{"user":"alice"}'); // waits for a place
  await eventually(() => server.log.includes("CONNECT held for a retry"), "it is let in at once");
  for (const packet of ["41/chat,", '42/chat,["join","lobby"]', '427["join","lobby"]']) raw.send(packet);
  assert.equal(JSON.parse((await raw.frame("437")).slice(3))[0].ok, true);
});
