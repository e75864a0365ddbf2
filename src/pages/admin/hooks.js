// Hooks: the back ends that answer and permit, and those that are told what happened.

import { copyButton, make, setText, sync } from "../shared/dom.js";
import { call } from "./api.js";
import { callEndpoint } from "./call_endpoint.js";
import { plural } from "./format.js";
import { Loader } from "./loader.js";
import { notifyEndpoint } from "./notify_endpoint.js";

// Between two looks while something is about to change.
const SOON_MS = 1_000;
// How long somebody who has done something wants to see what comes of it.
const WATCH_MS = 5_000;

const HINTS = {
  node: "They answer events of clients, permit what clients do, and hear what happened.",
  cluster: "Calls are counted by the node that you are connected to; what happened is told by all nodes together.",
};

const NONE =
  "No back end is configured. One can answer events of clients and permit what they do, and one, the same or another, can be told " +
  "what happened. In the server’s configuration:";

const CONFIGURATION = `# Answers these events, permits these.
[[hooks.call]]
url = "https://app.example/realtime"
events = ["order.*"]
on = ["connect", "join"]

# Is told of these, in order.
[[hooks.notify]]
url = "https://app.example/happened"
events = ["message", "user.offline"]`;

export function openHooks({ signal, subtitle }) {
  let watchedUntil = 0;
  const done = () => {
    watchedUntil = Date.now() + WATCH_MS;
    loader.refresh();
  };
  const calls = part("Back ends that answer and permit", "hooks.call", "No back end answers events or permits what clients do.", callEndpoint);
  const create = (endpoint) => notifyEndpoint(endpoint, { done, signal });
  const notified = part("Back ends that are told what happened", "hooks.notify", "No back end is told what happened.", create);
  const none = nothing();
  const hint = make("p", { className: "hint" });
  const content = make("div", { className: "hooks", tabIndex: -1 }, none, calls.element, notified.element);
  let shown = { call: [], notify: [] };
  const show = (hooks) => {
    shown = hooks ? dated(hooks) : { call: [], notify: [] };
    const endpoints = [...shown.call, ...shown.notify];
    none.hidden = !hooks || endpoints.length > 0;
    hint.hidden = endpoints.length === 0;
    for (const { element } of [calls, notified]) element.hidden = endpoints.length === 0;
    setText(subtitle, hooks ? summary(endpoints) : "");
    draw();
  };
  const draw = () => {
    calls.show(shown.call);
    notified.show(shown.notify);
  };
  const loader = new Loader({ load: (running) => call("GET", "v1/hooks", { signal: running }), show, content, signal });
  const tick = () => {
    if (document.hidden || loader.isLoading) return;
    const isAwaited = Date.now() < watchedUntil || [...shown.call, ...shown.notify].some(isDue);
    if (isAwaited && !content.hasAttribute("data-old")) loader.refresh();
    else draw();
  };
  const timer = setInterval(tick, SOON_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  const toolbar = make("div", { className: "toolbar" }, hint, loader.element);
  return {
    title: "Hooks",
    element: make("div", { className: "page" }, toolbar, content),
    update: ({ nodes }) => setText(hint, nodes.length > 1 ? HINTS.cluster : HINTS.node),
  };
}

// Times to come, by the browser's clock. The same URL may be shown for several: without what is secret in it.
function dated({ call: calls, notify }) {
  const date = (endpoint, i) => {
    const wait = endpoint.asked_again_in_ms ?? endpoint.next_attempt_in_ms;
    return { ...endpoint, key: `${i} ${endpoint.url}`, dueAt: wait === undefined ? undefined : Date.now() + wait };
  };
  return { call: calls.map(date), notify: notify.map(date) };
}

// Whether it is another by now: asked again, or being tried.
function isDue({ state, dueAt, sender }) {
  if (dueAt !== undefined) return dueAt <= Date.now();
  return state === "failing" && sender === undefined;
}

function summary(endpoints) {
  if (endpoints.length === 0) return "";
  const troubled = endpoints.filter(({ state }) => state !== "ok").length;
  return `${plural(endpoints.length, "endpoint")}${troubled > 0 ? `, ${troubled} in trouble` : ""}`;
}

function part(title, option, text, create) {
  const list = make("ul", { className: "endpoints" });
  const none = make("p", { className: "none", hidden: true }, text, " ", make("code", {}, option), " configures that.");
  const header = make("header", {}, make("h2", {}, title), make("code", { className: "label" }, option));
  const show = (endpoints) => {
    none.hidden = endpoints.length > 0;
    sync(list, endpoints, create, (element, endpoint) => element.show(endpoint));
  };
  return { element: make("section", { className: "panel", hidden: true }, header, list, none), show };
}

function nothing() {
  const lines = make("pre", { tabIndex: 0, role: "region", "aria-label": "Configuration" }, make("code", {}, CONFIGURATION));
  const copied = make("div", { className: "lines" }, lines, copyButton(lines));
  return make("div", { className: "configure", hidden: true }, make("p", { className: "none" }, NONE), copied);
}
