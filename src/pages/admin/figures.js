// A line of named numbers.

import { make, setText, sync } from "../shared/dom.js";

export function figures(label) {
  const element = make("dl", { className: "figures", "aria-label": label });
  const create = ({ key }) => make("div", {}, make("dt", {}, key), make("dd", { dir: "auto" }));
  return {
    element,
    // `entries` are [name, text].
    show: (entries) => sync(element, entries.map(([key, text]) => ({ key, text })), create, (node, { text }) => setText(node.lastChild, text)),
  };
}
