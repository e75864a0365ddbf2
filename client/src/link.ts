// Between a client and its wire: a link makes one connection at a time, and knows nothing of rooms, retries or the application.

import type { SwitchboardError, WireError } from "./errors.js";
import type { Auth, EventMeta, Message, SignalFrom } from "./types.js";

/** The first event of each connection. */
export interface Session {
  user: string;
  name?: string;
  connection: string;
  rooms: string[];
  /** Milliseconds since the Unix epoch, as `ts`. */
  expires_at: number | null;
  limits: { message_bytes: number };
  ts: number;
}

/** The fields of an ack; which there are depends on the request. */
export type Ack = Record<string, any>;

/** Called once, unless the connection closes before. */
export type Reply = (error: WireError | undefined, ack: Ack) => void;

export interface Link {
  /** Makes one attempt to connect. It ends in `opened` or `closed`. */
  open(auth: Auth): void;
  /** Closes, and calls back no more until it is opened again. */
  close(): void;
  /** Absent where clients only read. */
  send?(event: string, payload: object, reply: Reply): void;
}

/** What a link calls. */
export interface LinkEvents {
  /** `recovered`: the server goes on where the last connection was lost, and replays what was missed. */
  opened(session: Session, recovered: boolean): void;
  /** The connection, or the attempt, is over. */
  closed(error: SwitchboardError): void;
  message(message: Message): void;
  ephemeral(data: unknown, meta: EventMeta): void;
  /** Anything else, under its name. */
  notice(event: string, args: any[]): void;
  signal(signal: { from: SignalFrom; event: string; data?: unknown }, reply: (...values: unknown[]) => void): void;
}

export type MakeLink = (events: LinkEvents) => Link;
