// Server-Sent Events, for pages that only read: rooms as one list, without a client.

import { Connection } from "./connection.js";
import { fromWire, SwitchboardError, unavailable } from "./errors.js";
import { Handlers } from "./handlers.js";
import { IDLE_STREAM } from "./idle.js";
import type { Link, LinkEvents } from "./link.js";
import { queryOf } from "./query.js";
import { Published, Scheduler } from "./scheduler.js";
import type * as T from "./types.js";
import { Usage } from "./usage.js";

/** What the server sends besides messages and events with handlers. */
const NAMES = ["session", "message", "notification", "reset", "error"];

/**
 * Follows rooms over Server-Sent Events. It opens its stream with the first subscription or handler, closes it a second after the
 * last is gone, and goes on where it was.
 */
export function subscribe<Events extends T.EventMap = T.EventMap>(
  url: string,
  rooms: string | readonly string[],
  options: T.StreamOptions = {},
): T.EventStream<Events> {
  return new RoomStream(url, rooms, options) as T.EventStream<any>;
}

class RoomStream implements T.EventStream<any> {
  readonly #connection: Connection;
  readonly #store: Published<T.StreamSnapshot<any>>;
  readonly #usage: Usage;
  readonly #handlers = new Handlers<(data: any, meta: any) => void>();
  readonly #names: Set<string>;
  readonly #maxMessages: number;
  /** The number of each room's last message; -1: the next one has some missing before it. */
  readonly #heads: Record<string, number> = Object.create(null);
  #listen: ((name: string) => void) | undefined;
  #messages: T.ListedMessage<any>[] = [];
  #listChanged = false;

  constructor(url: string, rooms: string | readonly string[], options: T.StreamOptions) {
    const scheduler = new Scheduler();
    this.#names = new Set([...NAMES, ...(options.events ?? [])]);
    this.#maxMessages = options.maxMessages ?? 20_000;
    this.#store = new Published<T.StreamSnapshot<any>>(scheduler, IDLE_STREAM, (previous) => this.#build(previous));
    const events = {
      opened: () => {},
      message: (message: T.Message<any>) => this.#message(message),
      ephemeral: (data: unknown, meta: T.EventMeta) => this.#handlers.call(meta.event, data, meta),
      notice: (event: string, [payload]: any[]) => this.#notice(event, payload),
      signal: () => {},
      changed: () => this.#store.changed(),
    };
    const query = { room: rooms, history: options.history };
    const makeLink = (link: LinkEvents) => streamLink(url, query, options, link, (listen) => {
      this.#listen = listen;
      this.#names.forEach(listen);
    });
    this.#connection = new Connection(options, scheduler, makeLink, events);
    this.#usage = new Usage(
      () => this.#connection.use(),
      () => this.#connection.status !== "closed" && this.#connection.end("idle"),
    );
  }

  subscribe(listener: () => void): T.Unsubscribe {
    const release = this.#usage.use();
    const end = this.#store.subscribe(listener);
    return () => (end(), release());
  }

  getSnapshot(): T.StreamSnapshot<any> {
    return this.#store.getSnapshot();
  }

  on(event: string, handler: (data: any, meta: any) => void): T.Unsubscribe {
    if (!this.#names.has(event)) this.#listen?.(event);
    this.#names.add(event);
    const release = this.#usage.use();
    const end = this.#handlers.on(event, handler);
    return () => (end(), release());
  }

  close(): void {
    this.#connection.end("closed");
  }

  #notice(event: string, payload: any): void {
    if (event === "reset") {
      this.#heads[payload.room] = -1;
      this.#listChanged = true;
      this.#store.changed();
    }
    this.#handlers.call(event, payload, undefined);
  }

  #message(message: T.Message<any>): void {
    const { data, ...meta } = message;
    const { room, seq, event } = meta;
    const head = this.#heads[room];
    // A stream that was opened again may repeat some.
    if (head !== undefined && seq <= head) return;
    this.#heads[room] = seq;
    // Numbers that are left out are those of events that are not listened to.
    this.#messages.push({ ...message, state: "sent", ...(head === -1 && { afterGap: true }) });
    this.#messages.splice(0, this.#messages.length - this.#maxMessages);
    this.#listChanged = true;
    this.#store.changed();
    this.#handlers.call(event, data, meta);
  }

  #build({ messages, gap }: T.StreamSnapshot<any>): T.StreamSnapshot<any> {
    const { status, error } = this.#connection;
    if (this.#listChanged) {
      messages = [...this.#messages];
      gap = messages.some(({ afterGap }) => afterGap) || Object.values(this.#heads).includes(-1);
    }
    this.#listChanged = false;
    return { status, ...(error && { error }), messages, gap };
  }
}

/** One EventSource after the other: what one would do by itself is done here, with a new token where that is needed. */
function streamLink(
  url: string,
  query: Record<string, unknown>,
  options: T.StreamOptions,
  events: LinkEvents,
  attached: (listen: (name: string) => void) => void,
): Link {
  let source: T.EventSourceLike | undefined;
  let since: string | undefined;
  let error: SwitchboardError | undefined;
  const close = () => {
    source?.close();
    source = undefined;
  };

  const received = (name: string, payload: any) => {
    if (name === "session") events.opened(payload, false);
    else if (name === "error") error = fromWire(payload);
    else if (payload.event !== name || !("data" in payload)) events.notice(name, [payload]);
    else if (payload.seq !== undefined) events.message(payload);
    else {
      const { data, ...meta } = payload;
      events.ephemeral(data, meta);
    }
  };
  return {
    open(auth) {
      const { EventSource } = { ...(globalThis as { EventSource?: T.StreamOptions["EventSource"] }), ...options };
      if (!EventSource) return events.closed(new SwitchboardError("bad_request", "no EventSource: pass one in the options"));
      error = undefined;
      const opened = (source = new EventSource(`${url.replace(/\/$/, "")}/events${queryOf({ ...auth, ...query, since })}`));
      attached((name) =>
        opened.addEventListener(name, ({ data, lastEventId }) => {
          if (opened !== source) return;
          since = lastEventId || since;
          if (data !== undefined) return received(name, JSON.parse(data));
          close();
          events.closed(error ?? unavailable("the event stream was closed"));
        }),
      );
    },
    close,
  };
}
