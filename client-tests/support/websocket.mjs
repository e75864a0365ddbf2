// Plain WebSocket, as a client without any library speaks to it: one JSON object a frame.

import assert from "node:assert/strict";
import WebSocket from "ws";
import { defer, Journal, within } from "./scope.mjs";
import { bearer, withQuery } from "./web.mjs";

// What a frame is called in tests: its type, and of a system frame its event too.
const kindOf = ({ type, data }) => (type === "system" ? `system ${data.event}` : type);

let ids = 0;

// A connection that is on its way; `frames` holds the frames received. `room` goes into the path, `rooms` into the query.
export class Peer {
  frames = new Journal("frames");
  pings = new Journal("pings");
  closed;
  #seen = new Map();

  constructor(t, server, { room, rooms, user, token, query, headers, ...options } = {}) {
    const path = room === undefined ? "/ws" : `/ws/${encodeURIComponent(room)}`;
    const url = server.url.replace("http", "ws") + withQuery(path, { room: rooms, user, ...query });
    this.socket = new WebSocket(url, { headers: { ...bearer(token), ...headers }, ...options });
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
      this.socket.on("error", () => {});
      this.socket.on("unexpected-response", (_, response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (more) => (text += more));
        const { statusCode: status, headers: given } = response;
        response.on("end", () => resolve({ status, headers: new Headers(given), text, body: JSON.parse(text) }));
      });
    });
    this.socket.on("message", (data, binary) => this.frames.add(binary ? { type: "binary" } : JSON.parse(data)));
    this.socket.on("ping", () => this.pings.add(Date.now()));
    defer(t, () => this.socket.terminate());
  }

  // Every frame of a kind so far: "text", "ack", "system joined" …
  of(kind) {
    return this.frames.items.filter((frame) => kindOf(frame) === kind);
  }

  // The next frame of a kind, each once, that `fits`.
  async next(kind, fits = () => true) {
    const from = this.#seen.get(kind) ?? 0;
    const at = await this.frames.until(() => {
      const found = this.of(kind).findIndex((frame, i) => i >= from && fits(frame));
      return found < 0 ? undefined : [found];
    }, `a frame ${kind}`);
    this.#seen.set(kind, at[0] + 1);
    return this.of(kind)[at[0]];
  }

  // Sends text as it is, or an object as JSON.
  raw(frame) {
    this.socket.send(typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  send(type, fields) {
    this.raw({ type, ...fields });
  }

  // The frame that answers one with an id: an ack or an error.
  async ask(type, fields = {}) {
    const id = fields.id ?? `${type}-${(ids += 1)}`;
    const from = this.frames.items.length;
    this.send(type, { ...fields, id });
    const answers = (frame, i) => i >= from && frame.id === id && ["ack", "error"].includes(frame.type);
    return this.frames.until((frames) => frames.find(answers), `an answer to ${type} ${id}`);
  }

  // The data of the ack to a frame that has to succeed.
  async ok(type, fields) {
    const answer = await this.ask(type, fields);
    assert.equal(answer.type, "ack", `${type} ${JSON.stringify(fields)?.slice(0, 200)} → ${JSON.stringify(answer)}`);
    assert.equal(answer.data.status, "delivered");
    return answer.data;
  }

  // The error that answers a frame that has to be refused with one of `codes`.
  async refused(type, fields, ...codes) {
    const answer = await this.ask(type, fields);
    const shown = `${type} ${JSON.stringify(fields)?.slice(0, 200)} → ${JSON.stringify(answer)}`;
    assert.equal(answer.type, "error", shown);
    assert.ok(codes.includes(answer.data.code), `${shown}, expected ${codes}`);
    assert.equal(typeof answer.data.message, "string", shown);
    return answer.data;
  }

  // Resolves, once the other side has ended it, to `{ code, reason }`, or to the answer that refused the upgrade.
  ended(ms) {
    return within(this.closed, () => "the connection was not closed", ms);
  }
}

// A connection that has been greeted (`connected`), and is in the room or rooms that its address names.
export async function peer(t, server, options = {}) {
  const made = new Peer(t, server, options);
  const refused = made.closed.then((how) => {
    throw new Error(`the connection was closed at once: ${JSON.stringify(how)}`);
  });
  refused.catch(() => {});
  made.connected = (await Promise.race([made.next("system connected"), refused])).data;
  const rooms = [options.room ?? [], options.rooms ?? []].flat();
  made.joined = [];
  for (const room of rooms) made.joined.push((await made.next("system joined", (frame) => frame.room === room)).data);
  return made;
}

// The message objects that the text frames of a room hold, as every other transport has them.
export const messageOf = ({ room, id, seq, from, data, timestamp }) => ({
  room,
  id,
  seq,
  event: "message",
  from,
  data,
  ts: Math.round(timestamp * 1000),
});
