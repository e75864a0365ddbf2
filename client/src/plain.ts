// The client over plain WebSocket: `/ws`, without socket.io-client.

import { Timer } from "./backoff.js";
import { SwitchboardClient } from "./client.js";
import { fromWire, SwitchboardError, unavailable } from "./errors.js";
import type { Link, LinkEvents, Reply } from "./link.js";
import { queryOf } from "./query.js";
import type { Client, ClientOptions, ErrorCode, EventMap, PlainOptions, WebSocketLike } from "./types.js";

/** The server's pings are not shown to pages, so a silent connection is asked. */
const SILENCE_MS = 25_000;
const ANSWER_MS = 10_000;
const PROBE_MS = 1000;

const CLOSE_CODES: Record<number, ErrorCode> = { 4001: "token_expired", 4003: "forbidden", 4009: "too_large", 4029: "rate_limited" };

/**
 * As `createClient`, over plain WebSocket: the same rooms, without signals. A connection is never recovered; its rooms are joined
 * again where they were.
 */
export function connectPlain<Events extends EventMap = EventMap>(url: string, options: PlainOptions = {}): Client<Events> {
  return new SwitchboardClient(url, options as ClientOptions, (events) => plainLink(url, options, events));
}

function plainLink(url: string, options: PlainOptions, events: LinkEvents): Link {
  const base = url.replace(/\/$/, "");
  const WebSocket = options.WebSocket ?? (globalThis as { WebSocket?: PlainOptions["WebSocket"] }).WebSocket;
  const replies = new Map<string, Reply>();
  const silence = new Timer();
  let socket: WebSocketLike | undefined;
  let user: string | undefined;
  let lastId = 0;

  const drop = () => {
    const dropped = socket;
    socket = user = undefined;
    silence.clear();
    replies.clear();
    dropped?.close();
  };
  const ended = (error: SwitchboardError) => {
    drop();
    events.closed(error);
  };
  const send = (event: string, payload: { room?: string }, reply: Reply) => {
    const id = `r${(lastId += 1)}`;
    replies.set(id, reply);
    // A message has an id of its own in its data.
    const type = event === "publish" ? "event" : event;
    socket?.send(JSON.stringify({ type, id, room: payload.room, data: payload }));
  };
  const listen = () =>
    silence.set(SILENCE_MS, () => {
      send("history", { room: `user:${user}`, limit: 1 } as object, () => {});
      silence.set(ANSWER_MS, () => ended(unavailable("the server is silent")));
    });

  return {
    open(auth) {
      if (!WebSocket) return ended(new SwitchboardError("bad_request", "no WebSocket: pass one in the options"));
      const query = queryOf(auth);
      const opened = (socket = new WebSocket(`${base.replace(/^http/, "ws")}/ws${query}`));
      opened.onmessage = ({ data }) => {
        if (opened !== socket) return;
        const frame = JSON.parse(data as string);
        listen();
        if (frame.type === "system" && frame.data?.event === "connected") user = frame.data.user;
        receive(events, replies, frame);
      };
      opened.onerror = () => {};
      opened.onclose = async ({ code, reason }) => {
        if (opened !== socket) return;
        const closed = new SwitchboardError(CLOSE_CODES[code] ?? "unavailable", `closed: ${code} ${reason}`);
        const error = user === undefined ? await refusal(base, query) : closed;
        if (opened === socket) ended(error);
      };
    },
    close: drop,
    send,
  };
}

function receive(events: LinkEvents, replies: Map<string, Reply>, frame: any): void {
  const { type, id, room, data, seq, from, timestamp } = frame;
  const message = () => ({ room, id, seq, from, ts: Math.round(timestamp * 1000) });
  const reply = replies.get(id);
  if (type === "ack" || (type === "error" && reply)) {
    replies.delete(id);
    reply?.(type === "error" ? data : undefined, data ?? {});
  } else if (type === "text") events.message({ ...message(), event: "message", data });
  else if (type === "system" && data.event === "connected") events.opened(data, false);
  else if (type === "system") events.notice(data.event, [data]);
  else if (type !== "event") events.notice(type, [data]);
  else if (seq !== undefined) events.message({ ...message(), event: data.event, data: data.data });
  else if (from === undefined) events.notice(data.event, [data.data]);
  else events.ephemeral(data.data, { room, event: data.event, from, ts: message().ts, ...(id && { id }) });
}

/** A WebSocket does not say why it was not opened. A request without an upgrade does, if there is an answer. */
async function refusal(base: string, query: string): Promise<SwitchboardError> {
  const { fetch, AbortController } = globalThis as Record<string, any>;
  if (fetch && AbortController) {
    const probe = new AbortController();
    const timer = new Timer();
    timer.set(PROBE_MS, () => probe.abort());
    try {
      const response = await fetch(`${base}/events/-${query}`, { signal: probe.signal });
      if (response.status === 403) return new SwitchboardError("forbidden", "this origin may not connect");
      if (response.status === 401) return fromWire(await response.json());
    } catch {
      // There is no answer.
    } finally {
      timer.clear();
      // Otherwise it is a stream.
      probe.abort();
    }
  }
  return unavailable("no connection");
}
