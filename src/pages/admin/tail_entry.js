// An event of a room as a list's item. Its data is JSON text; long data is shortened until somebody wants all of it.

import { bdi, make } from "../shared/dom.js";
import { moment, plural, second } from "./format.js";

const LONG = 240;

// Returns what builds the item: those that are left out are never built.
export function entryOf({ seq, event, from, data, ts = Date.now() }) {
  return () => {
    const time = make("time", { dateTime: new Date(ts).toISOString(), title: moment(ts) }, second(ts));
    const sender = from?.user ? make("strong", { title: from.user }, bdi(from.name ?? from.user)) : make("em", {}, "back end");
    const name = event === undefined || event === "message" ? [] : [make("span", { className: "chip" }, bdi(event)), " "];
    const body = make("div", { className: "data" }, sender, " ", ...name, ...dataOf(data));
    const number = make("span", { className: "seq" }, seq ? `#${seq}` : "not stored");
    return make("li", { className: seq ? "entry" : "entry ephemeral" }, time, number, body);
  };
}

export const noteOf = (text) => () => make("li", { className: "note" }, text);

function dataOf(data) {
  const text = JSON.stringify(data) ?? "";
  const code = make("code", { dir: "ltr" }, text);
  if (text.length <= LONG) return [code];
  const toggle = make("button", { type: "button", "aria-expanded": "false" });
  const show = (isWhole) => {
    toggle.ariaExpanded = String(isWhole);
    toggle.textContent = isWhole ? "Show less" : `Show all ${plural(text.length, "character")}`;
    code.textContent = isWhole ? JSON.stringify(data, null, 2) : `${[...text.slice(0, LONG)].join("")}…`;
    code.classList.toggle("whole", isWhole);
  };
  toggle.onclick = () => show(toggle.ariaExpanded === "false");
  show(false);
  return [code, " ", toggle];
}
