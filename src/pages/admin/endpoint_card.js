// The card of a back end that hooks reach: where it is, what it is for, how it is, and what has failed last.

import { bdi, make, setText, sync } from "../shared/dom.js";
import { figures } from "./figures.js";
import { moment } from "./format.js";

// `buttons` are the card's own. What `show` is given: `state` { kind, text }, `facts` [name, chips, rest?], `numbers` [name, text],
// `trouble`, a text if somebody should look at it, and what is `about` it.
export function endpointCard(url, ...buttons) {
  const state = make("span", { className: "state" });
  const facts = make("dl", { className: "facts" });
  const trouble = make("p", { className: "problem" });
  const numbers = figures(`Numbers, ${url}`);
  const about = make("p", { className: "about" });
  const header = make("header", {}, make("h3", {}, bdi(url)), state, ...buttons);
  const element = make("li", { className: "endpoint", tabIndex: -1 }, header, facts, trouble, numbers.element, about);
  const show = (shown) => {
    state.dataset.state = shown.state.kind;
    setText(state, shown.state.text);
    sync(facts, shown.facts.map(([key, chips, rest]) => ({ key, chips, rest })), fact);
    trouble.hidden = !shown.trouble;
    setText(trouble, shown.trouble ?? "");
    numbers.show(shown.numbers);
    setText(about, shown.about.filter(Boolean).join(" · "));
  };
  return { element, show };
}

// They are configured: none changes while the server runs.
function fact({ key, chips, rest }) {
  const names = chips.map((chip) => make("bdi", { className: "chip" }, chip));
  return make("div", {}, make("dt", {}, key), make("dd", {}, ...names, ...(rest ? [rest] : [])));
}

// Shows a button or not. Whoever is on it when it goes stays at its card.
export function toggle(button, isShown, card) {
  const hadFocus = document.activeElement === button;
  button.hidden = !isShown;
  if (hadFocus && !isShown) card.focus();
}

// What has failed last, as a sentence; undefined if nothing has.
export const lastFailure = (failure) => failure && `Last failure, ${moment(failure.ts)}: ${failure.message}.`;
