// `/v1/asyncapi.json`: a document that AsyncAPI's own parser accepts, with the events that policies have schemas for.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Parser } from "@asyncapi/parser";
import { defer } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { call } from "./support/web.mjs";

// The schema of a message, whatever the parser makes of its format.
const schemaOf = (message) => message.payload().json().schema ?? message.payload().json();
const EVENTS = ["join", "leave", "message", "publish", "history", "presence", "status", "typing", "read", "signal", "refresh"];

async function parsed(text) {
  const { document, diagnostics } = await new Parser().parse(text);
  assert.deepEqual(diagnostics.filter(({ severity }) => severity === 0), []);
  return document;
}

test("the description of a server's events is valid, and has every event of the contract", async (t) => {
  const server = await serve(t, { store: "memory" });
  const { status, text } = await call(server, "GET", "/v1/asyncapi.json");
  assert.equal(status, 200);
  const document = await parsed(text);
  const operations = document.operations().all();
  assert.deepEqual(operations.filter((each) => each.isReceive()).map((each) => each.id()).sort(), EVENTS.toSorted());
  assert.ok(operations.every((each) => each.isSend() || each.reply()), "each request has its reply");
});

test("events have the schemas of their policies, those in other files included", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-asyncapi-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  const schemas = {
    "cursor.json": { $schema: "https://json-schema.org/draft/2020-12/schema", $id: "cursor", required: ["x"], properties: { x: { $ref: "coordinate.json" } } },
    "coordinate.json": { type: "number" },
    "tree.json": { $defs: { node: { properties: { children: { type: "array", items: { $ref: "#/$defs/node" } } } } }, $ref: "#/$defs/node" },
    "text.json": { type: "string" },
  };
  for (const [name, schema] of Object.entries(schemas)) await writeFile(join(folder, name), JSON.stringify(schema));
  const rooms = [
    { match: "a", events: { "game:move": `${folder}/cursor.json`, message: `${folder}/text.json`, tree: `${folder}/tree.json`, free: true, "*": false } },
    { match: "b", events: { "game:move": `${folder}/text.json`, free: false } },
  ];
  const server = await serve(t, { store: "memory", rooms: JSON.stringify(rooms) });
  const document = await parsed((await call(server, "GET", "/v1/asyncapi.json")).text);
  const messages = document.channels().get("room").messages().all();
  const data = Object.fromEntries(messages.map((each) => [each.name(), schemaOf(each).properties?.data]));
  assert.deepEqual(data["game:move"].anyOf.map(({ type, properties }) => type ?? properties.x.type).sort(), ["number", "string"]);
  assert.equal(data.message.type, "string");
  for (const name of ["tree", "free"]) assert.ok(name in data, name);
});
