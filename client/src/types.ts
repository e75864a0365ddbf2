// The types that an application sees.

/** Events of rooms by name, each with the type of its `data`. `message` is what `room.send` sends. */
export type EventMap = Record<string, any>;

/** The error codes of the protocol, and two of this library: `timeout` (no ack in time) and `closed` (the client was closed). */
export type ErrorCode =
  | "bad_request"
  | "unauthorized"
  | "token_expired"
  | "forbidden"
  | "not_joined"
  | "not_found"
  | "too_large"
  | "rate_limited"
  | "limit_reached"
  | "unavailable"
  | "draining"
  | "internal"
  | "timeout"
  | "closed";

export interface Sender {
  user: string;
  name?: string;
}

/** A message as the server stores it. */
export interface Message<Data = unknown, Event extends string = string> {
  room: string;
  id: string;
  /** The number in its room: 1, 2, 3 ... without gaps. */
  seq: number;
  event: Event;
  /** `null` when a back end published it without a sender. */
  from: Sender | null;
  data: Data;
  /** Server time, milliseconds since the Unix epoch. */
  ts: number;
}

/** A message of a room's list. */
export interface ListedMessage<Data = unknown, Event extends string = string> extends Omit<Message<Data, Event>, "seq"> {
  /** `undefined` until the message is stored. */
  seq?: number;
  /** `pending`: not acknowledged yet, and sent again until it is. `failed`: refused for good; see `error` and `retry`. */
  state: "pending" | "sent" | "failed";
  /** Of a failed message: why. */
  error?: SwitchboardErrorShape;
  /** Of a failed message: sends it again under the same `id`. */
  retry?: () => void;
  /** Some messages before this one cannot be had any more. */
  afterGap?: true;
}

export interface SwitchboardErrorShape {
  code: ErrorCode;
  message: string;
  /** Waiting that long helps. */
  retryAfterMs?: number;
}

export interface Member {
  user: string;
  name?: string;
  status: string;
  info?: Record<string, unknown>;
}

export interface Typist {
  user: string;
  name?: string;
}

export type RoomStatus = "idle" | "joining" | "joined" | "offline" | "refused";

/** A room at one moment. Immutable; parts that did not change are the same objects as before. */
export interface RoomSnapshot<Events extends EventMap = EventMap> {
  /** `idle`: nobody uses the room. `offline`: joined again once the client is connected. `refused`: see `error`. */
  status: RoomStatus;
  error?: SwitchboardErrorShape;
  /** All durable messages of the room in order, each once, then the own ones that are not stored yet. */
  messages: readonly ListedMessageOf<Events>[];
  /** `loadOlder` has more. */
  hasOlder: boolean;
  /** Messages are missing that cannot be had any more; the first one behind each hole has `afterGap`. */
  gap: boolean;
  /** Messages of others after the own read marker. */
  unread: number;
  members: { count: number; users: readonly Member[] };
  /** Who else is typing. */
  typing: readonly Typist[];
}

export type ListedMessageOf<Events extends EventMap> = {
  [Event in keyof Events & string]: ListedMessage<Events[Event], Event>;
}[keyof Events & string];

export type MessageOf<Events extends EventMap, Event extends keyof Events & string = keyof Events & string> = {
  [Name in Event]: Message<Events[Name], Name>;
}[Event];

/** An ephemeral event has neither `seq` nor `id`. */
export interface EventMeta {
  room: string;
  event: string;
  from: Sender | null;
  ts: number;
  id?: string;
  seq?: number;
}

export type ConnectionStatus = "idle" | "connecting" | "connected" | "offline" | "refused" | "closed";

/** The connection at one moment. Immutable. */
export interface ConnectionSnapshot {
  /** `offline`: waits for the next attempt. `refused`: gave up; `error` says why, `client.connect()` tries again. */
  status: ConnectionStatus;
  user?: string;
  name?: string;
  /** The server's id of this connection, the same as `socket.id`. */
  connection?: string;
  /** Attempts since it was connected last. */
  attempt: number;
  maxAttempts: number;
  /** When the next attempt is made, milliseconds since the Unix epoch. */
  retryAt?: number;
  error?: SwitchboardErrorShape;
}

