// One room: its numbers, what it says, who is in it, and a form that sends to it.

import { make } from "../shared/dom.js";
import { call, path } from "./api.js";
import { figures } from "./figures.js";
import { count, perSecond } from "./format.js";
import { Loader } from "./loader.js";
import { openMembers } from "./members.js";
import { sendForm } from "./send_form.js";
import { openTail } from "./tail.js";

export function openRoom({ parts: [, room], signal, onSessionEnd }) {
  const numbers = figures("Numbers");
  const strip = make("div", { className: "strip", tabIndex: -1 }, numbers.element);
  const show = (state) => numbers.show(state ? figuresOf(state) : []);
  const loader = new Loader({ load: (running) => load(room, running), show, content: strip, signal });
  strip.append(loader.element);
  const send = async (body) => {
    const sent = await call("POST", path`v1/rooms/${room}/messages`, { body });
    loader.refresh();
    return sent.seq ? `Stored as #${count(sent.seq)}.` : "Sent, not stored.";
  };
  const tail = openTail({ room, signal, onSessionEnd });
  const form = sendForm({ label: "A message", hasEvent: true, send });
  return {
    title: room,
    isName: true,
    parent: ["#/rooms", "Rooms"],
    element: make("div", { className: "split" }, make("div", { className: "column" }, strip, tail, form), openMembers({ room, signal, changed: () => loader.refresh() })),
  };
}

// The rate is known of rooms with members, of which this is the first by name.
async function load(room, signal) {
  const query = { prefix: room, limit: 1, rates: true };
  const calls = [call("GET", path`v1/rooms/${room}`, { signal }), call("GET", "v1/rooms", { query, signal })];
  const [state, { rooms }] = await Promise.all(calls);
  return { ...state, ...rooms.find((found) => found.room === room) };
}

function figuresOf({ users, connections, seq, epoch, events_per_second: rate }) {
  return [
    ["Users", count(users)],
    ["Connections", count(connections)],
    ...(rate === undefined ? [] : [["Events", perSecond(rate)]]),
    ["Last message", seq > 0 ? `#${count(seq)}` : "none"],
    ["Epoch", epoch],
  ];
}
