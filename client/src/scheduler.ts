// Stores whose changes are gathered: what the network brings is shown once a frame, what the application does at once.

import { Handlers } from "./handlers.js";
import type { Store, Unsubscribe } from "./types.js";

/** A timer and not an animation frame: pages in the background go on, and there is a time without a screen. */
const FRAME_MS = 16;

/** Of one client: all its stores change in one frame. */
export class Scheduler {
  #due = new Set<() => void>();

  later(flush: () => void): void {
    if (this.#due.size === 0) setTimeout(() => this.#run(), FRAME_MS);
    this.#due.add(flush);
  }

  #run(): void {
    const due = this.#due;
    this.#due = new Set();
    for (const flush of due) flush();
  }
}

/** A store whose snapshot is what `build` returns; the previous object if all its fields are the same. */
export class Published<Snapshot extends object> implements Store<Snapshot> {
  readonly #listeners = new Handlers<() => void>();
  readonly #scheduler: Scheduler;
  readonly #build: (previous: Snapshot) => Snapshot;
  #snapshot: Snapshot;
  #stale = false;

  constructor(scheduler: Scheduler, first: Snapshot, build: (previous: Snapshot) => Snapshot) {
    this.#scheduler = scheduler;
    this.#snapshot = first;
    this.#build = build;
  }

  subscribe(listener: () => void): Unsubscribe {
    return this.#listeners.on("", listener);
  }

  getSnapshot(): Snapshot {
    if (this.#stale) {
      this.#stale = false;
      this.#snapshot = unlessSame(this.#snapshot, this.#build(this.#snapshot));
    }
    return this.#snapshot;
  }

  /** Something has changed that may wait for the next frame. */
  changed(): void {
    this.#scheduler.later(this.#flush);
  }

  /** Something has changed that is to be seen at once. What nobody looks at is not built. */
  changedNow(): void {
    this.#stale = true;
    this.#listeners.call("");
  }

  readonly #flush = (): void => {
    const previous = this.#snapshot;
    this.#stale = true;
    if (this.getSnapshot() !== previous) this.#listeners.call("");
  };
}

/** `next`, or `previous` if all fields are the same. */
export function unlessSame<T extends object>(previous: T, next: T): T {
  const fields = { ...previous, ...next };
  for (const key in fields) if (previous[key] !== next[key]) return next;
  return previous;
}
