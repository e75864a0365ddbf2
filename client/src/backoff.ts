// How long to wait before something is tried again.

/** A longer delay would be taken for none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * As long as the server says; otherwise doubled after each of the `failures` in a row. Spread, so that clients which failed together
 * do not come back together.
 */
export const retryDelay = (failures: number, toldMs?: number, min = 1000, max = 30_000) =>
  toldMs === undefined ? Math.min(max, min * 2 ** (failures - 1)) * (0.5 + Math.random()) : toldMs * (1 + Math.random() / 4);

/** One timer that can be set again. */
export class Timer {
  #timer: number | undefined;

  get isSet(): boolean {
    return this.#timer !== undefined;
  }

  /** A delay that timers cannot take ends early. */
  set(ms: number, run: () => void): void {
    this.clear();
    this.#timer = setTimeout(() => (this.clear(), run()), Math.min(ms, MAX_TIMER_MS));
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
