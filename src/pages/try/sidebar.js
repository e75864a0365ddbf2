// The rooms with what is unread in them, a way to make another, to open a second tab, and who you are.

import { config, freeName } from "./address.js";
import { avatar, bdi, byId, make, setText, sync } from "../shared/dom.js";

let openRoom;

export function mountSidebar(app) {
  openRoom = (name) => app.rooms.open(name);
  const form = byId("new-room");
  const field = form.querySelector("input");
  form.onsubmit = (event) => {
    event.preventDefault();
    const name = field.value.trim().replace(/\s+/g, "-");
    if (!name) return;
    field.value = "";
    openRoom(name);
    byId("text").focus();
  };
  byId("leave").onclick = () => {
    app.rooms.leave(app.rooms.active);
    byId("text").focus();
  };
  byId("sign-out").onclick = () => app.signOut();
}

export function renderSidebar({ rooms, identity }) {
  const { active, all, unread } = rooms;
  const me = rooms.me ?? identity;
  sync(byId("rooms"), [...all.values()], create, (node, room) => update(node, room, room === active));
  setText(byId("room"), active.name);
  byId("room").title = active.name;
  byId("leave").disabled = all.size === 1;
  byId("text").placeholder = active.name.length > 16 ? "Message" : `Message ${active.name}`;
  byId("text").setAttribute("aria-label", `Message to ${active.name}`);
  const user = me.user ?? "";
  document.title = `${unread > 0 ? `(${unread}) ` : ""}${user} · Switchboard`;
  renderMe(user, me.name);
  renderInvitation(active, user);
}

function renderMe(user, name = user) {
  if (byId("me").textContent === name || !user) return;
  setText(byId("me"), name);
  byId("me").title = user;
  byId("me-avatar").replaceChildren(avatar(user));
}

// A tab is a person: the next one has the next name, or asks for a token.
function renderInvitation({ name, people }, user) {
  const invite = byId("invite");
  const other = freeName([user, ...people.keys()]);
  setText(invite, config.open ? `Open a tab as ${other}` : "Open a second tab");
  const hash = new URLSearchParams({ ...(config.open && { user: other }), room: name });
  invite.setAttribute("href", `${location.pathname}#${hash}`);
}

function create(room) {
  const label = make("span", { className: "name", title: room.name }, bdi(room.name));
  const button = make("button", { type: "button" }, label, make("span", { className: "badge" }));
  button.onclick = () => openRoom(room.name);
  return make("li", {}, button);
}

function update(node, { unread, state }, isActive) {
  const button = node.firstElementChild;
  const badge = node.querySelector(".badge");
  if (isActive && !button.hasAttribute("aria-current")) button.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (isActive) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
  button.dataset.state = state;
  badge.hidden = unread === 0;
  if (badge.count === unread) return;
  badge.count = unread;
  badge.replaceChildren(unread > 99 ? "99+" : `${unread}`, make("span", { className: "hidden" }, " unread"));
}
