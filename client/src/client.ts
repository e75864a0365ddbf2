// A client: one connection, its rooms, and what is not about rooms.

import { Connection } from "./connection.js";
import { report, SwitchboardError } from "./errors.js";
import { Handlers } from "./handlers.js";
import type { LinkEvents, MakeLink, Session } from "./link.js";
import { Backlog } from "./outgoing.js";
import { ClientRoom, type RoomContext } from "./room.js";
import { Scheduler } from "./scheduler.js";
import type * as T from "./types.js";

/** The server waits that long for replies to a signal. */
const SIGNAL_TIMEOUT_MS = 5000;

export class SwitchboardClient implements T.Client<any> {
  readonly url: string;
  readonly connection: T.Store<T.ConnectionSnapshot>;
  readonly notifications: T.Notifications<any>;
  readonly #connection: Connection;
  readonly #rooms = new Map<string, ClientRoom>();
  /** Its name is known once the server has said who the user is. */
  readonly #personal: ClientRoom;
  #user: string | undefined;
  readonly #handlers = new Handlers<(...args: any[]) => void>();
  readonly #signals = new Handlers<T.SignalHandler>();
  readonly #context: RoomContext;
  readonly #ackTimeout: number;
  /** The own status, which a new session does not know. */
  #ownStatus: object | undefined;
  #restored = false;

  constructor(url: string, options: T.ClientOptions, makeLink: MakeLink) {
    const { history = 50, maxMessages = 20_000, ackTimeout = 10_000, queue = {} } = options;
    const scheduler = new Scheduler();
    this.url = url;
    this.#ackTimeout = ackTimeout;
    const backlog = new Backlog(queue.max ?? 200, queue.storage, queue.key ?? url);
    const connection = new Connection(options, scheduler, makeLink, { ...this.#events(), changed: (status) => this.#changed(status) });
    this.#connection = connection;
    this.connection = connection.store;
    const dispatch = this.#handlers.call.bind(this.#handlers);
    const restore = () => this.#restore();
    this.#context = { connection, scheduler, backlog, history, maxMessages, idle: new Set(), dispatch, restore };
    const personal = (this.#personal = new ClientRoom("", this.#context));
    this.notifications = {
      subscribe: (listener) => personal.subscribe(listener),
      getSnapshot: () => personal.getSnapshot() as T.NotificationsSnapshot<any>,
      on: (handler) => personal.on("notification", (data, meta) => handler(data, { ...(meta as Required<T.EventMeta>), data })),
      loadOlder: (limit) => personal.loadOlder(limit),
      markRead: (seq) => personal.markRead(seq),
    };
  }

  get status(): T.ConnectionStatus {
    return this.#connection.status;
  }

  room(name: string): ClientRoom {
    let room = this.#rooms.get(name);
    if (!room) this.#rooms.set(name, (room = new ClientRoom(name, this.#context)));
    return room;
  }

  on(event: string, handler: (...args: any[]) => void): T.Unsubscribe {
    return this.#handlers.on(event, handler);
  }

  async signal(to: T.SignalTarget, event: string, data: unknown = null, { timeoutMs = SIGNAL_TIMEOUT_MS } = {}): Promise<any> {
    await this.#connection.ready();
    const payload = { to, event, data, timeout_ms: timeoutMs };
    const { replies, missing } = await this.#connection.request("signal", payload, timeoutMs + this.#ackTimeout);
    return { replies, missing };
  }

  onSignal(event: string, handler: T.SignalHandler): T.Unsubscribe {
    this.#connection.use();
    return this.#signals.on(event, handler);
  }

  async setStatus(status: string, info?: Record<string, unknown>): Promise<void> {
    const own = { status, info };
    await this.#connection.ready();
    await this.#connection.request("status", own);
    this.#ownStatus = own;
    // The others are told, and this connection is not.
    const { user, name } = this.#connection.session!;
    for (const room of this.#all) room.notice("presence", { event: "update", user, name, status, info });
  }

  connect(): void {
    this.#connection.connect();
  }

  close(): void {
    if (this.status === "closed") return;
    for (const room of this.#all) room.close();
    this.#handlers.clear();
    this.#signals.clear();
    this.#connection.end("closed", new SwitchboardError("closed", "the client was closed"));
  }

  get #all(): ClientRoom[] {
    return [this.#personal, ...this.#rooms.values()];
  }

  #named(name: string): ClientRoom[] {
    const room = this.#rooms.get(name);
    return [...(this.#personal.name === name ? [this.#personal] : []), ...(room ? [room] : [])];
  }

  #events(): Omit<LinkEvents, "closed"> {
    return {
      opened: (session, recovered) => this.#opened(session, recovered),
      message: (message) => this.#message(message),
      ephemeral: (data, meta) => {
        for (const room of this.#named(meta.room)) room.ephemeral(data, meta);
        this.#handlers.call(meta.event, data, meta);
      },
      notice: (event, args) => this.#notice(event, args),
      signal: ({ from, event, data }, reply) => this.#signalled(event, data, from, reply),
    };
  }

  #opened(session: Session, recovered: boolean): void {
    if (!recovered && this.#ownStatus) this.#connection.request("status", this.#ownStatus).catch(() => {});
    const before = this.#user ?? session.user;
    this.#user = session.user;
    const rooms = this.#all;
    // A guest gets another name with each session.
    if (before !== session.user && !before.startsWith("guest-")) for (const room of rooms) room.userChanged();
    this.#personal.rename(`user:${session.user}`);
    for (const room of rooms) room.opened(recovered, session.rooms.includes(room.name));
    this.#handlers.call("session", session);
  }

  #message(message: T.Message): void {
    const following = this.#named(message.room).filter(({ follows }) => follows);
    for (const room of following) room.message(message);
    const { data, ...meta } = message;
    // A room that follows calls them in order.
    if (following.length === 0) this.#handlers.call(message.event, data, meta);
  }

  #notice(event: string, args: any[]): void {
    const [payload] = args;
    if (event === "error" && payload?.code === "token_expired") void this.#connection.refresh();
    if (event === "draining") this.#connection.retryAfterMs = payload?.reconnect_in_ms;
    for (const room of this.#named(payload?.room)) room.notice(event, payload);
    this.#handlers.call(event, ...args);
  }

  /** The first handler replies. Without one there is no reply, and the sender counts this connection as missing. */
  #signalled(event: string, data: unknown, from: T.SignalFrom, reply: (...values: unknown[]) => void): void {
    this.#signals.of(event).forEach(async (handler, i) => {
      try {
        const value = await handler(data, from);
        if (i === 0) reply(...(value === undefined ? [] : [value]));
      } catch (error) {
        report(error);
      }
    });
  }

  #changed(status: T.ConnectionStatus): void {
    for (const room of this.#all) room.statusChanged(status);
    if (status === "connecting") this.#restore();
  }

  /** With the first use: a client that is made and never used sends nothing. */
  #restore(): void {
    if (this.#restored) return;
    this.#restored = true;
    for (const draft of this.#context.backlog.restore()) this.room(draft.room).restore(draft);
  }
}
