// Server-Sent Events: the stock EventSource of npm, and streams whose every line is seen, over HTTP/1.1 and HTTP/2.

import assert from "node:assert/strict";
import { request } from "node:http";
import { connect } from "node:http2";
import { Readable } from "node:stream";
import { EventSource } from "eventsource";
import { defer, Journal, within } from "./scope.mjs";
import { bearer, withQuery } from "./web.mjs";

// What a stream may tell by name; events that are published have names of their own.
const NAMES = ["session", "message", "notification", "typing", "presence", "read", "reset", "kicked", "draining", "error"];

// The path of a stream of one `room` or several `rooms`.
function pathOf({ room, rooms, user, token, since, history, query }) {
  const path = room === undefined ? "/events" : `/events/${encodeURIComponent(room)}`;
  return withQuery(path, { room: rooms, user, token, since, history, ...query });
}

// A stock EventSource; `events` holds `{ event, data, id }`, the data parsed.
export class Source {
  events = new Journal("events of an EventSource");
  opens = new Journal("openings of an EventSource");
  failures = new Journal("failures of an EventSource");

  constructor(t, server, { names = [], fetch: fetching = fetch, ...options }) {
    this.es = new EventSource(server.url + pathOf(options), { fetch: fetching });
    this.es.addEventListener("open", () => this.opens.add(true));
    for (const event of [...NAMES, ...names]) {
      this.es.addEventListener(event, (said) => {
        // A connection that breaks makes an "error" too, without data.
        if (said.data === undefined) this.failures.add({ code: said.code, message: said.message });
        else this.events.add({ event, data: JSON.parse(said.data), id: said.lastEventId });
      });
    }
    defer(t, () => this.es.close());
  }

  of(...names) {
    return this.events.items.filter(({ event }) => names.includes(event)).map(({ data }) => data);
  }

  // Waits for the `n`th event of this name.
  nth(event, n = 1, ms = undefined) {
    return this.events.until(() => this.of(event)[n - 1], `${event} ${n}`, ms);
  }
}

// An EventSource that has its session.
export async function source(t, server, options) {
  const made = new Source(t, server, options);
  await made.nth("session");
  return made;
}

// What comes in a stream: `events` holds `{ event, text, data, id, lines }`, `comments` their texts, `retry` its number.
export class Stream {
  events = new Journal("events of a stream");
  comments = new Journal("comments of a stream");
  lines = [];
  retry;
  // "end" or "cut" once it is over.
  over;
  #rest = "";
  #block = [];

  constructor(status, headers) {
    this.status = status;
    this.headers = headers;
    this.closed = new Promise((resolve) => {
      this.end = (how) => resolve((this.over ??= how));
    });
  }

  feed(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line.replace(/\r$/, ""));
  }

  of(...names) {
    return this.events.items.filter(({ event }) => names.includes(event));
  }

  // Waits for the `n`th event of this name.
  nth(event, n = 1, ms = undefined) {
    return this.events.until(() => this.of(event)[n - 1], `${event} ${n}`, ms);
  }

  ended(ms) {
    return within(this.closed, () => "the stream did not end", ms);
  }

  #line(line) {
    this.lines.push(line);
    if (line.startsWith(":")) this.comments.add(line.slice(1));
    else if (line !== "") this.#block.push(line);
    else this.#finish(this.#block.splice(0));
  }

  #finish(lines) {
    const fields = { data: [] };
    for (const line of lines) {
      const [, name, value] = line.match(/^([^:]*):? ?(.*)$/);
      if (name === "data") fields.data.push(value);
      else if (name === "retry") this.retry = Number(value);
      else fields[name] = value;
    }
    if (fields.data.length === 0) return;
    const text = fields.data.join("\n");
    this.events.add({ event: fields.event ?? "message", text, data: JSON.parse(text), id: fields.id, lines });
  }
}

function headersOf({ lastEventId, headers, bearer: token }) {
  return { ...bearer(token), ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }), ...headers };
}

// A stream over HTTP/1.1, whatever it is answered; `body` holds the error if it is no stream.
export async function stream(t, server, options) {
  const control = new AbortController();
  defer(t, () => control.abort());
  const path = pathOf(options);
  const asking = fetch(server.url + path, { headers: headersOf(options), signal: control.signal });
  const response = await within(asking, () => `no answer to ${path}`);
  const made = new Stream(response.status, response.headers);
  made.close = () => control.abort();
  if (response.status !== 200) {
    made.text = await response.text();
    made.body = JSON.parse(made.text);
    return made;
  }
  const reading = async () => {
    const decoder = new TextDecoder();
    for await (const chunk of response.body) made.feed(decoder.decode(chunk, { stream: true }));
  };
  reading().then(
    () => made.end("end"),
    () => made.end("cut"),
  );
  return made;
}

// A stream that is open and has its session.
export async function listening(t, server, options, open = stream) {
  const made = await open(t, server, options);
  assert.equal(made.status, 200, made.text);
  made.session = await made.nth("session");
  return made;
}

// A stream over HTTP/2 without TLS, in a connection of its own or in `session`.
export async function h2stream(t, server, { session = h2(t, server), ...options }) {
  const path = pathOf(options);
  const asked = session.request({ ":path": path, ...headersOf(options) });
  asked.on("error", () => {});
  defer(t, () => asked.destroy());
  const answered = new Promise((resolve) => asked.on("response", resolve));
  const headers = await within(answered, () => `no answer to ${path}`);
  const made = new Stream(headers[":status"], new Headers(Object.entries(headers).filter(([name]) => !name.startsWith(":"))));
  made.close = () => asked.close();
  made.stall = () => asked.pause();
  made.resume = () => asked.resume();
  asked.setEncoding("utf8").on("data", (text) => made.feed(text));
  asked.on("close", () => made.end(asked.rstCode === 0 ? "end" : "cut"));
  return made;
}

// A stream over HTTP/1.1 whose reader can stop reading (`stall`) and go on (`resume`).
export async function stalling(t, server, options) {
  const path = pathOf(options);
  const sent = request(server.url + path, { headers: headersOf(options), agent: false });
  defer(t, () => sent.destroy());
  const answered = new Promise((resolve, reject) => sent.on("response", resolve).on("error", reject).end());
  const response = await within(answered, () => `no answer to ${path}`);
  const made = new Stream(response.statusCode, new Headers(response.headers));
  made.stall = () => response.pause();
  made.resume = () => response.resume();
  response.on("error", () => {});
  response.setEncoding("utf8").on("data", (text) => made.feed(text));
  response.on("close", () => made.end(response.complete ? "end" : "cut"));
  return made;
}

// What EventSource needs of fetch, over HTTP/2 without TLS, each request in a connection of its own.
export async function h2fetch(address, { headers, signal }) {
  const { origin, pathname, search } = new URL(address);
  const session = connect(origin);
  const asked = session.request({ ":path": pathname + search, ...headers });
  signal?.addEventListener("abort", () => session.destroy());
  const given = await new Promise((resolve, reject) => {
    session.on("error", reject);
    asked.on("response", resolve).on("error", reject);
    asked.on("close", () => reject(new Error("closed before it was answered")));
  });
  asked.on("close", () => session.destroy());
  const { ":status": status, "content-type": type } = given;
  return new Response(Readable.toWeb(asked), { status, headers: { "content-type": type } });
}

// An HTTP/2 connection without TLS.
export function h2(t, server) {
  const session = connect(server.url);
  session.on("error", () => {});
  defer(t, () => session.destroy());
  return session;
}
