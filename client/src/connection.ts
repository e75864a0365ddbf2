// The connection of a client: attempts with back-off, the token and its renewal, and requests with a deadline.

import { retryDelay, Timer } from "./backoff.js";
import { fromWire, SwitchboardError, unavailable } from "./errors.js";
import type { Ack, Link, LinkEvents, MakeLink, Session } from "./link.js";
import { Published, type Scheduler } from "./scheduler.js";
import type { Auth, ClientOptions, ConnectionSnapshot, ConnectionStatus, ErrorCode } from "./types.js";

/** An attempt that takes longer has failed. */
const ATTEMPT_MS = 30_000;
/** A token is replaced that long before it expires, or after four fifths of its time. */
const REFRESH_LEAD_MS = 30_000;

/** Refusals that neither time nor a new token heals. */
const FINAL: readonly ErrorCode[] = ["unauthorized", "forbidden", "bad_request", "not_found"];

export interface ConnectionEvents extends Omit<LinkEvents, "closed"> {
  /** The status has changed. */
  changed(status: ConnectionStatus): void;
}

type Options = Pick<ClientOptions, "auth" | "ackTimeout" | "reconnect">;

export class Connection {
  readonly store: Published<ConnectionSnapshot>;
  status: ConnectionStatus = "idle";
  /** Of the current or the last connection. */
  session: Session | undefined;
  error: SwitchboardError | undefined;
  attempt = 0;
  /** The server has said when to come back. */
  retryAfterMs: number | undefined;
  readonly #options: Options;
  readonly #events: ConnectionEvents;
  readonly #timer = new Timer();
  readonly #refreshTimer = new Timer();
  readonly #outstanding = new Set<(error: SwitchboardError) => void>();
  readonly #maxAttempts: number;
  readonly #makeLink: MakeLink;
  #link: Link | undefined;
  /** Tells an attempt, and what it waits for, from those before it. */
  #generation = 0;
  #retryAt: number | undefined;
  #refreshFailures = 0;
  /** Attempts before this connection, which count on until the server has answered something. */
  #attempts = 0;
  /** How far the server's clock is ahead. */
  #skew = 0;

