// Who is here: a badge for each in the header, and a cursor on the board.

import type { Member } from "@switchboard/client";
import type { Place, View } from "./view";

const COLOURS = ["#2563eb", "#c2620a", "#16855b", "#d6336c", "#7c3aed", "#0e7490", "#a21caf", "#4d7c0f"];

/** The same colour for a user in every window. */
export function colourOf(user: string) {
  let hash = 0;
  for (const letter of user) hash = (hash * 7 + letter.codePointAt(0)!) % 9973;
  return COLOURS[hash % COLOURS.length]!;
}

export function showPeople(list: HTMLElement, members: readonly Member[], count: number, me: string) {
  const others = members.filter(({ user }) => user !== me);
  const shown = [...members.filter(({ user }) => user === me), ...others].slice(0, 5);
  list.replaceChildren(...shown.map(({ user, name }) => badge(user, name ?? user, user === me)));
  if (count > shown.length) list.append(item("more", `+${count - shown.length}`));
}

function badge(user: string, name: string, mine: boolean) {
  const each = item("person", name);
  each.dataset.initial = [...name][0]!.toUpperCase();
  each.title = mine ? `${name} (you)` : name;
  each.style.setProperty("--colour", colourOf(user));
  return each;
}

function item(className: string, text: string) {
  const li = document.createElement("li");
  li.className = className;
  li.append(Object.assign(document.createElement("span"), { textContent: text }));
  return li;
}

/** The others' cursors. */
export class Cursors {
  #cursors = new Map<string, { element: HTMLElement; place: Place }>();

  constructor(
    readonly layer: HTMLElement,
    readonly view: View,
  ) {}

  move(user: string, name: string, place: Place) {
    const cursor = this.#cursors.get(user) ?? { element: this.#create(user, name), place };
    cursor.place = place;
    this.#cursors.set(user, cursor);
    this.#put(cursor);
  }

  remove(user: string) {
    this.#cursors.get(user)?.element.remove();
    this.#cursors.delete(user);
  }

  keepOnly(members: readonly Member[]) {
    const here = new Set(members.map(({ user }) => user));
    for (const user of this.#cursors.keys()) if (!here.has(user)) this.remove(user);
  }

  refresh() {
    for (const cursor of this.#cursors.values()) this.#put(cursor);
  }

  #put({ element, place }: { element: HTMLElement; place: Place }) {
    const { x, y } = this.view.toWindow(place);
    element.style.transform = `translate(${x}px, ${y}px)`;
    // The name is to the left where there is no room for it.
    element.classList.toggle("at-edge", x + (element.lastElementChild as HTMLElement).offsetWidth + 16 > this.layer.clientWidth);
  }

  #create(user: string, name: string) {
    const element = Object.assign(document.createElement("div"), { className: "cursor" });
    element.dataset.user = user;
    element.style.setProperty("--colour", colourOf(user));
    element.innerHTML = `<svg viewBox="0 0 20 20"><path d="M2 2l6 15 2.3-6.2L17 8.4z"/></svg>`;
    element.append(Object.assign(document.createElement("span"), { textContent: name }));
    this.layer.append(element);
    return element;
  }
}
