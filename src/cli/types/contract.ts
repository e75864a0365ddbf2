/** What an ack says: it has worked, or why it has not. */
export type Reply<Fields> = ({ ok: true } & Fields) | { ok: false; error: Refusal };
/** An error. `at` is where data is that a schema refuses, as a JSON pointer. */
export interface Refusal { code: string; message: string; retry_after_ms?: number; at?: string }
export interface Sender { user: string; name?: string }
/** A message as it is stored, without its data. */
export interface Meta { room: string; id: string; seq: number; event: string; from: Sender | null; ts: number }
export interface Message<Data = unknown> extends Meta { data: Data }
/** The messages of a room, with events by their names. */
export type RoomMessage = { [Event in keyof RoomEvents]: Message<RoomEvents[Event]> & { event: Event } }[keyof RoomEvents];
export interface Member { user: string; name?: string; status: string; info?: unknown; connections: number; since: number }
export interface Stored { room: string; id: string; seq: number; epoch: string; ts: number; duplicate?: boolean }
export interface Joined {
  room: string; epoch: string; seq: number; messages: RoomMessage[]; recovered: boolean; unread: number; members?: { count: number; users: Member[] };
}
export interface Page { room: string; epoch: string; seq: number; messages: RoomMessage[]; more: boolean }
type Ack<Fields> = (reply: Reply<Fields>) => void;
/** An event for a room with its data, by its name. */
export type Publish = {
  [Event in keyof RoomEvents]: { room: string; event: Event; data: RoomEvents[Event]; id?: string; ephemeral?: boolean; echo?: boolean };
}[keyof RoomEvents];

/** Events that clients send. */
export interface ClientToServerEvents extends OwnClientEvents {
  join: (request: string | { room: string; since?: string; history?: number }, ack?: Ack<Joined>) => void;
  leave: (request: string | { room: string }, ack?: Ack<{ room: string }>) => void;
  message: (request: { room: string; data: RoomEvents["message"]; id?: string; echo?: boolean }, ack?: Ack<Stored>) => void;
  publish: (request: Publish, ack?: Ack<Stored | { room: string }>) => void;
  history: (request: string | { room: string; before?: number; after?: number; limit?: number }, ack?: Ack<Page>) => void;
  presence: (request: string | { room: string; limit?: number; after?: string }, ack?: Ack<{ room: string; count: number; users: Member[]; next?: string }>) => void;
  status: (request: { status: string; info?: Record<string, unknown> }, ack?: Ack<{ status: string }>) => void;
  typing: (request: { room: string; typing: boolean }, ack?: Ack<{ room: string }>) => void;
  typing_start: (request: string | { room: string }, ack?: Ack<{ room: string }>) => void;
  typing_stop: (request: string | { room: string }, ack?: Ack<{ room: string }>) => void;
  read: (request: { room: string; seq: number }, ack?: Ack<{ room: string; seq: number; unread: number }>) => void;
  signal: (
    request: { to: { user: string } | { connection: string }; event: string; data?: unknown; timeout_ms?: number },
    ack?: Ack<{ replies: { user: string; connection: string; data?: unknown; error?: Refusal }[]; missing: number }>,
  ) => void;
  refresh: (request: { token: string }, ack?: Ack<{ expires_at?: number }>) => void;
}

/** Events that clients receive. */
export interface ServerToClientEvents extends OwnServerEvents {
  session: (session: {
    user: string; name?: string; connection: string; node: string; rooms: string[]; expires_at: number | null; limits: Record<string, unknown>; version: string; ts: number;
  }) => void;
  message: (message: Message<RoomEvents["message"]>, offset: string) => void;
  notification: (message: Message, offset: string) => void;
  presence: (change: { room: string; event: "join" | "leave" | "update"; user: string; name?: string; status: string; info?: unknown; count: number; ts: number }) => void;
  typing: (change: { room: string; user: string; name?: string; typing: boolean; expires_in_ms?: number }) => void;
  read: (change: { room: string; user: string; seq: number }) => void;
  signal: (signal: { from: { user: string; name?: string; connection: string }; event: string; data: unknown }, ack: (data: unknown) => void) => void;
  error: (error: Refusal & { event: string; room?: string }) => void;
  kicked: (notice: { room: string; reason: string }) => void;
  draining: (notice: { reconnect_in_ms: number }) => void;
}
