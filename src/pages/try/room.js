// What this tab knows of one room: its messages in order, who is there, who types, how far it was read, and what was recovered.

import { plural } from "../shared/dom.js";

// Entries that are kept, and shown; the server has the others.
const KEPT = 200;
export const PEOPLE = 50;

const range = (from, to) => (from === to ? `#${to}` : `#${from} to #${to}`);

export class Room {
  state = "joining"; // joined, refused
  log = []; // messages, dividers and notices, each with a key
  pending = new Map(); // by id: own messages that are not in the log yet
  people = new Map();
  count = 0;
  typing = new Map();
  epoch = null;
  seq = 0;
  seen = 0; // how far somebody has looked at it
  read = 0; // how far the server was told so
  unread = 0;
  #keys = 0;

  constructor(name) {
    this.key = name;
    this.name = name;
  }

  // Where to continue after a reconnect.
  get position() {
    return this.epoch === null ? undefined : `${this.epoch}:${this.seq}`;
  }

  // Takes the ack of a join; returns how many messages were recovered.
  joined({ epoch, seq, messages, recovered, unread, members }, me) {
    const returning = this.epoch !== null;
    if (returning && !recovered) this.divide("gap", "Some messages are no longer available");
    if (epoch !== this.epoch) this.seq = this.seen = this.read = 0;
    Object.assign(this, { state: "joined", error: undefined, epoch, unread });
    const missed = messages.filter(({ id }) => !this.pending.has(id));
    if (returning) this.#recover(missed);
    else this.firstUnread = messages.find((message) => message.seq > seq - unread && message.from?.user !== me)?.seq;
    for (const message of messages) this.add(message, returning ? "recovered" : "old");
    this.seq = Math.max(this.seq, seq);
    this.setPeople(members);
    return returning ? missed.length : 0;
  }

  #recover(missed) {
    if (missed.length === 0) return;
    const numbers = range(missed[0].seq, missed.at(-1).seq);
    this.divide("recovered", `${plural(missed.length, "message")} while you were away: ${numbers}`);
  }

  // A message of the log. `how`: "live", "old" or "recovered"; one's own is "own".
  add(message, how) {
    if (message.seq <= this.seq) return false;
    this.seq = message.seq;
    if (message.seq === this.firstUnread) this.divide("unread", "Unread");
    const entry = this.pending.get(message.id) ?? { key: message.id, kind: "message", how };
    this.pending.delete(message.id);
    this.#push(Object.assign(entry, message, { state: "stored" }));
    return true;
  }

  // Where unread messages begin; there is one such place.
  divideUnread() {
    this.log = this.log.filter(({ kind }) => kind !== "unread");
    this.divide("unread", "Unread");
  }

  divide(kind, text) {
    this.#push({ kind, text });
  }

  #push(entry) {
    this.log.push(entry.key ? entry : Object.assign(entry, { key: `entry-${(this.#keys += 1)}` }));
    if (this.log.length > KEPT) this.log.shift();
  }

  setPeople({ count, users }) {
    this.count = count;
    this.people = new Map(users.map((user) => [user.user, { ...user, key: user.user }]));
  }

  // A change of who is there; false if the list no longer fits and has to be fetched.
  presence({ event, user, name, status, count }) {
    const known = this.people.get(user);
    if (event === "leave") this.people.delete(user);
    else this.people.set(user, { ...known, key: user, user, name, status });
    this.count = count;
    if (event === "join") this.divide("notice", `A client called ${name ?? user} joined`);
    if (event === "leave") this.divide("notice", `${known?.name ?? user} left`);
    return this.people.size === count || count > PEOPLE;
  }

  refuse(error) {
    Object.assign(this, { state: "refused", error });
    this.setPeople({ count: 0, users: [] });
  }
}
