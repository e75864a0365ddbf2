// The shop's back end, with Node.js alone: it answers events of the page, and hears what happened. Switchboard has the connections.

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { post, serve } from "./switchboard.mjs";

const { ORDERS_FILE = "orders.json", DESK_PIN = "1234" } = process.env;

// In place of a database. What an event does, and that it was heard, is stored in one go: a crash comes before both or after both.
const shop = existsSync(ORDERS_FILE) ? JSON.parse(readFileSync(ORDERS_FILE, "utf8")) : { orders: [], heard: [] };

function save() {
  writeFileSync(`${ORDERS_FILE}.new`, JSON.stringify(shop));
  renameSync(`${ORDERS_FILE}.new`, ORDERS_FILE);
}

const STATES = { placed: "", packed: "It waits for the courier.", shipped: "It should be with you tomorrow." };
const DESK = "desk"; // the user, and the room that it is in
const room = ({ number }) => `order-${number}`;
const deny = (message) => ({ deny: { code: "bad_request", message } });
const ordersOf = (user) => shop.orders.filter((order) => user === DESK || order.user === user).slice(-50);
const changed = (order) => [room(order), DESK].map((to) => ({ emit: ["order.changed", order], to }));

// What is replied to a client. `do` is done before the ack is sent.
const answers = {
  // Without grants a client is in no room but those that a reply puts it into.
  connect: ({ user, auth }) => (user === DESK && auth?.pin !== DESK_PIN ? deny("this is not the desk’s PIN") : { rooms: [] }),

  // First the client is in its rooms, then it asks for its orders: so it misses no change.
  "order.enter": ({ user }) => ({ do: user === DESK ? [{ join: DESK }] : ordersOf(user).map((order) => ({ join: room(order) })) }),
  "order.list": ({ user }) => ({ ack: [{ ok: true, orders: ordersOf(user) }] }),

  // The same `id` is the same order, however often the page has to ask.
  "order.create": ({ user, args: [{ id, item, quantity }] }) => {
    let order = shop.orders.find((order) => order.id === id && order.user === user);
    if (!order) {
      if (!item || !(quantity > 0 && quantity < 100)) return deny("which tea, and how many packets?");
      order = { number: 1001 + shop.orders.length, id, user, item, quantity, state: "placed", notes: [], version: 1 };
      shop.orders.push(order);
      save();
    }
    return { do: [{ join: room(order) }, ...changed(order)], ack: [{ ok: true, order }] };
  },

  // A message in the client's name, which Switchboard stores. It is written down here when it is heard of.
  "order.note": ({ user, args: [{ number, id, text }] }) => {
    const order = ordersOf(user).find((order) => order.number === number);
    return order ? { do: [{ publish: { room: room(order), id, data: { text } } }], ack: [{ ok: true }] } : deny("no such order");
  },

  "order.move": async ({ user, args: [{ number, state }] }) => {
    const order = shop.orders.find((order) => order.number === number);
    const next = Object.keys(STATES)[Object.keys(STATES).indexOf(order?.state) + 1];
    if (user !== DESK || !order || ![order.state, next].includes(state)) return deny("the order cannot be moved there");
    if (order.state !== state) {
      Object.assign(order, { state, version: order.version + 1 });
      save();
    }
    const notice = { title: `Order ${number} is ${state}`, text: `${order.quantity} × ${order.item}. ${STATES[state]}` };
    await post(`/v1/users/${encodeURIComponent(order.user)}/notifications`, { id: `order-${number}-${state}`, data: notice });
    return { do: changed(order), ack: [{ ok: true }] };
  },
};

// What happened, in order, also while this was down.
const hears = {
  message({ room: name, message: { id, from, data } }) {
    const order = shop.orders.find((order) => room(order) === name);
    if (!order) return;
    const note = { id, from: from?.user ?? "the shop", text: String(data?.text) };
    order.notes.push(note);
    order.version += 1;
    console.log(`${name}: ${note.from} writes “${note.text}”`);
    return order;
  },
  "notification.unseen": ({ user, message }) => console.log(`would send an e-mail to ${user}: ${message.data.title}`),
  "user.online": ({ user }) => console.log(`${user} is here`),
  "user.offline": ({ user }) => console.log(`${user} has gone`),
  "hooks.lost": ({ first, last }) => console.log(`events ${first} to ${last} are lost`),
};

// A batch is sent until it is taken, so some of it may have been heard before.
async function hear({ events }) {
  const orders = new Set();
  for (const event of events) {
    if (shop.heard.includes(event.id)) continue;
    const order = hears[event.type]?.(event);
    if (order) orders.add(order);
    shop.heard = [...shop.heard, event.id].slice(-1000);
  }
  save();
  for (const order of orders) {
    for (const to of [room(order), DESK]) await post(`/v1/rooms/${to}/messages`, { event: "order.changed", data: order, ephemeral: true });
  }
  return {};
}

serve({ "/answer": (call) => (answers[call.event ?? call.type] ?? (() => deny("no such event")))(call), "/hear": hear });
