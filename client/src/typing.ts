// Typing: the own keys become few announcements, and what others announce ends by itself.

import { Timer } from "./backoff.js";
import type { Typing, Typist } from "./types.js";

/** Typing that goes on is announced again that often; the server forgets it after some more. */
const REPEAT_MS = 2000;
/** Typing ends that long after the last key. */
const PAUSE_MS = 3000;

/** The own typing. */
export class OwnTyping implements Typing {
  readonly #announce: (typing: boolean) => void;
  readonly #pause = new Timer();
  #announcedAt = 0;

  constructor(announce: (typing: boolean) => void) {
    this.#announce = announce;
  }

  keystroke(): void {
    if (Date.now() - this.#announcedAt >= REPEAT_MS) {
      this.#announcedAt = Date.now();
      this.#announce(true);
    }
    this.#pause.set(PAUSE_MS, () => this.stop());
  }

  stop(): void {
    if (this.#announcedAt > 0) this.#announce(false);
    this.over();
  }

  /** The server knows: a message, or the end of the membership, ends it there, too. */
  over(): void {
    this.#announcedAt = 0;
    this.#pause.clear();
  }
}

/** Who else is typing. */
export class Typists {
  /** The same array until it changes. */
  list: readonly Typist[] = [];
  readonly #changed: () => void;
  readonly #timers = new Map<string, Timer>();

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  set({ user, name, typing, expires_in_ms }: Typist & { typing: boolean; expires_in_ms: number }): void {
    const known = this.#timers.get(user);
    if (!typing) return this.end(user);
    const timer = known ?? new Timer();
    this.#timers.set(user, timer);
    timer.set(expires_in_ms, () => this.end(user));
    if (known) return;
    this.list = [...this.list, { user, ...(name && { name }) }];
    this.#changed();
  }

  end(user: string | undefined): void {
    const timer = this.#timers.get(user!);
    if (!timer) return;
    timer.clear();
    this.#timers.delete(user!);
    this.list = this.list.filter((typist) => typist.user !== user);
    this.#changed();
  }

  clear(): void {
    for (const user of this.#timers.keys()) this.end(user);
  }
}
