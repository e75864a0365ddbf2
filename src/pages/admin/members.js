// The users in a room, a page at a time. Each can be kicked.

import { make, setText, sync } from "../shared/dom.js";
import { call, path } from "./api.js";
import { name, openDialog } from "./dialog.js";
import { count, moment, plural } from "./format.js";
import { Loader } from "./loader.js";
import { who } from "./users.js";

const PAGE = 50;

// `changed` is called when somebody was kicked.
export function openMembers({ room, signal, changed }) {
  const title = make("h2", {}, "Members");
  const list = make("ul", { className: "members" });
  const none = make("p", { className: "none", hidden: true });
  const content = make("div", { tabIndex: -1 }, list, none);
  let after; // the user that the page begins behind
  let next;
  const move = (to) => {
    after = to;
    loader.refresh({ isOther: true });
    content.focus();
  };
  const first = make("button", { type: "button", onclick: () => move(undefined) }, "First page");
  const more = make("button", { type: "button", onclick: () => move(next) }, "Next page");
  const pages = make("p", { className: "pages" }, first, more);
  const kick = (user) => askToKick({ room, user, signal, done: () => (loader.refresh(), changed()) });
  const show = (page) => {
    next = page?.next;
    first.hidden = !after;
    more.hidden = !next;
    setText(title, page ? `Members, ${count(page.count)}` : "Members");
    none.hidden = !page || page.users.length > 0;
    setText(none, after ? "Nobody else is in this room." : "Nobody is in this room.");
    const rows = (page?.users ?? []).slice(0, PAGE).map((row) => ({ ...row, key: row.user }));
    sync(list, rows, (row) => memberOf(row, kick), (node, row) => setText(node.about, aboutOf(row)));
  };
  const load = (running) => call("GET", path`v1/rooms/${room}/presence`, { query: { limit: PAGE, after }, signal: running });
  const loader = new Loader({ load, show, content, signal });
  return make("section", { className: "panel", "aria-label": "Members" }, make("header", {}, title, loader.element), content, pages);
}

function memberOf(row, kick) {
  const about = make("p", { className: "about" });
  const button = make("button", { type: "button", "aria-label": `Kick ${row.user}`, onclick: () => kick(row.user) }, "Kick…");
  return Object.assign(make("li", {}, make("div", {}, who(row), about), button), { about });
}

const aboutOf = ({ status, connections, since }) => `${status}, ${plural(connections, "connection")}, since ${moment(since)}`;

function askToKick({ room, user, signal, done }) {
  const reason = make("input", { maxLength: 128, autocomplete: "off", placeholder: "removed" });
  openDialog({
    title: "Kick this user from the room?",
    content: [
      make("p", {}, name(user), " leaves ", name(room), " on all its connections, and is told why. Its permissions stay: it may join again."),
      make("label", {}, "Reason", reason),
    ],
    confirm: "Kick",
    isDanger: true,
    signal,
    async action() {
      const kicked = await call("DELETE", path`v1/rooms/${room}/members/${user}`, { query: { reason: reason.value.trim() } });
      done();
      return [name(user), ` was kicked: ${plural(kicked.connections, "connection")}.`];
    },
  });
}
