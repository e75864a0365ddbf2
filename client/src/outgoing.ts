// Own messages that are not stored yet: those of a client are bounded, and may outlive the page; those of a room are sent in order.

import { retryDelay, Timer } from "./backoff.js";
import { isTemporary, SwitchboardError } from "./errors.js";
import type { Ack } from "./link.js";
import type { ListedMessage, QueueStorage, Sender } from "./types.js";

/** Requests of a room that wait for their acks. */
const MAX_IN_FLIGHT = 32;

/** Failed messages that a room shows. */
const MAX_FAILED = 200;

/**
 * A message that was sent may be stored although no ack came, and the server recognizes its `id` for an hour by default. Later
 * it could be stored twice, so it is not sent again by itself.
 */
const RESEND_FOR_MS = 55 * 60_000;

/** A message as it was sent, and as it is kept in the storage. */
export interface Draft {
  room: string;
  id: string;
  event: string;
  data: unknown;
  /** When it was given to the client: its place in the order. */
  at: number;
  /** When it was sent to the server first. */
  tried?: number;
}

/** All messages of a client that wait. */
export class Backlog {
  readonly #waiting = new Set<Draft>();
  /** In the storage. */
  readonly #kept = new Set<Draft>();
  readonly #max: number;
  readonly #storage: QueueStorage | undefined;
  readonly #prefix: string;
  #lastAt = 0;

  constructor(max: number, storage: QueueStorage | undefined, key: string) {
    this.#max = max;
    this.#storage = storage;
    this.#prefix = `switchboard:${encodeURIComponent(key)}:`;
  }

