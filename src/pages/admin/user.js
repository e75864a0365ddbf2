// One user: its state, its connections, its rooms. It can be disconnected, and notified.

import { bdi, make, setText, sync } from "../shared/dom.js";
import { call, path } from "./api.js";
import { name, openDialog } from "./dialog.js";
import { figures } from "./figures.js";
import { bytes, count, duration, moment, plural } from "./format.js";
import { Loader } from "./loader.js";
import { roomLink } from "./rooms.js";
import { sendForm } from "./send_form.js";
import { makeTable } from "./table.js";

const FEW_ROOMS = 60;
const MAX_CONNECTIONS = 200;
const TRANSPORTS = { socketio: "Socket.IO", websocket: "WebSocket", events: "Server-Sent Events" };

export function openUser({ parts: [, user], signal }) {
  const state = stateOf(user, signal);
  const connections = connectionsOf(user, signal);
  const done = () => [state, connections].forEach(({ loader }) => loader.refresh());
  const disconnect = make("button", { type: "button", className: "danger", onclick: () => askToDisconnect({ user, signal, done }) }, "Disconnect…");
  const personal = make("a", { href: `#/rooms/${encodeURIComponent(`user:${user}`)}` }, "Personal room");
  const actions = make("p", { className: "actions" }, disconnect, personal);
  const send = async (body) => `Stored as #${count((await call("POST", path`v1/users/${user}/notifications`, { body })).seq)}.`;
  const notify = make("section", { className: "panel" }, make("h2", {}, "Send a notification"), sendForm({ label: "A notification", send }));
  return {
    title: user,
    isName: true,
    parent: ["#/users", "Users"],
    element: make("div", { className: "page" }, state.strip, actions, connections.section, state.rooms, notify),
  };
}

function stateOf(user, signal) {
  const numbers = figures("State");
  const strip = make("div", { className: "strip", tabIndex: -1 }, numbers.element);
  const title = make("h2", {}, "Rooms");
  const list = make("ul", { className: "names" });
  const all = make("button", { type: "button" });
  const rooms = make("section", { className: "panel" }, title, list, all);
  let isWhole = false;
  let state;
  const showRooms = () => {
    const names = state?.rooms ?? [];
    setText(title, state ? `Rooms, ${count(names.length)}` : "Rooms");
    sync(list, names.slice(0, isWhole ? 5000 : FEW_ROOMS).map((key) => ({ key })), ({ key }) => make("li", {}, roomLink(key)));
    all.hidden = names.length <= FEW_ROOMS;
    setText(all, isWhole ? `Show ${FEW_ROOMS} rooms` : `Show all ${count(names.length)} rooms`);
  };
  all.onclick = () => {
    isWhole = !isWhole;
    showRooms();
  };
  const show = (newest) => {
    state = newest;
    numbers.show(state ? figuresOf(state) : []);
    showRooms();
  };
  const load = (running) => call("GET", path`v1/users/${user}`, { signal: running });
  const loader = new Loader({ load, show, content: strip, signal });
  strip.append(loader.element);
  return { strip, rooms, loader };
}

function figuresOf({ online, status, connections, rooms, last_seen: lastSeen }) {
  return [
    ["State", online ? "Online" : "Offline"],
    ["Status", status || "none"],
    ["Connections", count(connections)],
    ["Rooms", count(rooms.length)],
    ["Last seen", online ? "now" : moment(lastSeen ?? NaN)],
  ];
}

const COLUMNS = [
  { title: "Transport", text: ({ transport }) => TRANSPORTS[transport] ?? transport },
  { title: "Node", create: ({ node }) => bdi(node) },
  { title: "Namespace", create: ({ namespace }) => bdi(namespace ?? "/") },
  { title: "Rooms", create: roomsOf, update: (cell, { rooms }) => cell.firstChild.show(rooms) },
  { title: "Connected for", text: ({ connected_at: at }) => duration(Date.now() - at) },
  { title: "Send queue", isNumber: true, text: ({ send_queue_bytes: queued }) => bytes(queued) },
];

// How many, and their names when somebody opens it.
function roomsOf() {
  const summary = make("summary");
  const list = make("ul", { className: "names" });
  const details = make("details", {}, summary, list);
  let rooms = [];
  const fill = () => details.open && sync(list, rooms.map((key) => ({ key })), ({ key }) => make("li", {}, roomLink(key)));
  details.ontoggle = fill;
  const show = (newest) => {
    rooms = newest;
    setText(summary, plural(rooms.length, "room"));
    fill();
  };
  return Object.assign(details, { show });
}

function connectionsOf(user, signal) {
  const table = makeTable("Connections", COLUMNS);
  const none = make("p", { className: "none", hidden: true }, "No connection.");
  const content = make("div", { className: "table-scroller", tabIndex: 0, role: "region", "aria-label": "Connections" }, table.element, none);
  const show = (page) => {
    const rows = page?.connections ?? [];
    table.show(rows.slice(0, MAX_CONNECTIONS).map((row) => ({ ...row, key: row.id })));
    table.element.hidden = rows.length === 0;
    none.hidden = rows.length > 0 || !page;
  };
  const load = (running) => call("GET", path`v1/users/${user}/connections`, { signal: running });
  const loader = new Loader({ load, show, content, signal });
  const header = make("header", {}, make("h2", {}, "Connections"), loader.element);
  return { section: make("section", { className: "panel" }, header, content), loader };
}

function askToDisconnect({ user, signal, done }) {
  openDialog({
    title: "Disconnect this user?",
    content: [
      make("p", {}, "All connections of ", name(user), " are closed, on every node. Its clients do not reconnect by themselves."),
      make("p", {}, "It may connect again."),
    ],
    confirm: "Disconnect",
    isDanger: true,
    signal,
    async action() {
      const { connections } = await call("DELETE", path`v1/users/${user}/connections`);
      done();
      return [name(user), ` was disconnected: ${plural(connections, "connection")}.`];
    },
  });
}
