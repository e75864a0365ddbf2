// Rooms: all by name, the busiest, the largest.

import { bdi, make, setText } from "../shared/dom.js";
import { fragment } from "./fragment.js";
import { count, perSecond } from "./format.js";
import { pagedList } from "./paged_list.js";
import { makeTable } from "./table.js";

const ORDERS = [[undefined, "By name"], ["busiest", "Busiest"], ["largest", "Largest"]];
const link = (room) => make("a", { href: fragment(["rooms", room]), dir: "auto" }, room);

const COLUMNS = [
  { title: "Room", create: ({ room }) => link(room) },
  { title: "Users", isNumber: true, text: ({ users }) => count(users) },
  { title: "Connections", isNumber: true, text: ({ connections }) => count(connections) },
  { title: "Events", isNumber: true, text: ({ events_per_second: rate }) => perSecond(rate) },
];

export function openRooms({ query, signal, subtitle }) {
  const by = ["busiest", "largest"].find((order) => order === query.by);
  const orders = make("nav", { className: "orders", "aria-label": "Order" }, ...ORDERS.map(([order, text]) => orderLink(order, text, order === by)));
  if (by) return { title: "Rooms", ...topRooms(by, orders, subtitle) };
  const hint = make("span", {}, "Rooms with members. Personal rooms are listed when the search begins with ", make("code", {}, "user:"), ".");
  const list = { noun: "rooms", key: "room", columns: COLUMNS, extra: { rates: true }, links: [orders] };
  return { title: "Rooms", element: pagedList({ ...list, query, hint, signal }) };
}

function orderLink(by, text, isCurrent) {
  const node = make("a", { href: fragment(["rooms"], { by }) }, text);
  if (isCurrent) node.setAttribute("aria-current", "page");
  return node;
}

// The rooms of the node that answers, from the stats. While somebody points at them, they keep their places.
function topRooms(by, orders, subtitle) {
  const measure = { busiest: "events_per_second", largest: "users" }[by];
  const bar = (cell, row) => cell.style.setProperty("--share", row.share);
  const columns = COLUMNS.map((column, i) => (i === { busiest: 3, largest: 1 }[by] ? { ...column, update: bar } : column));
  const table = makeTable(`${by} rooms`, columns);
  const none = make("p", { className: "none", hidden: true }, "Nobody is in any room.");
  let shown = [];
  return {
    element: make("div", { className: `page narrow top-${by}` }, make("div", { className: "toolbar" }, orders), table.element, none),
    update({ rooms, own, node }) {
      const newest = rooms[by].map((row) => ({ ...row, key: row.room, share: row[measure] / (rooms[by][0][measure] || 1) }));
      const isHeld = table.isInUse() && shown.length > 0;
      shown = isHeld ? shown.map((row) => newest.find(({ key }) => key === row.key) ?? { ...row, isGone: true }) : newest;
      table.show(shown);
      table.element.hidden = shown.length === 0;
      none.hidden = shown.length > 0;
      setText(subtitle, `on ${own?.host || node}`);
    },
  };
}

export const roomLink = (room) => make("a", { href: fragment(["rooms", room]) }, bdi(room));
