// The random-edit script against the servers that its protocols come from: that it ends well is no favour to Switchboard.

import assert from "node:assert/strict";
import { test } from "node:test";
import { agreed, content, edit, HOCUSPOCUS, Y_WEBSOCKET } from "./support/documents.mjs";
import { editAtRandom, LONG } from "./support/random_edits.mjs";
import { referenceServer } from "./support/reference_servers.mjs";

const SERVERS = { "@y/websocket-server": Y_WEBSOCKET, "@hocuspocus/server": HOCUSPOCUS };

for (const [name, clients] of Object.entries(SERVERS)) {
  test(`with ${name}, edits at random with cuts: everybody ends with the same`, async (t) => {
    const server = await referenceServer(t, name);
    const editors = await Promise.all([...clients, ...clients].map((client, n) => edit(t, server, "notes", { client, user: `u${n}` })));
    await editAtRandom(t, editors, { seconds: LONG ? 30 : 3 });
    const end = await agreed(editors);
    const late = await edit(t, server, "notes", { client: clients[0] });
    assert.deepEqual(content(late.doc), end);
  });
}
