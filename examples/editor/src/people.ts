// Who is here: a name and a colour for each, which also their cursor has.

import type { Awareness } from "y-protocols/awareness";

const MOST_SHOWN = 6;

/**
 * What y-codemirror.next wants to know about a person. The colour is the same in every window, dark enough for white letters, and hardly two
 * names have the same one: y-codemirror.next takes carets of one colour for the same caret, and swaps their names.
 */
export function personOf(name: string) {
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)!) % 65_521;
  const hue = (hash / 65_521) * 360;
  return { name, color: `oklch(0.5 0.15 ${hue})`, colorLight: `oklch(0.5 0.15 ${hue} / 0.25)` };
}

/** Who is here besides `me`, by name: somebody may have several windows. */
function others(awareness: Awareness, me: string) {
  const cursors = new Map<string, unknown>();
  for (const { user, cursor } of awareness.getStates().values()) {
    if (typeof user?.name === "string" && user.name !== me) cursors.set(user.name, cursor ?? cursors.get(user.name));
  }
  return cursors;
}

/** Keeps the list up to date. Clicking on somebody calls `goTo` with their cursor. */
export function showPeople(list: HTMLElement, awareness: Awareness, me: string, goTo: (cursor: unknown) => void) {
  let shown = "";
  const show = () => {
    const names = [...others(awareness, me).keys()].sort();
    // Every cursor that moves comes by here. A list that stays the same keeps its focus.
    if (shown === (shown = JSON.stringify(names))) return;
    const buttons = names.slice(0, MOST_SHOWN).map((name) => {
      const button = badge("button", name);
      button.title = `Go to where ${name} is`;
      button.addEventListener("click", () => goTo(others(awareness, me).get(name)));
      return button;
    });
    const more = names.length > MOST_SHOWN ? [element("span", `+${names.length - MOST_SHOWN}`)] : [];
    list.replaceChildren(...[badge("span", me, "(you)"), ...buttons, ...more].map(item));
  };
  awareness.on("change", show);
  show();
}

function badge(tag: "button" | "span", name: string, after = "") {
  const badge = Object.assign(element(tag, ""), { className: "person" });
  badge.dataset.initial = [...name][0]!.toUpperCase();
  badge.style.setProperty("--colour", personOf(name).color);
  badge.append(element("span", `${name} ${after}`.trim()));
  return badge;
}

const element = (tag: string, textContent: string) => Object.assign(document.createElement(tag), { textContent });

function item(content: HTMLElement) {
  const li = document.createElement("li");
  li.append(content);
  return li;
}
