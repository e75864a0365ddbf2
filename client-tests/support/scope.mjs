// What a test opens is closed when it ends, last opened first, and waiting is for conditions with a deadline.

import { setTimeout as pause } from "node:timers/promises";

const scopes = new WeakMap();

// Runs `close` after the test `t`, before everything that was deferred earlier.
export function defer(t, close) {
  let closers = scopes.get(t);
  if (!closers) {
    closers = [];
    scopes.set(t, closers);
    t.after(async () => {
      const failures = [];
      for (const each of closers.reverse()) {
        try {
          await each();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    });
  }
  closers.push(close);
}

// `promise`, or a failure that names what was awaited once `ms` have passed.
export function within(promise, what, ms = 15_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what()} (waited ${ms} ms)`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Tries `attempt` until it returns something truthy.
export async function eventually(attempt, what, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    const result = await attempt();
    if (result) return result;
    if (Date.now() > end) throw new Error(`${what} (waited ${ms} ms)`);
    await pause(20);
  }
}

// What happened, in order; `until` waits for a condition over it.
export class Journal {
  items = [];
  #waiters = new Set();

  constructor(name) {
    this.name = name;
  }

  add(item) {
    this.items.push(item);
    for (const wake of [...this.#waiters]) wake();
  }

  // Waits until `condition(items)` is truthy and returns that.
  until(condition, what = "what was awaited", ms = 15_000) {
    let wake;
    const met = new Promise((resolve, reject) => {
      wake = () => {
        try {
          const result = condition(this.items);
          if (result) resolve(result);
        } catch (error) {
          reject(error);
        }
      };
      this.#waiters.add(wake);
      wake();
    });
    const seen = () => JSON.stringify(this.items.slice(-3))?.slice(0, 600);
    return within(
      met,
      () => `${this.name}: ${what} did not happen; ${this.items.length} so far, the last: ${seen()}`,
      ms,
    ).finally(() => this.#waiters.delete(wake));
  }

  // Waits until there are `n`, and returns all there are.
  async count(n, ms) {
    await this.until((items) => items.length >= n, `the number of ${n}`, ms);
    return this.items;
  }
}
