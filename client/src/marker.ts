// How far the user has read a room. It is shown at once; the server is told a little later, because scrolling moves it often.

import type { Sender } from "./types.js";

const GATHER_MS = 100;

export class ReadMarker {
  /** The number of the last message that was read. */
  seq = 0;
  readonly #moved: () => void;
  readonly #tell: (seq: number) => Promise<unknown>;
  #telling: Promise<void> | undefined;

  /** `moved` is called when the user has moved it, and `tell` to let the server know. */
  constructor(moved: () => void, tell: (seq: number) => Promise<unknown>) {
    this.#moved = moved;
    this.#tell = tell;
  }

  /** Moves it forward; resolves once the server knows. */
  move(seq: number): Promise<void> {
    if (!(seq > this.seq)) return this.#telling ?? Promise.resolve();
    this.seq = seq;
    this.#moved();
    return (this.#telling ??= this.#tellSoon());
  }

  /** What the server says. It only moves forward. */
  learn(seq: number): void {
    this.seq = Math.max(this.seq, seq);
  }

  /** How many messages of others are behind it. Those before the `first` of the list may be anybody's. */
  unread(list: readonly { seq: number; from: Sender | null }[], first: number, me: string | undefined): number {
    let count = Math.max(0, first - 1 - this.seq);
    for (let i = list.length; i > 0 && list[(i -= 1)]!.seq > this.seq; ) if (list[i]!.from?.user !== me) count += 1;
    return count;
  }

  #tellSoon(): Promise<void> {
    const told = new Promise<void>((resolve) => void setTimeout(resolve, GATHER_MS)).then(async () => {
      this.#telling = undefined;
      await this.#tell(this.seq);
    });
    // It is told again with the next join.
    told.catch(() => {});
    return told;
  }
}
