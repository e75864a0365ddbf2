// Notifications (`hooks.notify`) when something dies: the server, a node, Redis' connection, the back end. What was stored is told at least
// once and in order, and no batch has an event twice. SWITCHBOARD_LONG=1 kills more often.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { open, upTo } from "./support/clients.mjs";
import { backend, program, Response } from "./support/hooks.mjs";
import { breakable, nodes, STORES } from "./support/nodes.mjs";
import { caller, endpoint, events, eventsOfStreams, KEY, line, lines, withNotify } from "./support/notify.mjs";
import { redis } from "./support/redis.mjs";
import { defer, eventually } from "./support/scope.mjs";
import { metric } from "./support/web.mjs";

const KILLS = process.env.SWITCHBOARD_LONG === "1" ? 40 : 4;
const ROOMS = ["a", "b", "c"];

// Stores messages one after another in each room until it is stopped, again and again with the same id until they are acknowledged.
class Writers {
  acked = new Map(ROOMS.map((room) => [room, []]));
  #stopping = false;
  #running;

  constructor(t, clients) {
    this.#running = Promise.all(ROOMS.map((room, i) => this.#write(room, clients[i % clients.length])));
    defer(t, () => (this.#stopping = true));
  }

  async #write(room, client) {
    for (let n = 0; !this.#stopping; n += 1) {
      const data = `${room}-${n}`;
      for (let stored = false; !stored; ) {
        if (!client.socket.connected) {
          await pause(10);
          continue;
        }
        const acked = new Promise((resolve) => client.socket.timeout(1000).emit("message", { room, id: data, data }, (error, ack) => resolve(ack?.ok)));
        stored = (await acked) === true;
      }
      this.acked.get(room).push(data);
      await pause(1);
    }
  }

  get count() {
    return [...this.acked.values()].reduce((sum, { length }) => sum + length, 0);
  }

  async more(n) {
    const until = this.count + n;
    await eventually(() => this.count >= until, `${n} more messages are stored`, 60_000);
  }

  async stop() {
    this.#stopping = true;
    await this.#running;
  }

  // Everything that was acknowledged was told, in its order; `told` are the events without those that came again.
  async areTold(told) {
    await eventually(() => told().filter(({ type }) => type === "message").length >= this.count, "everything is told", 60_000);
    const all = told();
    assert.deepEqual(all.filter(({ type }) => type === "hooks.lost"), []);
    for (const [room, acked] of this.acked) {
      const data = all.filter((event) => event.room === room).map(({ message }) => message.data);
      assert.deepEqual(data, acked, room);
    }
  }
}

const writers = async (t, ...servers) => new Writers(t, await Promise.all(servers.map((server, i) => open(t, server, { user: `writer-${i}` }))));

test(`after ${KILLS} kills of the server at any moment every stored message was told, in order`, async (t) => {
  const back = await backend(t, () => pause(5).then(() => ({})));
  const server = await withNotify(t, back.url, ["message"]);
  const writing = await writers(t, server);
  for (const n of upTo(KILLS)) {
    await writing.more(100 + 37 * n);
    await server.kill();
    await server.start();
  }
  await writing.more(100);
  await writing.stop();
  await writing.areTold(() => events(back.calls.items));
  t.diagnostic(`${writing.count} messages in ${back.calls.items.length} batches`);
});

// Back ends that append what they are told to a file, and say that they have taken it after that.
const BACKENDS = {
  "Node.js": [process.execPath, "told.mjs", (port, file) => [file, port], `
    import { appendFileSync } from "node:fs";
    import { createServer } from "node:http";
    createServer(async (request, response) => {
      let text = "";
      for await (const part of request) text += part;
      if (text) appendFileSync(process.env.TOLD, JSON.stringify([request.headers["webhook-id"], text]) + "\\n");
      response.end();
    }).listen(Number(process.argv[2]), "127.0.0.1");`],
  Python: ["python3", "told.py", (port, file) => ["-u", file, port], `
import http.server, json, os, sys

class Told(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        text = self.rfile.read(int(self.headers["content-length"])).decode()
        with open(os.environ["TOLD"], "a") as file:
            file.write(json.dumps([self.headers["webhook-id"], text]) + "\\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Told).serve_forever()`],
  PHP: ["php", "told.php", (port, file) => ["-S", `127.0.0.1:${port}`, file], `<?php
    $line = json_encode([$_SERVER['HTTP_WEBHOOK_ID'] ?? null, file_get_contents('php://input')]);
    if ($_SERVER['REQUEST_METHOD'] === 'POST') file_put_contents(getenv('TOLD'), $line . "\\n", FILE_APPEND);`],
};

for (const [language, [command, name, args, text]] of Object.entries(BACKENDS)) {
  test(`after ${KILLS} kills of a back end in ${language} it was told everything, in order`, async (t) => {
    const server = await withNotify(t, "http://127.0.0.1:9/", ["message"], { store: "memory" });
    await writeFile(join(server.folder, name), text);
    const told = join(server.folder, "told");
    await writeFile(told, "");
    const back = await program(t, command, (port) => args(port, join(server.folder, name)), { TOLD: told });
    await server.stop();
    server.options["hooks-notify"] = JSON.stringify([{ url: back.url, events: ["message"] }]);
    await server.start();
    const writing = await writers(t, server);
    for (const n of upTo(KILLS)) {
      await writing.more(50 + 29 * n);
      await back.kill();
      await writing.more(50);
      await back.start();
      const { url } = await endpoint(server);
      await eventually(async () => {
        await caller(server).call("POST", "/v1/hooks/resume", { body: { url } });
        return (await endpoint(server)).state === "ok";
      }, "it takes batches again", 30_000);
    }
    await writing.stop();
    let all = [];
    await eventually(async () => {
      const batches = (await readFile(told, "utf8")).split("\n").filter(Boolean).map((each) => JSON.parse(each));
      // The last line of a program that was killed may be cut off; it has not said that it took that one.
      all = batches.map(([id, body]) => ({ ...JSON.parse(body), request: { headers: { "webhook-id": id } } }));
      return events(all).length >= writing.count;
    }, "everything is told", 60_000);
    await writing.areTold(() => events(all));
  });
}

for (const { store, begin } of STORES) {
  test(`over ${store} one node at a time tells an endpoint, and another goes on when it dies`, async (t) => {
    const shared = await begin(t);
    const back = await backend(t);
    const options = { "auth-api-keys": KEY, "presence-lease": "2s", "presence-grace": "300ms", "hooks-notify": JSON.stringify([{ url: back.url, events: ["message"] }]) };
    const [one, two, three] = await nodes(t, shared, 3, options);
    const writing = await writers(t, one, two);
    await writing.more(300);
    const sender = await eventually(async () => (await endpoint(three)).sender, "a node sends");
    // Its clients go to no other node: the writers of the one that is killed wait for its return.
    for (const node of [one, two, three]) {
      await node.kill();
      await eventually(async () => (await endpoint(node === two ? three : two)).sender !== undefined, "a node sends");
      const before = back.calls.items.length;
      await back.calls.until((batches) => batches.length > before + 3, "another goes on", 20_000);
      await node.start();
      await writing.more(100);
    }
    await writing.stop();
    await writing.areTold(() => eventsOfStreams(back.calls.items));
    assert.equal(typeof sender, "string");
  });
}

test("over Redis who comes and goes is told once, whichever node it is at, and when its node dies", async (t) => {
  const back = await backend(t);
  const kinds = ["user.online", "user.offline", "member.joined", "member.left", "room.occupied", "room.vacated"];
  const options = { "auth-api-keys": KEY, "presence-lease": "2s", "presence-grace": "300ms", "hooks-notify": JSON.stringify([{ url: back.url, events: kinds }]) };
  const [one, two] = await nodes(t, await redis(t), 2, options);
  const join = async (server, user) => {
    const client = await open(t, server, { user, reconnection: false });
    await client.ok("join", "lobby");
    return client;
  };
  const here = await join(one, "alice");
  await lines(back, 3);
  const there = await join(two, "alice");
  await join(one, "bob");
  const carol = await join(two, "carol");
  await lines(back, 7);
  here.close();
  await pause(600);
  await one.kill();
  const dead = await lines(back, 9, 30_000);
  assert.deepEqual(dead.slice(7).toSorted(), ["member.left lobby bob", "user.offline bob"]);
  there.close();
  carol.close();
  const told = await lines(back, 14);
  const sorted = (each) => each.toSorted();
  assert.deepEqual(told.slice(0, 3), ["user.online alice", "room.occupied lobby", "member.joined lobby alice"]);
  assert.deepEqual(sorted(told.slice(3, 7)), sorted(["user.online bob", "member.joined lobby bob", "user.online carol", "member.joined lobby carol"]));
  assert.deepEqual(sorted(told.slice(9)), sorted(["member.left lobby alice", "user.offline alice", "member.left lobby carol", "user.offline carol", "room.vacated lobby"]));
  await one.start();
  await pause(500);
  assert.equal(events(back.calls.items).length, 14);
});

test("a node without Redis for a while tells everything when it is back", async (t) => {
  const back = await backend(t);
  const options = { "auth-api-keys": KEY, "presence-lease": "2s", "presence-grace": "200ms", "hooks-notify": JSON.stringify([{ url: back.url, events: ["message", "member.joined", "member.left"] }]) };
  const [node] = await breakable(t, await redis(t), 1, options);
  const writing = await writers(t, node);
  const alice = await open(t, node, { user: "alice" });
  await alice.ok("join", "lobby");
  await writing.more(100);
  for (const _ of upTo(2)) {
    node.way.cut();
    await pause(500);
    node.way.mend();
    await writing.more(100);
  }
  alice.close();
  await writing.stop();
  const messages = () => events(back.calls.items).filter(({ type }) => type === "message");
  await writing.areTold(messages);
  await eventually(() => events(back.calls.items).some(({ type }) => type === "member.left"), "alice has left");
  const members = events(back.calls.items).filter(({ type }) => type !== "message").map(line);
  assert.deepEqual(members, ["member.joined lobby alice", "member.left lobby alice"]);
});

test("after a kill of the server those who come back have not left, and the others have", async (t) => {
  const back = await backend(t);
  const server = await withNotify(t, back.url, ["member.joined", "member.left", "user.offline", "room.vacated"], { "presence-lease": "2s" });
  const stays = await open(t, server, { user: "stays" });
  await stays.ok("join", "lobby");
  const goes = await open(t, server, { user: "goes", reconnection: false });
  for (const room of ["lobby", "other"]) await goes.ok("join", room);
  await lines(back, 3);
  await server.kill();
  await server.start();
  await stays.session(2);
  const told = await lines(back, 7, 20_000);
  assert.deepEqual(told.slice(3).toSorted(), ["member.left lobby goes", "member.left other goes", "room.vacated other", "user.offline goes"]);
  stays.close();
  assert.deepEqual((await lines(back, 10)).slice(7).toSorted(), ["member.left lobby stays", "room.vacated lobby", "user.offline stays"]);
});

test("a server that is stopped tells what it has first", async (t) => {
  const back = await backend(t, () => pause(50).then(() => ({})));
  const server = await withNotify(t, back.url, ["message"], { store: "memory" });
  const alice = await open(t, server, { user: "alice" });
  await Promise.all(upTo(500).map((n) => alice.ok("message", { room: "lobby", data: n })));
  await server.stop();
  assert.deepEqual(events(back.calls.items).map(({ message }) => message.data), upTo(500));
});

test("a dead endpoint costs no memory and slows no message", async (t) => {
  const seconds = process.env.SWITCHBOARD_LONG === "1" ? 60 : 4;
  const back = await backend(t, () => new Response(503));
  const server = await withNotify(t, back.url, ["message"], { "hooks-retry-for": "2s", "history-messages": 1000, "hooks-outbox-events": 20_000 });
  const clients = await Promise.all(upTo(10).map((n) => open(t, server, { user: `writer-${n}` })));
  const publish = async (until) => {
    let stored = 0;
    const one = async (client, n) => {
      for (let i = 0; Date.now() < until; i += 1) {
        await client.ok("message", { room: `room-${n}`, data: `message ${i} ${"x".repeat(100)}` });
        stored += 1;
      }
    };
    // Each of them has a hundred in flight.
    await Promise.all(clients.flatMap((client, n) => upTo(100).map(() => one(client, n))));
    return stored;
  };
  await publish(Date.now() + 2000);
  const before = await server.memory();
  const stored = await publish(Date.now() + seconds * 1000);
  const after = await server.memory();
  t.diagnostic(`${Math.round(stored / seconds)} messages a second; ${before.toFixed(1)} MiB, then ${after.toFixed(1)} MiB`);
  assert.ok(after - before < 20, `${(after - before).toFixed(1)} MiB more`);
  const { url } = await endpoint(server);
  // The day is over.
  await eventually(async () => (await endpoint(server)).lost > 1000, "what is too old is given up", 30_000);
  assert.equal((await endpoint(server)).state, "failing");
  assert.ok((await metric(server, `switchboard_hook_notifications_total{endpoint="${url}",outcome="lost"}`)) > 0);
});
