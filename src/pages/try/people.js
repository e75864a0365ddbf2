// Who is in the active room, and who types.

import { avatar, bdi, byId, make, setText, sync } from "../shared/dom.js";

const SHOWN = 20;
const names = new Intl.ListFormat("en");

export function renderPeople({ rooms }) {
  const { people, count, typing, state } = rooms.active;
  const known = [...people.values()].slice(0, SHOWN);
  setText(byId("here"), state === "joined" && count > 0 ? `${count} here` : "");
  const hidden = count - known.length;
  const more = hidden > 0 && known.length > 0 ? [{ key: " more", text: `and ${hidden} more` }] : [];
  sync(byId("people"), [...known, ...more], create, (node, person) => update(node, person, rooms.me?.user));
  renderTyping([...typing.values()].map(({ name }) => name));
}

function create({ user, name, text }) {
  if (text) return make("li", {}, make("small"));
  const label = make("span", { className: "person", title: user }, bdi(name ?? user));
  return make("li", {}, avatar(user), label, make("small"));
}

function update(node, { user, status, read, text }, me) {
  const parts = [user === me && "you", status !== "online" && status, read && `read #${read}`];
  setText(node.querySelector("small"), text ?? parts.filter(Boolean).join(" · "));
}

function renderTyping(typists) {
  const line = byId("typing");
  const shown = typists.length > 3 ? `${typists.length} people` : names.format(typists);
  setText(line, typists.length === 0 ? "" : `${shown} ${typists.length === 1 ? "is" : "are"} typing`);
}
