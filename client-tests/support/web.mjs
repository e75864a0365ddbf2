// Plain HTTP, as a browser's or a back end's fetch speaks it: REST and long polls.

import assert from "node:assert/strict";
import { within } from "./scope.mjs";

// The path with its parameters; those without a value are left out, lists are repeated.
export function withQuery(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) if (each !== undefined) query.append(name, each);
  }
  return query.size === 0 ? path : `${path}?${query}`;
}

// The headers that show a token or an API key.
export const bearer = (token) => (token === undefined ? {} : { authorization: `Bearer ${token}` });

// One request; resolves to `{ status, headers, text, body }`, `body` being the JSON of the answer. `key` is an API key
// or a token; `user` a name in open mode; `body` is sent as JSON, `raw` as it is.
export async function call(server, method, path, { key, user, query, body, raw, headers, signal, ms } = {}) {
  const url = server.url + withQuery(path, { user, ...query });
  const json = body === undefined ? {} : { "content-type": "application/json" };
  const asking = fetch(url, {
    method,
    headers: { ...bearer(key), ...json, ...headers },
    body: body === undefined ? raw : JSON.stringify(body),
    signal,
    ...(typeof raw?.getReader === "function" ? { duplex: "half" } : {}),
  });
  const reading = asking.then(async (response) => ({ response, text: await response.text() }));
  const { response, text } = await within(reading, () => `no answer to ${method} ${path}`, ms);
  return { status: response.status, headers: response.headers, text, body: parsed(response, text) };
}

function parsed(response, text) {
  return /\bjson\b/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : undefined;
}

// Calls that always come from the same caller: `{ key }` or `{ user }`.
export class Caller {
  constructor(server, who = {}) {
    this.server = server;
    this.who = who;
  }

  call(method, path, options) {
    return call(this.server, method, path, { ...this.who, ...options });
  }

  // The body of an answer that has to have `status`.
  async ok(status, method, path, options) {
    const answer = await this.call(method, path, options);
    assert.equal(answer.status, status, `${method} ${path} → ${answer.status} ${answer.text}`);
    return answer.body;
  }

  get = (path, query) => this.ok(200, "GET", path, { query });

  // The body of the refusal that the call has to get.
  async refused(status, code, method, path, options) {
    return isRefusal(await this.call(method, path, options), status, code, `${method} ${path}`);
  }

  // Stores a message in a room; resolves to `{ room, id, seq, epoch, ts }`.
  say = (room, data, more) => this.ok(201, "POST", `/v1/rooms/${encodeURIComponent(room)}/messages`, { body: { data, ...more } });
}

// An answer is an error of the one shape, with this status and code; returns the error.
export function isRefusal({ status, headers, text, body }, expected, code, what = "") {
  assert.equal(status, expected, `${what} → ${status} ${text}`);
  assert.equal(body?.code, code, `${what} → ${status} ${text}`);
  assert.equal(typeof body.message, "string");
  assert.notEqual(body.message, "");
  for (const name of Object.keys(body)) assert.ok(["code", "message", "retry_after_ms", "at"].includes(name), text);
  if (status === 503) assert.ok(Number(headers.get("retry-after")) >= 0 && headers.has("retry-after"), "says when to come back");
  return body;
}

// What the server counts under a name.
export async function metric(server, name) {
  const { text } = await call(server, "GET", "/metrics");
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.split(" ")[1]);
}

// One poll; resolves to `{ status, headers, body }`.
export const poll = (server, room, { since, wait, limit, ...options } = {}) =>
  call(server, "GET", `/poll/${encodeURIComponent(room)}`, { ...options, query: { since, wait, limit, ...options.query } });

// The body of a poll that has to succeed.
export async function polled(server, room, options) {
  const { status, text, body } = await poll(server, room, options);
  assert.equal(status, 200, text);
  return body;
}
