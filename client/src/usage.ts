// Counts who uses something that costs a subscription on the server, and ends it a second after the last user is gone: a route that
// changes, or a component that StrictMode mounts twice, ends and begins nothing.

import { Timer } from "./backoff.js";
import type { Unsubscribe } from "./types.js";

const LINGER_MS = 1000;

export class Usage {
  readonly #began: () => void;
  readonly #ended: () => void;
  readonly #timer = new Timer();
  #users = 0;

  constructor(began: () => void, ended: () => void) {
    this.#began = began;
    this.#ended = ended;
  }

  /** Whether it is used, or was a second ago. */
  get active(): boolean {
    return this.#users > 0 || this.#timer.isSet;
  }

  use(): Unsubscribe {
    const began = !this.active;
    let used = 1;
    this.#users += 1;
    this.#timer.clear();
    if (began) this.#began();
    return () => {
      this.#users -= used;
      if (used > 0 && this.#users === 0) this.#timer.set(LINGER_MS, this.#ended);
      used = 0;
    };
  }
}
