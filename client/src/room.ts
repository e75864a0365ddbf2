// A room: joined while somebody uses it, with the exact list of its messages and what else its members see.

import { retryDelay, Timer } from "./backoff.js";
import type { Connection } from "./connection.js";
import { isTemporary, SwitchboardError } from "./errors.js";
import { Handlers } from "./handlers.js";
import { IDLE_ROOM } from "./idle.js";
import { exceeds, textOf } from "./json.js";
import type { Ack } from "./link.js";
import { ReadMarker } from "./marker.js";
import { MAX_LISTED, Members } from "./members.js";
import { type Backlog, type Draft, SendQueue } from "./outgoing.js";
import { Published, type Scheduler } from "./scheduler.js";
import { type LogState, Timeline } from "./timeline.js";
import type * as T from "./types.js";
import { OwnTyping, Typists } from "./typing.js";
import { Usage } from "./usage.js";
import { uuid } from "./uuid.js";

/** Messages of a page of the log that is asked for; the server may give fewer. */
const PAGE = 1000;
/** What is missing behind the head has been sent, as a rule, and arrives before that. */
const HOLE_PATIENCE_MS = 500;
/** Rooms that nobody uses and that keep their lists. */
const MAX_IDLE = 100;

type Listed = T.ListedMessage<any> & { seq: number };
type Snapshot = T.RoomSnapshot<any>;

export interface RoomContext {
  connection: Connection;
  scheduler: Scheduler;
  backlog: Backlog;
  history: number;
  maxMessages: number;
  /** Rooms that nobody uses, the longest unused first. */
  idle: Set<ClientRoom>;
  /** For the handlers of all rooms. */
  dispatch(event: string, data: unknown, meta: T.EventMeta): void;
  /** Adds what earlier pages have left behind, once. */
  restore(): void;
}

export class ClientRoom implements T.Room<any> {
  name: string;
  readonly typing: OwnTyping;
  readonly #context: RoomContext;
  readonly #connection: Connection;
  readonly #store: Published<Snapshot>;
  readonly #usage: Usage;
  readonly #handlers = new Handlers<T.EventHandler<any>>();
  #timeline = new Timeline<Listed>();
  readonly #queue: SendQueue;
  readonly #members: Members;
  readonly #typists: Typists;
  readonly #marker: ReadMarker;
  readonly #timer = new Timer();
  /** On this connection; `refused` until the next, or until it is used anew. */
  #join: "no" | "asked" | "yes" | "refused" = "no";
  /** What was told while it was asked. */
  #early: [event: string, payload: any][] = [];
  /** Tells the answer to the last join from those before it. */
  #asks = 0;
  #error: SwitchboardError | undefined;
  #failures = 0;
  /** Joins in a row that were asked for because a message was refused. */
  #rejoins = 0;
  /** The room was left, or never joined: what was sent meanwhile is history. */
  #away = true;
  /** The token does not permit to read earlier messages. */
  #noHistory = false;
  #filling = false;
  #older: Promise<boolean> | undefined;
  /** How many messages the list may have. */
  #limit: number;
  #listChanged = false;

