// Calls of the server's API. The browser adds the cookie of the admin session. Addresses follow from that of this file,
// admin/pages/admin/api.js below the prefix, behind any proxy.

import { byId } from "../shared/dom.js";
import { duration } from "./format.js";

export const config = JSON.parse(byId("config").textContent);

const TIMEOUT_MS = 15_000;
// Without a session the server refuses such a call; it would take another for one of a user.
const OF_DASHBOARD = { "x-switchboard-dashboard": "1" };
let sessionEnded = () => {};

export class CallError extends Error {
  constructor(message, { status, code, retryAfterMs } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfterMs });
  }
}

// Whom to tell when a call answers that there is no session.
export const onSessionEnd = (callback) => (sessionEnded = callback);

export function addressOf(path, query = {}) {
  const url = new URL(`../../../${path}`, import.meta.url);
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") url.searchParams.set(name, value);
  return url;
}

// path`v1/rooms/${room}` encodes names. Browsers take "." and ".." for folders, however they are written.
export function path(texts, ...names) {
  const folder = names.find((name) => name === "." || name === "..");
  if (folder) throw new CallError(`A browser cannot ask for the name “${folder}”. POST /v1/batch can`);
  return String.raw({ raw: texts }, ...names.map(encodeURIComponent));
}

// Resolves to what the call returns; `body` is JSON text. Fails with a CallError, or as `signal` says when that aborts it.
export async function call(method, path, { query, body, signal } = {}) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const options = { method, body, headers: { ...OF_DASHBOARD }, cache: "no-store", signal: signal ? AbortSignal.any([signal, timeout]) : timeout };
  if (body) options.headers["content-type"] = "application/json";
  try {
    const response = await fetch(addressOf(path, query), options);
    const value = parse(await response.text());
    if (response.ok) return value;
    const error = errorOf(response, value);
    if (path.startsWith("v1/") && (await hasLostSession(error))) sessionEnded();
    throw error;
  } catch (error) {
    if (error instanceof CallError || signal?.aborted) throw error;
    throw new CallError(timeout.aborted ? `The server did not answer within ${TIMEOUT_MS / 1000} s` : "The server cannot be reached");
  }
}

// Opens a session, or ends it. The cookie is for the server's path as the browser has it.
const ownPath = () => ({ path: addressOf("").pathname.replace(/\/$/, "") });
export const openSession = (key) => call("POST", "admin/session", { query: ownPath(), body: JSON.stringify({ key }) });
export const closeSession = () => call("DELETE", "admin/session", { query: ownPath() });

// Whether there is a session: its end in milliseconds since the Unix epoch, or null.
export async function findSession() {
  try {
    return (await call("GET", "admin/session")).expires_at;
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

// Whether a refusal is one for want of a session. A server without keys takes whoever brings none for a user, and forbids what is an operator's.
export async function hasLostSession({ status }) {
  if (status !== 401 && status !== 403) return false;
  return (await findSession().catch(() => undefined)) === null;
}

// Why a stream is not served: EventSource does not say it. Resolves if it is.
export async function probe(address) {
  const aborting = new AbortController();
  try {
    const response = await fetch(address, { headers: OF_DASHBOARD, cache: "no-store", signal: AbortSignal.any([aborting.signal, AbortSignal.timeout(TIMEOUT_MS)]) });
    if (!response.ok) throw errorOf(response, parse(await response.text()));
  } catch (error) {
    throw error instanceof CallError ? error : new CallError("The server cannot be reached");
  } finally {
    aborting.abort();
  }
}

// What went wrong, as a sentence.
export function explain({ message, retryAfterMs }) {
  const sentence = `${message.charAt(0).toUpperCase()}${message.slice(1).replace(/\.$/, "")}.`;
  return retryAfterMs > 0 ? `${sentence} Try again in ${duration(retryAfterMs)}.` : sentence;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // nothing, or a proxy's page
  }
}

function errorOf({ status, headers }, value) {
  const message = typeof value?.message === "string" ? value.message : `The server answered with status ${status}`;
  const retryAfterMs = value?.retry_after_ms ?? 1000 * Number(headers.get("retry-after"));
  return new CallError(message, { status, code: value?.code, retryAfterMs });
}
