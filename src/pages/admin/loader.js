// What a call returned: shown with its time, refreshed while the page is looked at, and kept, as old, when a refresh fails.

import { make } from "../shared/dom.js";
import { explain } from "./api.js";
import { second } from "./format.js";

const EVERY_MS = 10_000;

export class Loader {
  element = make("p", { className: "freshness" });
  #load;
  #show;
  #signal;
  #running;
  #shownAt;

  // `load(signal)` resolves to what `show` shows; null: there is nothing to show. `content` can have the focus, and is marked while it is
  // old. All ends with `signal`.
  constructor({ load, show, content, signal }) {
    this.content = content;
    this.element.textContent = "Loading…";
    this.#load = load;
    this.#show = show;
    this.#signal = signal;
    const timer = setInterval(() => !document.hidden && !this.#running && this.refresh(), EVERY_MS);
    signal.addEventListener("abort", () => {
      clearInterval(timer);
      this.#running?.abort();
    });
    this.refresh();
  }

  get isLoading() {
    return this.#running !== undefined;
  }

  // Loads now; what was being loaded is not shown any more. `isOther`: what is shown is not an older state of what is asked for.
  async refresh({ isOther = false } = {}) {
    if (this.#signal.aborted) return;
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    if (isOther) this.#shownAt = undefined;
    this.element.setAttribute("aria-busy", "true");
    try {
      const value = await this.#load(running.signal);
      if (running !== this.#running) return;
      this.#show(value);
      this.#shownAt = Date.now();
      this.#succeed();
    } catch (error) {
      if (running === this.#running && !running.signal.aborted) this.#fail(error);
    } finally {
      if (running === this.#running) this.#end();
    }
  }

  #end() {
    this.#running = undefined;
    this.element.removeAttribute("aria-busy");
  }

  #succeed() {
    const hadFocus = this.element.contains(document.activeElement);
    this.content.removeAttribute("data-old");
    this.element.classList.remove("failed");
    this.element.textContent = `As of ${second(this.#shownAt)}`;
    if (hadFocus) this.content.focus();
  }

  #fail(error) {
    const text = `${explain(error)}${this.#shownAt ? ` Shown as of ${second(this.#shownAt)}.` : ""}`;
    if (!this.#shownAt) this.#show(null);
    this.content.setAttribute("data-old", "");
    this.element.classList.add("failed");
    // A screen reader hears of it once.
    if (this.element.firstChild?.textContent === text) return;
    const retry = make("button", { type: "button", onclick: () => this.refresh() }, "Try again");
    this.element.replaceChildren(make("span", { role: "alert" }, text), " ", retry);
  }
}
