// A stream of server-sent events that reconnects: later each time, at once when asked to. It tells a lost connection from an ended session.
//
// EventSource does not say why it failed, and gives up on an error status. So it is closed on failure, its address is asked why, and
// another one is opened.

import { explain, hasLostSession, probe } from "./api.js";

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 10_000;

export class EventStream {
  state = { name: "stopped" }; // connecting, live, waiting { reason, at }
  #options;
  #source;
  #timer;
  #failures = 0;

  // `address` makes the URL; `events` handles each by its name; the stream is live by `liveBy`, "open" or an event's name, and dead when it
  // is silent for `silenceMs`.
  constructor({ address, events, liveBy, silenceMs = 0, onState, onSessionEnd }) {
    this.#options = { address, events, liveBy, silenceMs, onState, onSessionEnd };
  }

  start() {
    this.#close();
    this.#change({ name: "connecting" });
    const { address, events, liveBy } = this.#options;
    const source = new EventSource(address());
    this.#source = source;
    source.onopen = () => liveBy === "open" && this.#live();
    source.onerror = ({ data }) => source === this.#source && this.#fail(reasonOf(data));
    for (const [name, handle] of Object.entries(events)) {
      source.addEventListener(name, ({ data }) => {
        handle(data);
        if (source !== this.#source) return; // the handler has stopped it
        if (name === liveBy) this.#live();
        this.#watch();
      });
    }
    this.#watch();
  }

  stop() {
    this.#close();
    this.#change({ name: "stopped" });
  }

  #close() {
    this.#source?.close();
    this.#source = undefined;
    clearTimeout(this.#timer);
  }

  #live() {
    this.#failures = 0;
    if (this.state.name !== "live") this.#change({ name: "live" });
  }

  #watch() {
    if (!this.#options.silenceMs) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail("The server has gone silent."), this.#options.silenceMs);
  }

  async #fail(said) {
    this.#close();
    const waiting = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.start(), waiting);
    this.#change({ name: "waiting", reason: said ?? "The connection was lost.", at: Date.now() + waiting });
    const state = this.state;
    if (said) return;
    try {
      await probe(this.#options.address());
    } catch (error) {
      if (this.state !== state) return;
      const isOver = await hasLostSession(error);
      if (this.state !== state) return;
      if (isOver) this.#options.onSessionEnd();
      else this.#change(Object.assign(state, { reason: explain(error) }));
    }
  }

  #change(state) {
    this.state = state;
    this.#options.onState(state);
  }
}

// A stream that cannot be served ends with an event of the same name as that of a lost connection.
function reasonOf(data) {
  if (data === undefined) return undefined;
  try {
    return explain(JSON.parse(data));
  } catch {
    return "The server ended the stream.";
  }
}
