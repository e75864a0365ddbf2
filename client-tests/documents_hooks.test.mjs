// Documents that have changed, as back ends are told it, and what they read and write then.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import * as Y from "yjs";
import { upTo } from "./support/clients.mjs";
import { edit } from "./support/documents.mjs";
import { backend } from "./support/hooks.mjs";
import { nodes, STORES } from "./support/nodes.mjs";
import { events, KEY, withNotify } from "./support/notify.mjs";
import { eventually } from "./support/scope.mjs";
import { UNLIMITED } from "./support/server.mjs";

const told = (back) => events(back.calls.items).filter(({ type }) => type === "document.changed");

// A document as a back end reads it.
async function read(server, name) {
  const response = await fetch(`http://${server.address}/v1/documents/${encodeURIComponent(name)}/state`, { headers: { authorization: `Bearer ${KEY}` } });
  assert.equal(response.status, 200);
  const doc = new Y.Doc();
  Y.applyUpdate(doc, new Uint8Array(await response.arrayBuffer()));
  return doc.getText("text").toString();
}

for (const store of ["memory", "sqlite"]) {
  test(`with ${store}: a document that is typed into is told of now and then, and after the last change`, async (t) => {
    const back = await backend(t);
    const server = await withNotify(t, back.url, ["document.changed"], { store, table: { rooms: "notes*" } });
    const [alice, other] = [await edit(t, server, "notes/1"), await edit(t, server, "other", { client: "Hocuspocus 4" })];
    other.text.insert(0, "not told");
    await other.synced();
    for (const n of upTo(50)) {
      alice.text.insert(alice.text.length, `${n} `);
      await pause(60);
    }
    const copies = [];
    await eventually(async () => {
      for (const { document } of told(back).slice(copies.length)) copies.push(await read(server, document));
      return copies.at(-1) === alice.text.toString();
    }, "the back end has what was typed last");
    const [first, ...more] = told(back);
    assert.deepEqual({ ...first, id: "", ts: 0 }, { id: "", type: "document.changed", ts: 0, document: "notes/1" });
    assert.ok(more.length <= 2, `${more.length + 1} in 3 s`);
  });
}

test("a change that was stored is told of although the server is killed at once", async (t) => {
  const back = await backend(t);
  const server = await withNotify(t, back.url, ["document.changed"], { store: "sqlite" });
  const alice = await edit(t, server, "notes", { client: "Hocuspocus 4" });
  alice.text.insert(0, "Hello");
  await alice.synced();
  await server.kill();
  assert.deepEqual(told(back), []);
  alice.close();
  await server.start();
  await eventually(() => told(back).length === 1, "it is told of");
  assert.equal(await read(server, "notes"), "Hello");
});

for (const { store, begin } of STORES) {
  test(`over ${store} two nodes tell of a change once, also if the node that stored it is killed`, async (t) => {
    const back = await backend(t);
    const notify = JSON.stringify([{ url: back.url, events: ["document.changed"] }]);
    const [one, two] = await nodes(t, await begin(t), 2, { ...UNLIMITED, "auth-api-keys": KEY, "hooks-notify": notify });
    const alice = await edit(t, one, "notes", { client: "Hocuspocus 4" });
    alice.text.insert(0, "Hello");
    await alice.synced();
    await one.kill();
    const changed = () => back.calls.items.flatMap((batch) => batch.events).filter(({ document }) => document === "notes");
    await eventually(() => changed().length > 0, "it is told of", 40_000);
    assert.equal(await read(two, "notes"), "Hello");
    assert.equal(new Set(changed().map(({ id }) => id)).size, 1);
  });
}