  /** The time, but never the same twice. */
  now(): number {
    return (this.#lastAt = Math.max(Date.now(), this.#lastAt + 1));
  }

  /** False if it is full. */
  add(draft: Draft): boolean {
    if (this.#waiting.size >= this.#max) return false;
    this.#waiting.add(draft);
    this.#keep(draft);
    return true;
  }

  tried(draft: Draft): void {
    if (draft.tried) return;
    draft.tried = Date.now();
    this.#keep(draft);
  }

  /** It does not wait any more; `forget`: and a later page is not to send it either. */
  remove(draft: Draft, forget: boolean): void {
    this.#kept.delete(draft);
    if (this.#waiting.delete(draft) && forget) attempt(() => this.#storage?.removeItem(this.#keyOf(draft)));
  }

  /** Another tab has sent it, and removed it from the storage. */
  taken(draft: Draft): boolean {
    return this.#kept.has(draft) && attempt(() => this.#storage!.getItem(this.#keyOf(draft))) === null;
  }

  /** What earlier pages have left behind, in the order it was sent. Each message has a key of its own: other tabs write, too. */
  restore(): Draft[] {
    const storage = this.#storage;
    const drafts: Draft[] = [];
    attempt(() => {
      for (let i = 0; storage && i < storage.length; i += 1) {
        const key = storage.key(i)!;
        const draft = key.startsWith(this.#prefix) && attempt(() => JSON.parse(storage.getItem(key)!) as Draft);
        // Anybody may write there.
        if (draft && draft.room && draft.id && draft.event && key === this.#keyOf(draft)) drafts.push(draft);
      }
    });
    return drafts.sort((a, b) => a.at - b.at);
  }

  #keep(draft: Draft): void {
    // A storage that is full must not stop the message.
    if (this.#storage) attempt(() => (this.#storage!.setItem(this.#keyOf(draft), JSON.stringify(draft)), this.#kept.add(draft)));
  }

  #keyOf({ room, id }: Draft): string {
    return `${this.#prefix}${room} ${id}`;
  }
}

function attempt<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}

/** One message on its way. */
export interface Outgoing {
  readonly draft: Draft;
  error?: SwitchboardError;
  /** `sent`: waits for its ack. `stored`: the server has it, and the list is about to. */
  state: "waiting" | "sent" | "stored" | "failed";
  /** What the list shows of it. */
  listed?: ListedMessage<any>;
  done: Promise<unknown>;
  resolve(message: unknown): void;
  reject(error: SwitchboardError): void;
}

/** What a room does for its queue. */
export interface QueueOwner {
  /** Whether messages can be sent now. */
  ready(): boolean;
  sender(): Sender | null;
  publish(payload: { event: string; data: unknown; id: string }): Promise<Ack>;
  /** Something is shown differently, and soon seen. */
  changed(): void;
  /** It is to be seen now. */
  changedNow(): void;
  /** A message waits to be sent. */
  waiting(): void;
  /** It was stored as number `ack.seq`. */
  stored(draft: Draft, ack: Ack): void;
  /** The server says that the room is not joined. */
  notJoined(): void;
}

/** The messages of one room. */
export class SendQueue {
  /** By id, in the order of the list. */
  readonly items = new Map<string, Outgoing>();
  /** Set while the server does not take messages: later ones wait behind those that it has refused. */
  readonly pause = new Timer();
  readonly #owner: QueueOwner;
  readonly #backlog: Backlog;
  #inFlight = 0;
  #refusals = 0;

  constructor(owner: QueueOwner, backlog: Backlog) {
    this.#owner = owner;
    this.#backlog = backlog;
  }

  get pending(): boolean {
    return [...this.items.values()].some(({ state }) => state !== "failed");
  }

  /** Adds a message, sends it as soon as possible, and resolves once it is stored. */
  add(draft: Draft): Promise<unknown> {
    const known = this.items.get(draft.id);
    if (known && known.state !== "failed") return known.done;
    let item!: Omit<Outgoing, "done">;
    const done = new Promise((resolve, reject) => (item = { draft, state: "waiting", resolve, reject }));
    this.#enqueue({ ...item, done });
    return done;
  }

  /** Sends all that are not in the list: there is a new connection, or the list has begun anew. */
  resend(): void {
    for (const item of this.items.values()) if (item.state === "stored") item.state = "waiting";
    this.flush();
  }

  flush(): void {
    for (const item of this.items.values()) {
      if (this.#inFlight >= MAX_IN_FLIGHT || this.pause.isSet || !this.#owner.ready()) return;
      if (item.state === "waiting") void this.#send(item);
    }
  }

  /** The message `id` is in the room's log. */
  settle(id: string, message: unknown): void {
    const item = this.items.get(id);
    if (!item) return;
    this.items.delete(id);
    this.#backlog.remove(item.draft, true);
    this.#owner.changed();
    item.resolve(message);
  }

  /** Nothing can be sent; `forget`: not by a later page either. */
  failAll(error: SwitchboardError, forget: boolean): void {
    for (const item of this.items.values()) if (item.state !== "failed") this.#fail(item, error, forget);
  }

  /** Shows them again: the sender is known. */
  relist(): void {
    for (const item of this.items.values()) this.#show(item);
  }

  async #send(item: Outgoing): Promise<void> {
    const { id, event, data, tried = Date.now() } = item.draft;
    if (this.#backlog.taken(item.draft)) return this.#fail(item, new SwitchboardError("timeout", "another page has sent it"));
    if (Date.now() - tried > RESEND_FOR_MS) return this.#fail(item, new SwitchboardError("timeout", "sent too long ago to be sent again"));
    item.state = "sent";
    this.#inFlight += 1;
    this.#backlog.tried(item.draft);
    try {
      const ack = await this.#owner.publish({ event, data, id });
      this.#refusals = 0;
      // The event itself may have come before its ack.
      if (this.items.get(id) !== item) return;
      item.state = "stored";
      this.#owner.stored(item.draft, ack);
    } catch (error) {
      if (item.state === "sent") this.#refused(item, error as SwitchboardError);
    } finally {
      this.#inFlight -= 1;
      this.flush();
    }
  }

  #refused(item: Outgoing, error: SwitchboardError): void {
    const { code, retryAfterMs } = error;
    item.state = "waiting";
    // Without a connection it waits for the next.
    if (!this.#owner.ready() || code === "timeout") return;
    if (code === "not_joined") return this.#owner.notJoined();
    if (!isTemporary(error)) return this.#fail(item, error);
    // Those that were in flight together are refused together.
    if (!this.pause.isSet) this.pause.set(retryDelay((this.#refusals += 1), retryAfterMs), () => this.flush());
  }

  #fail(item: Outgoing, error: SwitchboardError, forget = true): void {
    this.#backlog.remove(item.draft, forget);
    item.state = "failed";
    item.error = error;
    item.reject(error);
    this.#dropOldestFailed();
    this.#show(item);
  }

  /** At the end: it is sent last. */
  #enqueue(item: Outgoing): void {
    const { draft } = item;
    const room = this.#backlog.add(draft);
    this.items.delete(draft.id);
    this.items.set(draft.id, item);
    if (room) {
      item.state = "waiting";
      this.#show(item);
      this.#owner.waiting();
    } else this.#fail(item, new SwitchboardError("limit_reached", "too many messages wait to be sent"));
    this.#owner.changedNow();
  }

  #dropOldestFailed(): void {
    const failed = [...this.items.values()].filter(({ state }) => state === "failed");
    if (failed.length > MAX_FAILED) this.items.delete(failed[0]!.draft.id);
  }

  #retry(item: Outgoing): void {
    if (this.items.get(item.draft.id) !== item || item.state !== "failed") return;
    const { tried: _, ...draft } = item.draft;
    this.#enqueue({ ...item, draft: { ...draft, at: this.#backlog.now() } });
  }

  #show(item: Outgoing): void {
    const { draft, state, error } = item;
    const { room, id, event, data, at } = draft;
    const own = { room, id, event, from: this.#owner.sender(), data, ts: at };
    item.listed =
      state === "failed" ? { ...own, state, error: error!, retry: () => this.#retry(item) } : { ...own, state: "pending" };
    this.#owner.changed();
  }
}