/** Something with a state that React's `useSyncExternalStore`, or anything else, can follow. */
export interface Store<Snapshot> {
  /** Calls `listener` after each change, at most once a frame; returns what ends it. */
  subscribe(listener: () => void): () => void;
  /** The same object until something changes. */
  getSnapshot(): Snapshot;
}

export type Unsubscribe = () => void;

export type EventHandler<Data> = (data: Data, meta: EventMeta) => void;

export interface PublishOptions {
  /** Neither numbered nor stored: not in the list, not queued while offline, not sent again. */
  ephemeral?: boolean;
  /** Of ephemeral events: `false` leaves this connection out. */
  echo?: boolean;
  /** 1 to 64 characters; random without it. The same `id` again is the same message. */
  id?: string;
}

export interface Typing {
  /** Call it at each key: announces typing, repeats that while it goes on, and ends it a while after the last key. */
  keystroke(): void;
  /** Ends it now. Sending a message does so, too. */
  stop(): void;
}

/**
 * A room. It is joined with the first subscription or handler, or when something is sent, and left one second after the last is
 * gone. `client.room(name)` returns the same object each time.
 */
export interface Room<Events extends EventMap = EventMap> extends Store<RoomSnapshot<Events>> {
  readonly name: string;
  /** Sends a message; resolves once it is stored. A rejection that nobody handles is not reported: the list has it as `failed`. */
  send(data: Events["message"], options?: { id?: string }): Promise<MessageOf<Events>>;
  publish<Event extends keyof Events & string>(
    event: Event,
    data: Events[Event],
    options: PublishOptions & { ephemeral: true },
  ): Promise<void>;
  publish<Event extends keyof Events & string>(
    event: Event,
    data: Events[Event],
    options?: PublishOptions,
  ): Promise<MessageOf<Events, Event>>;
  /** Handles each event of that name, durable or ephemeral, in order, each once: live and recovered ones, not history. */
  on<Event extends keyof Events & string>(event: Event, handler: EventHandler<Events[Event]>): Unsubscribe;
  /** Loads the page before the first message; resolves with whether there are more. */
  loadOlder(limit?: number): Promise<boolean>;
  /** Moves the own read marker, to the last message of the list without an argument. */
  markRead(seq?: number): Promise<void>;
  readonly typing: Typing;
}

export interface SignalTarget {
  user?: string;
  connection?: string;
}

export interface SignalReply<Data = unknown> {
  user: string;
  connection: string;
  data?: Data;
  error?: SwitchboardErrorShape;
}

export interface SignalFrom {
  user: string;
  name?: string;
  connection: string;
}

/** What it returns, or resolves with, is the reply. */
export type SignalHandler<Data = any> = (data: Data, from: SignalFrom) => unknown;

/** The personal room: what back ends sent to this user. */
export interface Notifications<Data = unknown> extends Store<NotificationsSnapshot<Data>> {
  on(handler: (data: Data, message: Message<Data>) => void): Unsubscribe;
  loadOlder(limit?: number): Promise<boolean>;
  markRead(seq?: number): Promise<void>;
}

export interface NotificationsSnapshot<Data = unknown> {
  status: RoomStatus;
  error?: SwitchboardErrorShape;
  messages: readonly Message<Data>[];
  hasOlder: boolean;
  gap: boolean;
  unread: number;
}

