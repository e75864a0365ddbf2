// The random-edit script: clients edit everything that a document can have, and lose their connections meanwhile. SWITCHBOARD_SEED repeats
// the choices of a run that failed.

import { setTimeout as pause } from "node:timers/promises";
import * as Y from "yjs";
import { chance } from "./random.mjs";

// Whether the script goes on for long.
export const LONG = process.env.SWITCHBOARD_LONG === "1";

// The origin of edits, which are what is undone, as in editors. Were it everything, Yjs would also undo how it tidies up formats, and clients
// would go on undoing each other's: in seconds the text has tens of thousands of deleted marks, which each client goes through for each of them.
const EDIT = "edit";

// A random edit of anything that a document can have.
function change({ doc, undo }, rng) {
  const [text, map, array, xml] = [doc.getText("text"), doc.getMap("map"), doc.getArray("array"), doc.getXmlFragment("xml")];
  const at = (length) => Math.floor(rng() * (length + 1));
  const word = () => Math.floor(rng() * 1e9).toString(36);
  const remove = (list) => list.length > 0 && list.delete(Math.min(at(list.length), list.length - 1), 1);
  const changes = [
    () => text.insert(at(text.length), word()),
    // Yjs replaces an emoji that somebody types into, and not everywhere in the same way.
    () => text.insert(at(text.length), "ü漢"),
    () => text.length > 2 && text.delete(at(text.length - 2), 2),
    () => text.length > 2 && text.format(at(text.length - 2), 2, { bold: rng() < 0.5 || null }),
    () => map.set(`k${at(5)}`, { n: at(1000), list: [word(), null, true] }),
    () => map.delete(`k${at(5)}`),
    () => map.set(`k${at(5)}`, new Y.Map([["inner", word()]])),
    () => array.insert(at(array.length), [at(1000), `🐈${word()}`, new Uint8Array([1, 2])]),
    () => remove(array),
    () => xml.insert(at(xml.length), [new Y.XmlElement("p")]),
    () => xml.length > 0 && xml.get(0).insert?.(0, [new Y.XmlText(word())]),
    () => remove(xml),
    () => map.set(`k${at(5)}`, new Y.Doc({ guid: word() })),
  ];
  if (rng() < 0.1) return rng() < 0.6 ? undo.undo() : undo.redo();
  doc.transact(() => changes[Math.floor(rng() * changes.length)](), EDIT);
}

// Has each client edit and lose its connection now and then, for some seconds, with `trouble` again and again meanwhile.
export async function editAtRandom(t, clients, { seconds, trouble = () => pause(100) }) {
  const seed = Number(process.env.SWITCHBOARD_SEED ?? Math.floor(Math.random() * 1e9));
  const rng = chance(seed);
  t.diagnostic(`SWITCHBOARD_SEED=${seed}`);
  const until = Date.now() + seconds * 1000;
  for (const client of clients) {
    const types = [client.doc.getText("text"), client.doc.getMap("map"), client.doc.getArray("array"), client.doc.getXmlFragment("xml")];
    client.undo = new Y.UndoManager(types, { captureTimeout: 50, trackedOrigins: new Set([EDIT]) });
  }
  const typing = clients.map(async (client) => {
    while (Date.now() < until) {
      change(client, rng);
      if (rng() < 0.02) client.cut();
      await pause(rng() * 10);
    }
  });
  const troubling = (async () => {
    while (Date.now() < until) await trouble();
  })();
  await Promise.all([...typing, troubling]);
}
