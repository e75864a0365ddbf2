// The list of the active room's messages. It stays at its end unless somebody has scrolled up.

import { avatar, bdi, byId, make, setText, sync } from "../shared/dom.js";

const scroller = byId("messages");
const list = byId("entries");
// A longer text is cut until somebody wants all of it.
const LONG = 1200;
let shown;
let atEnd = true;
let retry;

export function mountMessages(app) {
  retry = (message) => app.rooms.retry(message);
  const measure = () => {
    atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 24;
    byId("latest").hidden = atEnd;
  };
  scroller.addEventListener("scroll", measure, { passive: true });
  new ResizeObserver(() => atEnd && showLatest()).observe(scroller);
  byId("latest").onclick = () => {
    showLatest();
    scroller.focus();
  };
}

export function showLatest() {
  atEnd = true;
  scroller.scrollTop = scroller.scrollHeight;
}

export function renderMessages({ rooms, connection }) {
  const room = rooms.active;
  if (room !== shown) list.replaceChildren();
  if (room !== shown) atEnd = true;
  shown = room;
  scroller.setAttribute("aria-label", `Messages in ${room.name}`);
  renderEdge(room, connection.state.name);
  let previous;
  sync(list, [...room.log, ...room.pending.values()], create, (node, entry) => {
    if (entry.kind === "message") update(node, entry, previous);
    previous = entry;
  });
  if (atEnd) showLatest();
}

// What stands above the first message.
function renderEdge(room, state) {
  const first = room.log.find(({ seq }) => seq)?.seq;
  const isEmpty = first === undefined && room.pending.size === 0;
  const edge = byId("edge");
  edge.classList.toggle("error", Boolean(room.error));
  byId("hints").hidden = !isEmpty || room.state !== "joined";
  if (room.error) setText(edge, room.error.message);
  else if (first > 1) setText(edge, `Messages before #${first} are in the log.`);
  else if (!isEmpty || room.state === "joined") setText(edge, `This is the beginning of ${room.name}.`);
  else setText(edge, state === "connecting" || state === "connected" ? "Joining…" : "This room is joined once you are connected.");
}

function create(entry) {
  // Shown again, with its room, it is not new.
  const isNew = !entry.seen && (entry.kind === "notice" || entry.how === "live");
  entry.seen = true;
  if (entry.kind !== "message") return make("li", { className: `divider ${entry.kind}`, "data-new": isNew }, make("span", {}, entry.text));
  const sender = entry.from?.user ?? "a back end";
  const date = new Date(entry.ts);
  const time = make("time", { dateTime: date.toISOString(), title: date.toLocaleString() }, timeOf(date));
  const heading = make("p", { className: "sender" }, make("strong", {}, bdi(entry.from?.name ?? sender)), " ", time);
  const meta = make("p", { className: "meta" }, make("span", { className: "state" }), make("span", { className: "seq" }));
  const node = make("li", { className: "message", "data-how": entry.how, "data-new": isNew });
  node.append(avatar(sender), make("div", {}, heading, bodyOf(entry)), meta);
  return node;
}

function timeOf(date) {
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(undefined, { hour: "2-digit", minute: "2-digit", ...(!today && { day: "numeric", month: "short" }) });
}

// Text as it is; other data, and events of other names, as JSON.
function bodyOf({ event, data }) {
  const text = typeof data === "string" ? data : data?.text;
  const body = make("p", { className: "body", dir: "auto" });
  if (event !== "message") body.append(make("span", { className: "event" }, event), " ");
  if (event === "message" && typeof text === "string") fill(body, text);
  else fill(body.appendChild(make("code", { dir: "ltr" })), JSON.stringify(data));
  return body;
}

function fill(node, text) {
  if (text.length <= LONG) return node.append(text);
  const more = make("button", { type: "button" }, `Show all ${text.length.toLocaleString()} characters`);
  more.onclick = () => node.replaceChildren(text);
  node.append(`${text.slice(0, LONG)}… `, more);
}

function update(node, entry, previous) {
  const { state, seq, ms, error, from } = entry;
  const continued = previous?.kind === "message" && previous.from?.user === from?.user && entry.ts - previous.ts < 300_000;
  const stamp = `${state} ${seq} ${ms} ${continued}`;
  if (node.stamp === stamp) return;
  node.stamp = stamp;
  Object.assign(node.dataset, { state, continued });
  const stored = ms ? [make("span", { className: "long" }, "stored in "), `${ms} ms`] : [];
  node.querySelector(".state").replaceChildren(...{ pending: ["sending…"], stored, failed: ["not sent"] }[state]);
  setText(node.querySelector(".seq"), seq ? `#${seq}` : "");
  node.querySelector(".failure")?.remove();
  if (state === "failed") node.querySelector("div").append(failureOf(entry, error));
}

function failureOf(entry, error) {
  const again = make("button", { type: "button" }, "Send again");
  again.onclick = () => retry(entry);
  return make("p", { className: "failure" }, `${error.message} `, again);
}
