// Handlers of the application by event: each is called at once, and one that throws does not stop the others.

import { guard } from "./errors.js";
import type { Unsubscribe } from "./types.js";

export class Handlers<Handler extends (...args: any[]) => unknown> {
  readonly #handlers: Record<string, Handler[]> = Object.create(null);

  on(event: string, handler: Handler): Unsubscribe {
    // Wrapped, so that the same function can be registered twice.
    const own = ((...args) => handler(...args)) as Handler;
    // Copied, because handlers come and go while they are called.
    this.#handlers[event] = [...this.of(event), own];
    return () => {
      this.#handlers[event] = this.of(event).filter((other) => other !== own);
    };
  }

  of(event: string): Handler[] {
    return this.#handlers[event] ?? [];
  }

  /** Not those that an earlier one has removed. */
  call(event: string, ...args: Parameters<Handler>): void {
    for (const handler of this.of(event)) if (this.of(event).includes(handler)) guard(() => handler(...args));
  }

  clear(): void {
    for (const event in this.#handlers) delete this.#handlers[event];
  }
}
