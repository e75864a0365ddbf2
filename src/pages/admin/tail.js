// What a room says, live. The list is bounded, stays at its end unless somebody scrolls up or pauses it, and says what it leaves out.

import { byId, make, setText } from "../shared/dom.js";
import { addressOf, explain, path } from "./api.js";
import { EventStream } from "./event_stream.js";
import { count, plural } from "./format.js";
import { parseExactly } from "./json.js";
import { entryOf, noteOf } from "./tail_entry.js";

const HISTORY = 20;
// Entries in the list, and as many that wait for it.
const KEPT = 300;
// So many at once; nobody reads more.
const FLUSH_MS = 200;
const FLUSHED = 40;

export function openTail({ room, signal, onSessionEnd }) {
  const list = make("ol", { className: "entries" });
  const status = make("p", { className: "freshness", role: "status" }, "Connecting…");
  const pause = make("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const newest = make("button", { type: "button", className: "newest", hidden: true });
  const none = make("p", { className: "none", hidden: true }, "Nothing has been said here yet.");
  const scroller = make("div", { className: "scroller", role: "log", "aria-live": "off", tabIndex: 0 }, none, list);
  scroller.setAttribute("aria-label", `Events in ${room}`);
  const header = make("header", {}, make("h2", {}, "Live events"), status, pause);
  const element = make("section", { className: "tail", "aria-label": "Live events" }, header, make("div", { className: "frame" }, scroller, newest));

  const waiting = []; // entries that are not in the list yet
  const seen = new Set(); // ids of stored messages: a reconnect sends the last ones again
  let leftOut = 0;
  let lastSeq = 0;
  let isResuming = false;
  let atEnd = true;
  const isFollowing = () => atEnd && pause.ariaPressed === "false";

  function add(entry) {
    waiting.push(entry);
    if (waiting.length <= KEPT) return;
    waiting.shift();
    leftOut += 1;
  }

  function addMessage(message) {
    if (message.id !== undefined && seen.has(message.id)) return;
    seen.add(message.id);
    if (seen.size > 2 * KEPT) seen.delete(seen.values().next().value);
    if (isResuming && message.seq > lastSeq + 1) add(noteOf(`${plural(message.seq - lastSeq - 1, "message")} missed while reconnecting`));
    isResuming = false;
    lastSeq = message.seq ?? lastSeq;
    add(entryOf(message));
  }

  function flush() {
    newest.hidden = atEnd;
    none.hidden = stream.state.name !== "live" || list.children.length + waiting.length > 0;
    setText(newest, waiting.length > 0 ? `${plural(waiting.length, "new event")}` : "Newest events");
    setText(pause, pause.ariaPressed === "true" ? `Resume${waiting.length > 0 ? ` (${count(waiting.length)})` : ""}` : "Pause");
    if (!isFollowing() || waiting.length === 0) return;
    const entries = waiting.splice(0, FLUSHED);
    if (leftOut > 0) entries.unshift(noteOf(`${plural(leftOut, "event")} not shown`));
    leftOut = 0;
    list.append(...entries.map((build) => build()));
    while (list.children.length > KEPT) list.firstChild.remove();
    scroller.scrollTop = scroller.scrollHeight;
  }

  const measure = () => (atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 24);
  scroller.addEventListener("scroll", measure, { passive: true });
  const observer = new ResizeObserver(() => isFollowing() && (scroller.scrollTop = scroller.scrollHeight));
  observer.observe(scroller);
  newest.onclick = () => {
    atEnd = true;
    pause.ariaPressed = "false";
    flush();
    scroller.scrollTop = scroller.scrollHeight;
    scroller.focus();
  };
  pause.onclick = () => {
    pause.ariaPressed = pause.ariaPressed === "true" ? "false" : "true";
    flush();
  };
  const timer = setInterval(flush, FLUSH_MS);

  const stream = new EventStream({
    address: () => addressOf(path`v1/rooms/${room}/tail`, { history: HISTORY }),
    events: {
      message: (data) => addMessage(parseExactly(data)),
      event: (data) => add(entryOf(parseExactly(data))),
      skipped: (data) => add(noteOf(`${plural(JSON.parse(data).events, "event")} skipped: this page reads too slowly`)),
    },
    liveBy: "open",
    onState({ name, reason }) {
      if (name !== "live") isResuming = lastSeq > 0;
      element.dataset.stream = name;
      setText(status, { live: "Connected", connecting: "Connecting…", waiting: `Reconnecting. ${reason}` }[name] ?? "");
    },
    onSessionEnd,
  });
  const start = () => {
    try {
      stream.start();
    } catch (error) {
      setText(status, explain(error)); // a name that has no address
    }
  };
  start();
  // A connection that is lost in silence is noticed where something comes every few seconds: in the stream of the stats.
  byId("app").addEventListener("stream", ({ detail }) => detail === "waiting" && start(), { signal });
  signal.addEventListener("abort", () => {
    stream.stop();
    clearInterval(timer);
    observer.disconnect();
  });
  return element;
}
