// The link over Socket.IO, by a stock socket.io-client 4: one socket, which reconnects when it is told to.

import { io } from "socket.io-client";
import { fromWire, SwitchboardError, unavailable, type WireError } from "./errors.js";
import type { Link, LinkEvents } from "./link.js";
import type { Auth, ErrorCode, EventMeta, Message } from "./types.js";

const NO_ACK: WireError = { code: "bad_request", message: "the ack has another form: does somebody else own this event?" };

export function socketLink(url: string, options: Record<string, unknown> | undefined, events: LinkEvents): Link {
  let auth: Auth = {};
  // Between `open` and the end of that connection.
  let live = false;
  const socket = io(url, {
    ...options,
    autoConnect: false,
    // Another client of the same page may speak for somebody else.
    forceNew: true,
    // The client decides when: it also has to ask for a token, and obeys the server's delays.
    reconnection: false,
    auth: (give: (auth: Auth) => void) => give(auth),
  });

  const ended = (error: SwitchboardError) => {
    if (!live) return;
    live = false;
    events.closed(error);
  };
  socket.on("disconnect", (reason) => {
    const dismissed = reason === "io server disconnect";
    ended(dismissed ? new SwitchboardError("forbidden", "disconnected by the server") : unavailable(reason));
  });
  socket.on("connect_error", (error) => {
    const refused = !socket.active;
    // It may be open, without a session.
    socket.disconnect();
    ended(refusal(error, refused));
  });
  socket.onAny((event: string, ...args: any[]) => {
    if (!live) return;
    if (event === "session") events.opened(args[0], Boolean(socket.recovered));
    else receive(events, event, args);
  });

  return {
    open(newAuth) {
      auth = newAuth;
      live = true;
      socket.connect();
    },
    close() {
      live = false;
      socket.disconnect();
    },
    send(event, payload, reply) {
      // The event may belong to somebody else here, who acknowledges in another form.
      socket.emit(event, payload, (ack: any) => reply(ack?.ok ? undefined : (ack?.error ?? NO_ACK), ack));
    },
  };
}

/** Events of rooms are told by their metadata; the server's own have none. */
function receive(events: LinkEvents, event: string, args: any[]): void {
  const [first, meta] = args;
  if (event === "message" || event === "notification") events.message(first as Message);
  else if (event === "signal") events.signal(first, args[1]);
  else if (!isMeta(meta, event)) events.notice(event, args);
  else if (meta.seq === undefined) events.ephemeral(first, meta);
  else events.message({ ...(meta as Required<EventMeta>), data: first });
}

const isMeta = (meta: any, event: string): meta is EventMeta => meta?.event === event && typeof meta.room === "string";

/** Why an attempt failed: the refusal of the server, of the HTTP request or of the namespace, or the network. */
function refusal(error: any, refused: boolean): SwitchboardError {
  const said: WireError | undefined = error.data ?? parse(error.context?.responseText);
  if (said?.code) return fromWire(said);
  if (!refused) return unavailable(error.message);
  const code: ErrorCode = error.message === "Invalid namespace" ? "not_found" : "forbidden";
  return new SwitchboardError(code, error.message);
}

function parse(text: unknown): any {
  try {
    return JSON.parse(text as string);
  } catch {
    return undefined;
  }
}
