// The ordered list of a room's stored messages, whatever order they come in. It does no I/O: it says what is missing, and is told.

export interface Numbered {
  seq: number;
  /** Messages before this one cannot be had any more. */
  afterGap?: true;
}

/** What the server says about a room's log at one moment. */
export interface LogState<M> {
  epoch: string;
  /** The number of the last message. */
  seq: number;
  /** Some messages, oldest first. */
  messages: readonly M[];
}

export class Timeline<M extends Numbered> {
  /** In order, each once; nothing is missing between two of them unless the second has `afterGap`. */
  list: M[] = [];
  /** Everything up to here is in the list, before it, or known to be lost. -1: not begun. */
  head = -1;
  epoch = "";
  hasOlder = false;
  /** What comes next is after a gap. */
  #lost = false;
  /** Gaps in the list. */
  #gaps = 0;
  /** The newest message that is known to exist. */
  #known = -1;
  /** Behind a hole. */
  readonly #held = new Map<number, M>();

  /** Whether the list lacks messages that cannot be had any more. */
  get gap(): boolean {
    return this.#lost || this.#gaps > 0;
  }

  /** How many messages exist behind the head. */
  get missing(): number {
    return this.head < 0 ? 0 : this.#known - this.head;
  }

  /** The number of the first message in the list, or where it would be. */
  get first(): number {
    return this.list[0]?.seq ?? this.head + 1;
  }

  /**
   * Begins with the end of the log; again if too much is missing in between, which `older` can have, or if the log has begun anew, and
   * all that was there before is lost. Returns what is new: the first time only what came meanwhile.
   */
  begin({ epoch, seq, messages }: LogState<M>): M[] {
    const known = this.head;
    const renewed = known >= 0 && epoch !== this.epoch;
    if (renewed) this.#held.clear();
    const early = known < 0 ? [...this.#held.values()].filter((message) => message.seq <= seq).sort((a, b) => a.seq - b.seq) : [];
    this.epoch = epoch;
    this.list = [];
    this.#gaps = 0;
    this.#lost = renewed;
    this.#known = seq;
    for (const held of this.#held.keys()) this.#known = Math.max(this.#known, held);
    this.#skipTo(messages[0]?.seq ?? seq + 1);
    const added = this.add(messages);
    this.hasOlder = this.first > 1;
    return [...early, ...added.filter((message) => renewed || message.seq > (known < 0 ? seq : known))];
  }

  /** Adds messages that may be behind a hole, or known; `seq` is known to exist. Returns what comes next in order now. */
  add(messages: readonly M[], seq = -1): M[] {
    this.#known = Math.max(this.#known, seq, messages.at(-1)?.seq ?? -1);
    for (const message of messages) if (message.seq > this.head) this.#held.set(message.seq, message);
    const next: M[] = [];
    for (let message; this.head >= 0 && (message = this.#held.get(this.head + 1)); ) {
      this.#held.delete((this.head += 1));
      if (this.#lost) {
        message = { ...message, afterGap: true as const };
        this.#gaps += 1;
        this.#lost = false;
      }
      next.push(message);
      this.list.push(message);
    }
    return next;
  }

  /** Adds the page of the log behind the head. What exists before its first message is lost, or all of it if the page is empty. */
  fill(messages: readonly M[], seq: number): M[] {
    let first = messages[0]?.seq ?? seq + 1;
    for (const held of this.#held.keys()) first = Math.min(first, held);
    if (first > this.head + 1) {
      this.#lost ||= this.list.length > 0;
      this.#skipTo(first);
    }
    return this.add(messages, seq);
  }

  /** Adds the page before the first message. */
  older(messages: readonly M[], more: boolean): void {
    this.list = [...messages, ...this.list];
    this.hasOlder = more;
  }

  /** Drops the oldest messages until `max` are left. */
  trim(max: number): void {
    if (this.list.length <= max) return;
    for (const { afterGap } of this.list.splice(0, this.list.length - max)) this.#gaps -= Number(afterGap ?? 0);
    this.hasOlder = true;
  }

  #skipTo(seq: number): void {
    this.head = seq - 1;
    for (const held of this.#held.keys()) if (held < seq) this.#held.delete(held);
  }
}