export interface Client<Events extends EventMap = EventMap> {
  readonly url: string;
  /** The connection's status; `connection` has more. */
  readonly status: ConnectionStatus;
  readonly connection: Store<ConnectionSnapshot>;
  room(name: string): Room<Events>;
  readonly notifications: Notifications;
  /** Handles an event of any room, or one that the server sends to this connection: `session`, `kicked`, `draining`, `error`. */
  on(event: string, handler: (...args: any[]) => void): Unsubscribe;
  /** Sends an event to a user's connections, or to one, and resolves with what they replied. Socket.IO only. */
  signal<Reply = unknown>(
    to: SignalTarget,
    event: string,
    data?: unknown,
    options?: { timeoutMs?: number },
  ): Promise<{ replies: SignalReply<Reply>[]; missing: number }>;
  onSignal<Data = any>(event: string, handler: SignalHandler<Data>): Unsubscribe;
  /** Sets the user's status, shown in all rooms: `online`, `away`, `busy` or any word. */
  setStatus(status: string, info?: Record<string, unknown>): Promise<void>;
  /** Connects now instead of with the first use; tries again after it was refused. */
  connect(): void;
  /** Ends everything: leaves the rooms, fails what is not sent with `closed`, and forgets the offline queue of this page. */
  close(): void;
}

export type Auth = Record<string, unknown>;

/** What the offline queue needs of `localStorage`. */
export interface QueueStorage {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface ClientOptions {
  /** `{ token }`, or `{ user }` in open mode; or a function that is asked before each connect, and before the token expires. */
  auth?: Auth | (() => Auth | Promise<Auth>);
  /** How many messages a room's list begins with. Default 50. */
  history?: number;
  /** How many messages a room's list keeps; older ones are loaded again by `loadOlder`. Default 20,000. */
  maxMessages?: number;
  /** How long to wait for an ack before a message is sent again. Default 10,000 ms. */
  ackTimeout?: number;
  reconnect?: {
    /** The first delay; doubled after each attempt, each spread by half. Default 1,000 ms. */
    minDelay?: number;
    /** Default 30,000 ms. */
    maxDelay?: number;
    /** How many attempts in a row are made before it gives up (status `refused`). Default 50, about 24 minutes. */
    attempts?: number;
  };
  queue?: {
    /** How many messages may wait to be stored; more fail with `limit_reached`. Default 200. */
    max?: number;
    /** Where they outlive the page, such as `localStorage`. Default: nowhere. */
    storage?: QueueStorage;
    /** Keeps the queues of several users of one browser apart: messages are only sent by a client with the same key. Default: the URL. */
    key?: string;
  };
  /** Options for socket.io-client itself, such as `{ path, transports, withCredentials }`. */
  socket?: Record<string, unknown>;
}

/** What the library uses of a WebSocket. */
export interface WebSocketLike {
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface PlainOptions extends Omit<ClientOptions, "socket"> {
  /** Where the environment has none, such as Node.js before version 22: `ws`. */
  WebSocket?: new (url: string) => WebSocketLike;
}

/** What the library uses of an EventSource. */
export interface EventSourceLike {
  readonly readyState: number;
  addEventListener(event: string, listener: (event: any) => void): void;
  close(): void;
}

export interface StreamOptions extends Pick<ClientOptions, "auth" | "maxMessages" | "reconnect"> {
  /** How many messages of each room the list begins with. Default: none. */
  history?: number;
  /** Names of durable events that the list has besides `message` and those that have a handler: a stream is listened to by name. */
  events?: readonly string[];
  /** Where the environment has none, such as Node.js: `eventsource`. */
  EventSource?: new (url: string) => EventSourceLike;
}

export interface StreamSnapshot<Events extends EventMap = EventMap> {
  /** `idle`: nobody uses it. `offline`: waits for the next attempt. `refused`: gave up, see `error`. */
  status: ConnectionStatus;
  error?: SwitchboardErrorShape;
  /** Of all its rooms, in the order of their arrival, each once; those of one room are in its order. */
  messages: readonly ListedMessageOf<Events>[];
  /** Messages are missing that cannot be had any more; the first one behind each hole has `afterGap`. */
  gap: boolean;
}

/** Rooms as an event stream. */
export interface EventStream<Events extends EventMap = EventMap> extends Store<StreamSnapshot<Events>> {
  /** Handles an event of the rooms, or one of the server's own (`typing`, `presence`, `session`), which have no `meta`. */
  on<Event extends keyof Events & string>(event: Event, handler: EventHandler<Events[Event]>): Unsubscribe;
  close(): void;
}
