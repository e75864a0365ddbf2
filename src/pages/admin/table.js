// A table of rows that have keys: rows that stay keep their elements, and with them the focus.

import { make, setText, sync } from "../shared/dom.js";

// A column is { title, isNumber?, create?(row), text?(row), update?(cell, row) }: a cell is made once, or its text set each time.
export function makeTable(caption, columns) {
  const head = columns.map(({ title, isNumber }) => make("th", { scope: "col", className: isNumber ? "number" : "" }, title));
  const body = make("tbody");
  const element = make("table", {}, make("caption", { className: "hidden" }, caption), make("thead", {}, make("tr", {}, ...head)), body);
  const create = (row) => {
    const cells = columns.map((column, i) => {
      const content = column.create?.(row);
      const options = { className: column.isNumber ? "number" : "" };
      return i === 0 ? make("th", { scope: "row", ...options }, content ?? "") : make("td", options, content ?? "");
    });
    return make("tr", {}, ...cells);
  };
  const update = (node, row) => {
    node.toggleAttribute("data-gone", Boolean(row.isGone));
    columns.forEach((column, i) => {
      if (column.text) setText(node.children[i], column.text(row));
      column.update?.(node.children[i], row);
    });
  };
  return {
    element,
    isInUse: () => body.matches(":hover, :focus-within"),
    show: (rows) => sync(body, rows, create, update),
  };
}
