// A list by name with a search by prefix, a page at a time. Search and page are in the address.

import { bdi, make } from "../shared/dom.js";
import { call } from "./api.js";
import { fragment } from "./fragment.js";
import { Loader } from "./loader.js";
import { makeTable } from "./table.js";

const PAGE = 100;
const TYPING_MS = 250;
// A page may be empty and not the last: only some names are looked at for each.
const MAX_CALLS = 5;
const WORDS = {
  rooms: { none: "Nobody is in any room.", what: "No room with members", exact: "Look at the room of this name" },
  users: { none: "Nobody is connected.", what: "No connected user", exact: "Look at the user of this name" },
  documents: { none: "There is no document.", what: "No document" },
};
// The page before each, of those that were seen since the dashboard was loaded.
const before = new Map();

// `noun` is one of WORDS, which the API calls it, too; `key` names a row's name; `extra` is more of the call's query. `links` are shown
// beside the search. A list that `isWide` scrolls sideways on a phone. The element can be told to `refresh()`.
export function pagedList({ noun, key, columns, query, extra, hint, links = [], isWide, signal }) {
  let { prefix = "", cursor } = query;
  const table = makeTable(`${noun}, by name`, columns);
  const scroller = { className: "list table-scroller", tabIndex: 0, role: "region", "aria-label": `List of ${noun}` };
  const content = make("div", isWide ? scroller : { className: "list", tabIndex: -1 }, table.element);
  const none = make("p", { className: "none", hidden: true });
  const pages = make("nav", { className: "pages", "aria-label": "Pages" });
  const field = make("input", { type: "search", value: prefix, maxLength: 133, spellcheck: false, autocomplete: "off" });
  field.placeholder = "Name begins with…";
  field.setAttribute("aria-label", `Search ${noun} by the beginning of their names`);
  const show = (page) => {
    const rows = page?.rows ?? [];
    table.show(rows.map((row) => ({ ...row, key: row[key] })));
    table.element.hidden = rows.length === 0;
    none.hidden = rows.length > 0 || !page;
    if (page) none.replaceChildren(...nothing({ noun, prefix, cursor, next: page.next }));
    pages.replaceChildren(...pageLinks({ noun, prefix, cursor, next: page?.next }));
  };
  const loader = new Loader({ load: (running) => load({ noun, prefix, cursor, extra, signal: running }), show, content, signal });
  let typing;
  field.oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      [prefix, cursor] = [field.value.trim(), undefined];
      history.replaceState(null, "", fragment([noun], { prefix }));
      loader.refresh({ isOther: true });
    }, TYPING_MS);
  };
  signal.addEventListener("abort", () => clearTimeout(typing));
  const toolbar = make("div", { className: "toolbar" }, ...links, make("search", {}, field), loader.element);
  const element = make("div", { className: "page narrow" }, toolbar, make("p", { className: "hint" }, hint), content, none, pages);
  return Object.assign(element, { refresh: () => loader.refresh() });
}

async function load({ noun, prefix, cursor, extra, signal }) {
  let next = cursor;
  for (let calls = 0; calls < MAX_CALLS; calls += 1) {
    const page = await call("GET", `v1/${noun}`, { query: { ...extra, prefix, limit: PAGE, cursor: next }, signal });
    next = page.next;
    if (page[noun].length > 0 || !next) return { rows: page[noun].slice(0, PAGE), next };
  }
  return { rows: [], next };
}

function nothing({ noun, prefix, cursor, next }) {
  if (next) return [`No ${noun} among the names so far. The next page may have some.`];
  if (cursor) return [`No more ${noun}.`];
  const { none, what, exact } = WORDS[noun];
  if (!prefix) return [none];
  const link = exact ? [make("a", { href: fragment([noun, prefix]) }, exact)] : [];
  return [`${what} has a name that begins with `, bdi(prefix), ". ", ...link];
}

function pageLinks({ noun, prefix, cursor, next }) {
  const to = (text, target) => make("a", { href: fragment([noun], { prefix, cursor: target }) }, text);
  if (next) before.set(`${noun} ${prefix} ${next}`, cursor ?? "");
  const previous = before.get(`${noun} ${prefix} ${cursor}`);
  return [
    ...(cursor ? [to("First page")] : []),
    ...(previous !== undefined ? [to("Previous page", previous)] : []),
    ...(next ? [to("Next page", next)] : []),
  ];
}
