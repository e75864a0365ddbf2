// What the server says of itself in the page, and the addresses that follow from it: relative to the page, behind any proxy.

import { byId, make } from "../shared/dom.js";

export const config = JSON.parse(byId("config").textContent);

const SAMPLE_NAMES = ["alice", "bob", "carol", "dave"];
const LINKS = [
  ["rest", "v1/docs", "API docs"],
  ["health", "healthz", "healthz"],
  ["health", "readyz", "readyz"],
  ["metrics", "metrics", "metrics"],
  ["events", "events/lobby", "events/lobby"],
];

export const serves = (group) => config.groups.includes(group);

// The address of one of the server's own paths, such as "v1/docs"; `identity` is { user } or { token }.
export function addressOf(path, identity = {}) {
  const url = new URL(`.${config.prefix}/${path}`, document.baseURI);
  url.hash = "";
  url.search = new URLSearchParams(identity);
  return url;
}

export function webSocketAddress(identity) {
  const url = addressOf("ws", identity);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

// A sample name that is not among `taken`.
export const freeName = (taken) => SAMPLE_NAMES.find((name) => !taken.includes(name)) ?? `guest-${taken.length}`;

// Links to what is served. Its events need a name or a token, too.
export function showLinks(identity) {
  for (const nav of document.querySelectorAll(".links")) {
    const links = LINKS.filter(([group]) => serves(group)).map(([group, path, text]) =>
      make("a", { href: addressOf(path, group === "events" ? identity : {}) }, text),
    );
    nav.replaceChildren(...links);
  }
}

// Why the server refuses this name or token: plain HTTP says what a browser's WebSocket does not.
export async function explainRefusal({ user, token }) {
  const path = { poll: "poll/lobby", rest: "v1/rooms/lobby/messages", events: "events/lobby" }[["poll", "rest", "events"].find(serves)];
  if (!path) return undefined;
  const aborting = new AbortController();
  const timer = setTimeout(() => aborting.abort(), 3000);
  try {
    const headers = { accept: "application/json", ...(token && { authorization: `Bearer ${token}` }) };
    const response = await fetch(addressOf(path, user ? { user } : {}), { headers, signal: aborting.signal });
    if (response.ok) return undefined;
    return { ...(await response.json()), final: [400, 401].includes(response.status) };
  } catch {
    return undefined; // nobody is there
  } finally {
    clearTimeout(timer);
    aborting.abort();
  }
}