  constructor(options: Options, scheduler: Scheduler, makeLink: MakeLink, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.#makeLink = makeLink;
    this.#maxAttempts = options.reconnect?.attempts ?? 50;
    this.store = new Published(scheduler, this.#snapshot(), () => this.#snapshot());
  }

  /** Connects unless it does, or is closed; at once while it waits, and again after it gave up. */
  connect(): void {
    const { status } = this;
    if (status === "connected" || status === "connecting" || status === "closed") return;
    if (status !== "offline") this.attempt = 0;
    listenOnline("add", this.#online);
    this.#link ??= this.#makeLink({ ...this.#events, opened: this.#opened, closed: this.#closed });
    void this.#try();
  }

  /** Something needs the connection: the first such use makes it. */
  use(): void {
    if (this.status === "idle") this.connect();
  }

  /** Ends it: for good, or until it is used again. */
  end(status: "closed" | "idle", error?: SwitchboardError): void {
    listenOnline("remove", this.#online);
    this.#drop(error ?? unavailable("not connected"));
    this.#become(status, error);
  }

  /** The fields of the ack; rejects at once without a connection. */
  request(event: string, payload: object, timeoutMs = this.#options.ackTimeout ?? 10_000): Promise<Ack> {
    return new Promise((resolve, reject) => {
      if (this.status !== "connected") return reject(this.error ?? unavailable("not connected"));
      const timer = new Timer();
      const done = (error?: SwitchboardError, ack?: Ack) => {
        timer.clear();
        this.#outstanding.delete(done);
        error ? reject(error) : resolve(ack!);
      };
      this.#outstanding.add(done);
      timer.set(timeoutMs, () => done(new SwitchboardError("timeout", `no reply to ${event}`)));
      this.#link!.send?.(event, payload, (error, ack) => {
        this.#attempts = 0;
        done(error && fromWire(error), ack);
      });
    });
  }

  /** Resolves once there is a connection, or rejects. */
  ready(): Promise<void> {
    this.use();
    return new Promise((resolve, reject) => {
      const timer = new Timer();
      const check = () => {
        const { status, error } = this;
        if ((status === "connecting" || status === "offline") && timer.isSet) return;
        timer.clear();
        end();
        status === "connected" ? resolve() : reject(error ?? unavailable("not connected"));
      };
      const end = this.store.subscribe(check);
      timer.set(this.#options.ackTimeout ?? 10_000, check);
      check();
    });
  }

  /** Asks for a new token and gives it to the server. */
  async refresh(): Promise<void> {
    const { auth } = this.#options;
    const { session } = this;
    if (typeof auth !== "function" || !session) return;
    const generation = this.#generation;
    this.#refreshTimer.clear();
    try {
      const { token } = await auth();
      if (generation !== this.#generation) return;
      const { expires_at } = await this.request("refresh", { token });
      const old = expires_at !== null && expires_at <= session.expires_at!;
      this.session = { ...session, expires_at };
      if (old) throw unavailable("the same token again");
      this.#refreshFailures = 0;
      this.#scheduleRefresh();
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#refreshTimer.set(retryDelay((this.#refreshFailures += 1), (error as SwitchboardError).retryAfterMs), () => void this.refresh());
    }
  }

  /** The network is back. */
  readonly #online = (): void => {
    if (this.status === "offline" || this.error?.code === "unavailable") this.connect();
  };

  async #try(): Promise<void> {
    const generation = (this.#generation += 1);
    this.attempt += 1;
    this.#become("connecting", this.error);
    this.#timer.set(ATTEMPT_MS, () => this.#closed(unavailable("no connection in time")));
    const { auth = {} } = this.#options;
    try {
      const given: Auth = typeof auth === "function" ? await auth() : auth;
      if (generation === this.#generation) this.#link!.open(given);
    } catch (error) {
      if (generation === this.#generation) this.#closed(error instanceof SwitchboardError ? error : unavailable(`auth: ${error}`));
    }
  }

  readonly #opened = (session: Session, recovered: boolean): void => {
    this.#timer.clear();
    this.session = session;
    this.#attempts = this.attempt;
    this.attempt = this.#refreshFailures = 0;
    this.retryAfterMs = undefined;
    this.#skew = session.ts - Date.now();
    this.#become("connected", undefined);
    this.#scheduleRefresh();
    this.#events.opened(session, recovered);
  };

  readonly #closed = (error: SwitchboardError): void => {
    if (this.status !== "connected" && this.status !== "connecting") return;
    if (this.status === "connected") this.attempt = this.#attempts;
    this.#drop(unavailable("connection lost"));
    const { code, message, retryAfterMs } = error;
    const { attempts: _, minDelay, maxDelay } = this.#options.reconnect ?? {};
    const stale = code === "token_expired" && typeof this.#options.auth !== "function";
    if (stale || FINAL.includes(code)) return this.#become("refused", error);
    if (this.attempt >= this.#maxAttempts) {
      return this.#become("refused", unavailable(`gave up after ${this.attempt} attempts; the last: ${message}`));
    }
    // One that was lost is tried again as after one failure.
    const delay = retryDelay(this.attempt || 1, undefined, minDelay, maxDelay);
    const wait = Math.max(delay, retryDelay(0, retryAfterMs ?? this.retryAfterMs ?? 0));
    this.retryAfterMs = undefined;
    this.#retryAt = Date.now() + wait;
    this.#timer.set(wait, () => void this.#try());
    this.#become("offline", error);
  };

  /** Gives up the connection, or the attempt. */
  #drop(error: SwitchboardError): void {
    this.#generation += 1;
    this.#timer.clear();
    this.#refreshTimer.clear();
    this.#link?.close();
    for (const fail of this.#outstanding) fail(error);
  }

  #scheduleRefresh(): void {
    const { expires_at } = this.session!;
    if (!expires_at || !this.#link!.send) return;
    const left = expires_at - this.#skew - Date.now();
    this.#refreshTimer.set(Math.max(left * 0.8, left - REFRESH_LEAD_MS), () => void this.refresh());
  }

  #become(status: ConnectionStatus, error: SwitchboardError | undefined): void {
    this.status = status;
    this.error = error;
    this.store.changed();
    this.#events.changed(status);
  }

  #snapshot(): ConnectionSnapshot {
    const { status, session, error, attempt } = this;
    return {
      status,
      ...(session && { user: session.user, ...(session.name && { name: session.name }), connection: session.connection }),
      attempt,
      maxAttempts: this.#maxAttempts,
      ...(status === "offline" && { retryAt: this.#retryAt! }),
      ...(error && { error }),
    };
  }
}

/** Browsers tell when the network is back; nothing else does. */
function listenOnline(how: "add" | "remove", listener: () => void): void {
  (globalThis as Record<string, any>)[`${how}EventListener`]?.("online", listener);
}