  constructor(name: string, context: RoomContext) {
    const { connection } = context;
    this.name = name;
    this.#context = context;
    this.#connection = connection;
    this.#limit = context.maxMessages;
    this.#store = new Published(context.scheduler, IDLE_ROOM, (previous) => this.#build(previous));
    this.#members = new Members(() => {
      // Without the permission there is no list.
      this.#request("presence", { limit: MAX_LISTED }).then((list) => (this.#members.set(list as any), this.#changed()), ignore);
    });
    this.#typists = new Typists(() => this.#changed());
    this.#marker = new ReadMarker(
      () => this.#store.changedNow(),
      (seq) => this.#request("read", { seq }),
    );
    this.typing = new OwnTyping((typing) => {
      if (this.#join === "yes") this.#request("typing", { typing }).catch(ignore);
    });
    this.#usage = new Usage(
      () => {
        context.idle.delete(this);
        connection.use();
        this.#ask();
        this.#store.changedNow();
      },
      () => this.#unused(),
    );
    this.#queue = new SendQueue(
      {
        ready: () => this.#ready,
        sender: () => (connection.session ? senderOf(connection.session) : null),
        publish: (payload) => this.#publish(payload),
        changed: () => this.#listedChanged(),
        changedNow: () => this.#store.changedNow(),
        waiting: () => this.#wanted(),
        stored: (draft, ack) => this.#stored(draft, ack),
        notJoined: () => this.#rejoin(),
      },
      context.backlog,
    );
  }

  // What the application calls.

  subscribe(listener: () => void): T.Unsubscribe {
    return both(this.#usage.use(), this.#store.subscribe(listener));
  }

  getSnapshot(): Snapshot {
    return this.#store.getSnapshot();
  }

  on(event: string, handler: T.EventHandler<any>): T.Unsubscribe {
    return both(this.#usage.use(), this.#handlers.on(event, handler));
  }

  send(data: unknown, options?: { id?: string }): Promise<any> {
    return this.publish("message", data, options);
  }

  publish(event: string, data: unknown, { ephemeral, echo, id = uuid() }: T.PublishOptions = {}): Promise<any> {
    return quiet(async () => {
      if (ephemeral) return void (await this.#publish({ event, data: data ?? null, ephemeral, echo }));
      this.#context.restore();
      this.typing.over();
      // As it is stored: the application may go on to change its own.
      const copy = JSON.parse(textOf(data ?? null));
      return this.#queue.add({ room: this.name, id, event, data: copy, at: this.#context.backlog.now() });
    });
  }

  loadOlder(limit = this.#context.history || 50): Promise<boolean> {
    return (this.#older ??= quiet(() => this.#loadOlder(limit).finally(() => (this.#older = undefined))));
  }

  markRead(seq = this.#timeline.head): Promise<void> {
    return this.#marker.move(Math.min(seq, this.#timeline.head));
  }

  // What the client calls.

  /** It is another room than before: the user is known, or another one. */
  rename(name: string): void {
    if (name === this.name) return;
    this.name = name;
    this.#beginAnew();
  }

  /** Another user than before is connected, in whose name nothing of the former one's must go out. */
  userChanged(): void {
    this.#queue.failAll(new SwitchboardError("forbidden", "another user is connected now"), false);
    this.#beginAnew();
  }

  close(): void {
    if (this.follows) this.leave();
    this.#handlers.clear();
  }

  /** There is a connection; `kept`: one on which the server goes on with the room, and replays what was missed. */
  opened(recovered: boolean, kept: boolean): void {
    const replayed = recovered && this.#join === "yes";
    this.#join = "no";
    this.#rejoins = 0;
    // The token may be another one.
    this.#noHistory = false;
    this.#queue.relist();
    if (!this.#usage.active) {
      if (kept) this.leave();
      // Otherwise the reason is about to be told.
    } else if (replayed && !kept) this.#refuse(new SwitchboardError("forbidden", "removed from the room"));
    else this.#ask(replayed);
  }

  /** The status of the connection has changed. */
  statusChanged(status: T.ConnectionStatus): void {
    this.#changed();
    if (status === "connected") return;
    if (this.#join === "asked") this.#join = "no";
    this.#asks += 1;
    this.#pause();
    // A later page may have a better token.
    if (status === "refused" || status === "closed") this.#queue.failAll(this.#connection.error!, status === "closed");
  }

  /** Adds a message that an earlier page has left behind. */
  restore(draft: Draft): void {
    this.#queue.add(draft).catch(ignore);
  }

  /** Whether its events belong into the list. */
  get follows(): boolean {
    return this.#join === "asked" || this.#join === "yes";
  }

  leave(): void {
    // Nobody can leave their personal room.
    if (this.name !== `user:${this.#connection.session?.user}`) this.#request("leave", {}).catch(ignore);
  }

  message(message: T.Message<any>): void {
    this.#typists.end(message.from?.user);
    this.#emit(this.#timeline.add([listed(message)]));
    if (this.#timeline.missing > 0 && this.#join === "yes" && !this.#timer.isSet) this.#timer.set(HOLE_PATIENCE_MS, () => this.#fill());
  }

  ephemeral(data: unknown, meta: T.EventMeta): void {
    this.#handlers.call(meta.event, data, meta);
  }

  notice(event: string, payload: any): void {
    const own = payload.user === this.#connection.session?.user;
    if (event === "kicked") this.#refuse(new SwitchboardError("forbidden", payload.reason));
    // The answer to the join may be older.
    else if (this.#join === "asked") this.#early.push([event, payload]);
    else if (this.#join !== "yes") return;
    else if (event === "presence") this.#members.apply(payload);
    else if (event === "typing" && !own) this.#typists.set(payload);
    else if (event === "read" && own) this.#marker.learn(payload.seq);
    this.#changed();
  }

  // Joining and leaving.

  #request(event: string, payload: object): Promise<Ack> {
    return this.#connection.request(event, { room: this.name, ...payload });
  }

  /** Sends an event, but not one so large that it would cost the connection. */
  async #publish(payload: { event: string; data: unknown; ephemeral?: boolean; echo?: boolean | undefined }): Promise<Ack> {
    const max = this.#connection.session?.limits?.message_bytes;
    if (max && exceeds(textOf(payload.data), max)) throw new SwitchboardError("too_large", `more than ${max} bytes`);
    return this.#request("publish", payload);
  }

  get #ready(): boolean {
    return this.#join === "yes" && this.#connection.status === "connected";
  }

  /** Joins the room, or asks how it is if messages are `replayed` anyway. */
  #ask(replayed = false): void {
    if (this.#connection.status !== "connected" || this.follows) return;
    const { head, epoch } = this.#timeline;
    const { history } = this.#context;
    this.#timer.clear();
    this.#join = replayed ? "yes" : "asked";
    this.#early = [];
    this.#error = undefined;
    this.#changed();
    const ask = (this.#asks += 1);
    const payload = replayed || this.#noHistory ? {} : { ...(head >= 0 && { since: `${epoch}:${head}` }), ...(history > 0 && { history }) };
    this.#request("join", payload).then(
      (ack) => ask === this.#asks && this.#joined(ack),
      (error) => ask === this.#asks && this.#joinFailed(error),
    );
    if (replayed) this.#queue.resend();
  }

  #joined({ epoch, seq, messages, unread, members }: Ack): void {
    const timeline = this.#timeline;
    const state: LogState<Listed> = { epoch, seq, messages: messages.map(listed) };
    this.#join = "yes";
    this.#failures = 0;
    this.#members.set(members);
    const isNew = timeline.head < 0 || timeline.epoch !== epoch;
    const tooMuch = seq - timeline.head - messages.length > this.#context.maxMessages;
    if (isNew) this.#marker.seq = 0;
    if (isNew || tooMuch) this.#listedChanged();
    const fresh = isNew || tooMuch ? timeline.begin(state) : timeline.add(state.messages, seq);
    if (this.#noHistory) {
      fresh.push(...timeline.fill([], seq));
      timeline.hasOlder = false;
    }
    this.#settle(state.messages);
    this.#emit(fresh, this.#away ? seq : 0);
    this.#away = false;
    const read = seq - unread;
    if (this.#marker.seq > read) this.#request("read", { seq: this.#marker.seq }).catch(ignore);
    this.#marker.learn(read);
    this.#changed();
    for (const notice of this.#early) this.notice(...notice);
    this.#queue.resend();
    this.#fill();
  }

  #joinFailed(error: SwitchboardError): void {
    this.#join = "no";
    if (error.code === "forbidden" && !this.#noHistory) {
      // Perhaps only earlier messages are.
      this.#noHistory = true;
      return this.#ask();
    }
    if (!isTemporary(error)) return this.#refuse(error);
    this.#error = error;
    this.#timer.set(retryDelay((this.#failures += 1), error.retryAfterMs), () => this.#ask());
    this.#changed();
  }

  #refuse(error: SwitchboardError): void {
    this.#pause();
    this.#asks += 1;
    this.#join = "refused";
    this.#noHistory = false;
    this.#error = error;
    this.#members.set();
    this.#queue.failAll(error, true);
    this.#changed();
  }

  /** At once, unless the last time has not helped. */
  #rejoin(): void {
    if (this.#join === "yes") this.#join = "no";
    if ((this.#rejoins += 1) === 1) this.#ask();
    else this.#timer.set(retryDelay(this.#rejoins - 1), () => this.#ask());
  }

  /** Something is to be sent, perhaps after the room was refused: then it is asked for once more. */
  #wanted(): void {
    const { status, error } = this.#connection;
    if (status === "refused" || status === "closed") return this.#queue.failAll(error!, status === "closed");
    if (this.#join === "refused") this.#join = "no";
    this.#usage.use()();
    if (!this.#timer.isSet) this.#ask();
    this.#queue.flush();
  }

  #unused(): void {
    // Not before everything is sent.
    if (this.#queue.pending) return this.#usage.use()();
    if (this.follows) this.leave();
    this.#join = "no";
    this.#asks += 1;
    this.#away = true;
    this.#limit = this.#context.maxMessages;
    this.#timeline.trim(this.#context.history);
    this.#members.set();
    this.#pause();
    this.#listedChanged();
    const { idle } = this.#context;
    idle.add(this);
    const [longest] = idle;
    if (idle.size > MAX_IDLE && idle.delete(longest!)) longest!.#beginAnew();
  }

  #beginAnew(): void {
    this.#join = "no";
    this.#timeline = new Timeline();
    this.#marker.seq = 0;
    this.#away = true;
    this.#listedChanged();
  }

  /** Ends what only goes on while the room is joined. */
  #pause(): void {
    for (const timer of [this.#timer, this.#members.timer, this.#queue.pause]) timer.clear();
    this.#typists.clear();
    this.typing.over();
  }

  // The list.

  /** Shows the messages that come next in order, and calls their handlers; not of those up to `quietUntil`. */
  #emit(messages: Listed[], quietUntil = 0): void {
    this.#changed();
    if (messages.length === 0) return;
    this.#settle(messages);
    this.#timeline.trim(this.#limit);
    this.#listedChanged();
    for (const message of messages) {
      if (message.seq <= quietUntil) continue;
      const { data, ...meta } = plain(message);
      this.#handlers.call(message.event, data, meta);
      this.#context.dispatch(message.event, data, meta);
    }
  }

  /** Own messages among them are stored. */
  #settle(messages: readonly Listed[]): void {
    if (this.#queue.items.size > 0) for (const message of messages) this.#queue.settle(message.id, plain(message));
  }

  #stored({ id, event, data }: Draft, { seq, epoch, ts, duplicate }: Ack): void {
    const message: T.Message = { room: this.name, id, seq, event, from: senderOf(this.#connection.session!), data, ts };
    const timeline = this.#timeline;
    if (epoch !== timeline.epoch) return this.#rejoin();
    this.#rejoins = 0;
    if (!duplicate || seq > timeline.head) this.message(message);
    // Behind a hole it is shown as it is until the hole is filled.
    if (seq <= timeline.head) this.#queue.settle(id, message);
  }

  /** Reads what is missing behind the head from the log, page by page. */
  async #fill(): Promise<void> {
    const timeline = this.#timeline;
    if (this.#filling || timeline.missing <= 0 || !this.#ready) return;
    const { head, epoch } = timeline;
    this.#filling = true;
    let wait = 0;
    try {
      const page = await this.#request("history", { after: head, limit: PAGE });
      if (page.epoch !== epoch) this.#rejoin();
      // Otherwise live messages were faster, or the list has begun anew.
      else if (head === timeline.head && epoch === timeline.epoch && timeline === this.#timeline) {
        this.#emit(timeline.fill(page.messages.map(listed), page.seq));
      }
      if (timeline.head > head) this.#failures = 0;
      else wait = retryDelay((this.#failures += 1));
    } catch (failure) {
      const error = failure as SwitchboardError;
      // What has no connection asks again on the next.
      if (!isTemporary(error) && this.#ready) this.#emit(timeline.fill([], head + timeline.missing));
      wait = retryDelay((this.#failures += 1), error.retryAfterMs);
    }
    this.#filling = false;
    if (this.#timeline.missing > 0 && this.#ready) this.#timer.set(wait, () => this.#fill());
  }

  async #loadOlder(limit: number): Promise<boolean> {
    const timeline = this.#timeline;
    const { first, epoch } = timeline;
    if (!timeline.hasOlder) return false;
    const page = await this.#request("history", { before: first, limit });
    if (page.epoch === timeline.epoch && epoch === timeline.epoch && first === timeline.first) {
      timeline.older(page.messages.map(listed), page.more);
      // What was asked for stays.
      this.#limit = Math.max(this.#limit, timeline.list.length);
      this.#listedChanged();
      this.#store.changedNow();
    }
    return timeline.hasOlder;
  }

  // Snapshots.

  #changed(): void {
    this.#store.changed();
  }

  #listedChanged(): void {
    this.#listChanged = true;
    this.#changed();
  }

  get #status(): { status: T.RoomStatus; error?: T.SwitchboardErrorShape } {
    const { status, error, session } = this.#connection;
    if (status === "closed") return { status: "refused", error: error! };
    if (!this.#usage.active) return { status: "idle" };
    if (status === "refused") return { status, error: error! };
    if (status !== "connected") return { status: session || status === "offline" ? "offline" : "joining" };
    const joining = this.#join === "no" || this.#join === "asked";
    return { status: joining ? "joining" : this.#join === "yes" ? "joined" : "refused", ...(this.#error && { error: this.#error }) };
  }

  #build({ messages }: Snapshot): Snapshot {
    const { list, first, hasOlder, gap } = this.#timeline;
    if (this.#listChanged) {
      this.#listChanged = false;
      messages = [...list, ...[...this.#queue.items.values()].map((item) => item.listed!)];
    }
    const unread = this.#marker.unread(list, first, this.#connection.session?.user);
    return { ...this.#status, messages, hasOlder, gap, unread, members: this.#members.snapshot, typing: this.#typists.list };
  }
}

const senderOf = ({ user, name }: T.Sender): T.Sender => ({ user, ...(name && { name }) });

const listed = (message: T.Message<any>): Listed => ({ ...message, state: "sent" });

function plain({ state: _, afterGap: __, ...message }: Listed): T.Message<any> {
  return message as T.Message<any>;
}

const both = (first: T.Unsubscribe, second: T.Unsubscribe): T.Unsubscribe => () => (first(), second());

const ignore = () => {};

/** The list shows what has failed; an application need not handle it a second time. */
function quiet<Result>(run: () => Promise<Result>): Promise<Result> {
  const promise = run();
  promise.catch(ignore);
  return promise;
}
