// Documents over several nodes: who is there, also when a node begins or dies, and what is there after kills of Redis.
// SWITCHBOARD_LONG=1 kills it more often.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import * as Y from "yjs";
import { agreed, CLIENTS, content, edit } from "./support/documents.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { KEY } from "./support/notify.mjs";
import { network } from "./support/proxy.mjs";
import { editAtRandom, LONG } from "./support/random_edits.mjs";
import { redis } from "./support/redis.mjs";
import { eventually, Journal } from "./support/scope.mjs";

const LEASE = 2_000;
// Clients renew what they show every 15 s, and are taken for gone after 30 s of silence.
const SOON = 6_000;

async function named(t, server, name, options) {
  const editor = await edit(t, server, "notes", options);
  editor.awareness.setLocalStateField("name", name);
  return editor;
}

const sees = (editor, ...names) => eventually(() => `${editor.others}` === `${names}`, `${names} are there, and nobody else`, SOON);

for (const { store, begin } of STORES) {
  test(`over ${store}, the first client of a document on its node sees at once who is at the others`, async (t) => {
    const [one, two] = await nodes(t, await begin(t));
    const alice = await named(t, one, "alice");
    const bob = await named(t, one, "bob", { client: "Hocuspocus 4" });
    await sees(bob, "alice");
    await sees(alice, "bob");
    const carol = await named(t, two, "carol", { client: "y-socket.io" });
    await sees(carol, "alice", "bob");
    await sees(alice, "bob", "carol");
    // The document is closed on the second node, and opened again.
    carol.close();
    await sees(alice, "bob");
    await sees(await named(t, two, "dave"), "alice", "bob");
  });

  test(`over ${store}, the clients of a killed node are gone soon, and one that moves to another node never is`, async (t) => {
    const [one, two, three] = await nodes(t, await begin(t), 3, { "presence-lease": `${LEASE}ms` });
    const way = await network(t, one);
    const moving = await named(t, { address: `127.0.0.1:${way.port}` }, "moving");
    const lost = await named(t, one, "lost", { client: "Hocuspocus 4" });
    const watching = [await named(t, two, "bob"), await named(t, three, "carol")];
    await sees(watching[0], "carol", "lost", "moving");
    await sees(watching[1], "bob", "lost", "moving");
    const removals = new Journal("removals");
    for (const { awareness } of watching) awareness.on("change", ({ removed }) => removed.forEach((id) => removals.add(id)));
    lost.stop();
    way.server = two;
    await one.kill();
    await sees(watching[0], "carol", "moving");
    await sees(watching[1], "bob", "moving");
    assert.deepEqual(removals.items, [lost.doc.clientID, lost.doc.clientID]);
  });
}

const asBackEnd = (server, method, path, body) => {
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/octet-stream" };
  return fetch(`http://${server.address}/v1/documents/${path}`, { method, headers, body });
};

async function read(server, name) {
  const doc = new Y.Doc();
  const response = await asBackEnd(server, "GET", `${name}/state`);
  Y.applyUpdate(doc, new Uint8Array(await response.arrayBuffer()));
  return doc;
}

// Has a back end write to a document that nobody has open, as clients would bring again what is lost. Returns what stops it, and resolves
// to what was acknowledged.
function writing(server) {
  const [acknowledged, stopping] = [[], new AbortController()];
  const written = (async () => {
    for (let n = 0; !stopping.signal.aborted; n += 1) {
      const doc = new Y.Doc();
      const key = `${server.port} ${n}`;
      doc.getMap("written").set(key, true);
      const { status } = await asBackEnd(server, "POST", "written/updates", Y.encodeStateAsUpdate(doc));
      if (status === 201) acknowledged.push(key);
      else assert.equal(status, 503);
      await pause(10);
    }
  })();
  return async () => {
    stopping.abort();
    await written;
    return acknowledged;
  };
}

test("edits at random while Redis is killed again and again: everybody ends with the same, and nothing that was acknowledged is lost", async (t) => {
  const store = await redis(t);
  const servers = await nodes(t, store, 2, { "auth-api-keys": KEY });
  const [one, two] = servers;
  const editors = await Promise.all(CLIENTS.map((client, n) => edit(t, servers[n % 2], "notes", { client, user: `u${n}` })));
  const stops = servers.map(writing);
  let kills = 0;
  const trouble = async () => {
    await pause(1500);
    await store.kill();
    kills += 1;
    await pause(kills % 2 ? 0 : 700);
    await store.restart();
  };
  await editAtRandom(t, editors, { seconds: LONG ? 60 : 8, trouble });
  const acknowledged = (await Promise.all(stops.map((stop) => stop()))).flat();
  const end = await agreed(editors, 30_000);
  const late = await edit(t, two, "notes");
  assert.deepEqual(content(late.doc), end);
  assert.deepEqual(content(await read(one, "notes")), end);
  const written = (await read(one, "written")).getMap("written");
  const lost = acknowledged.filter((key) => !written.has(key));
  assert.deepEqual(lost, []);
  assert.ok(acknowledged.length > kills);
  t.diagnostic(`${kills} kills of Redis, ${acknowledged.length} updates of back ends acknowledged`);
});
