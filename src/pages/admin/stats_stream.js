// Keeps the stats up to date while the page is looked at, and shows how far they are: live, or from when.

import { byId, setText } from "../shared/dom.js";
import { addressOf } from "./api.js";
import { EventStream } from "./event_stream.js";
import { duration, second } from "./format.js";
import { Stats } from "./stats.js";

// Three updates that did not come.
const SILENCE_MS = 16_000;

// Calls `changed` with the stats.
export function openStats({ changed, onSessionEnd }) {
  const stats = new Stats();
  let since = 0;
  const stream = new EventStream({
    address: () => {
      since = stats.series.ts.at(-1) ?? 0;
      return addressOf("v1/stats/stream", { since });
    },
    events: {
      stats: (data) => {
        if (stats.replace(JSON.parse(data), since)) return changed(stats);
        // A balancer has chosen another node, whose hour is wanted as a whole.
        stats.series = { ts: [] };
        stream.start();
      },
      update: (data) => {
        stats.update(JSON.parse(data));
        changed(stats);
      },
    },
    liveBy: "stats",
    silenceMs: SILENCE_MS,
    onState: () => showState(stream.state, stats),
    onSessionEnd,
  });
  // Nobody looks at a hidden page, and browsers open few connections to one server.
  const look = () => (document.hidden ? stream.stop() : stream.start());
  document.addEventListener("visibilitychange", look);
  const clock = setInterval(() => showClock(stream.state), 1000);
  byId("try-now").onclick = () => {
    stream.start();
    byId("title").focus();
  };
  look();
  return {
    close() {
      document.removeEventListener("visibilitychange", look);
      clearInterval(clock);
      stream.stop();
    },
  };
}

function showState(state, { ts }) {
  byId("app").dataset.stream = state.name;
  byId("try-now").hidden = state.name !== "waiting";
  const from = ts > 0 ? ` Numbers are from ${second(ts)}.` : "";
  const texts = { live: "Live", connecting: `Connecting.${from}`, waiting: `${state.reason}${from}`, stopped: `Paused.${from}` };
  setText(byId("stream-text"), texts[state.name]);
  showClock(state);
  byId("app").dispatchEvent(new CustomEvent("stream", { detail: state.name }));
}

function showClock({ name, at }) {
  setText(byId("stream-clock"), name === "waiting" ? `Next attempt in ${duration(at - Date.now())}.` : "");
}
