// Back ends that are told what happened: what they were sent, and what is wrong with it.

import assert from "node:assert/strict";
import { serve, UNLIMITED } from "./server.mjs";
import { Caller } from "./web.mjs";

export const KEY = "a-key-for-the-tests-of-hooks";

// A server that tells `url` of `events`.
export const withNotify = (t, url, events, { table = {}, ...options } = {}) =>
  serve(t, { ...UNLIMITED, "auth-api-keys": KEY, "presence-grace": "200ms", ...options, "hooks-notify": JSON.stringify([{ url, events, ...table }]) });

// A back end's calls to the server.
export const caller = (server) => new Caller(server, { key: KEY });

// How the one endpoint is.
export const endpoint = async (server) => (await caller(server).get("/v1/hooks")).notify[0];

// The events of the batches so far, without those that were sent again; fails if they are not in order, or a batch is wrong.
export function events(batches) {
  const contents = new Map();
  const told = [];
  let last = 0n;
  for (const batch of batches) {
    const { id, events } = batch;
    const [{ type, first, last: end }] = events;
    assert.equal(id, type === "hooks.lost" ? `lost-${first}-${end}` : `${events[0].id}-${events.at(-1).id}`);
    assert.equal(batch.request.headers["webhook-id"], id);
    assert.ok(events.length <= 100, `${events.length} events`);
    const ids = events.map((event) => event.id);
    assert.equal(new Set(ids).size, ids.length, `an event is twice in ${id}`);
    // The same id is the same batch.
    const text = JSON.stringify(events);
    assert.equal(contents.get(id) ?? text, text, `two batches have the id ${id}`);
    contents.set(id, text);
    for (const event of events) {
      const number = BigInt(event.id);
      // What is lost may have been sent before, and not been taken.
      const isRepeat = event.type === "hooks.lost" ? told.some(({ type, id }) => type === event.type && id === event.id) : number <= last;
      if (isRepeat) continue;
      last = number;
      told.push(event);
    }
  }
  return told;
}

// The same, over the streams of a Redis Cluster: in order within each.
export function eventsOfStreams(batches) {
  const streams = new Map();
  for (const batch of batches) {
    const [, stream = ""] = batch.events[0].id.split(".");
    const plain = ({ id, ...event }) => ({ ...event, id: id.split(".")[0] });
    const events = batch.events.map(plain);
    if (!streams.has(stream)) streams.set(stream, []);
    const request = { ...batch.request, headers: { ...batch.request.headers, "webhook-id": `${events[0].id}-${events.at(-1).id}` } };
    streams.get(stream).push({ ...batch, id: `${events[0].id}-${events.at(-1).id}`, events, request });
  }
  return [...streams.values()].flatMap(events);
}

// An event in a line: what, where, and who or which data.
export const line = ({ type, room, user, message }) => [type, room, user, message && JSON.stringify(message.data)].filter(Boolean).join(" ");

// Waits until `n` events were told, and returns their lines.
export async function lines(back, n, ms) {
  await back.calls.until((batches) => events(batches).length >= n, `${n} events`, ms);
  return events(back.calls.items).map(line);
}
