// The rooms of this tab: joins them, and again after each reconnect; takes what the server sends to the room that it is for.

import { isDisconnected } from "./connection.js";
import { PEOPLE, Room } from "./room.js";

const HISTORY = 50;
// Not more often, however many messages come: requests are limited.
const READ_EVERY_MS = 300;
const TYPING_EVERY_MS = 2000;

// crypto.randomUUID is missing in pages without TLS.
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const isWatched = () => document.visibilityState === "visible";

export class Rooms {
  all = new Map();
  active = null;
  me = null; // { user, name? }, once connected
  recovered = null; // messages, with the last reconnect
  #connection;
  #changed;
  #reading;

  constructor(connection, changed) {
    this.#connection = connection;
    this.#changed = changed;
  }

  get unread() {
    return [...this.all.values()].reduce((sum, { unread }) => sum + unread, 0);
  }

  // Shows a room, which is joined first if need be.
  open(name) {
    this.active = this.all.get(name) ?? this.#add(name);
    this.look();
    this.#changed();
  }

  leave(room) {
    this.all.delete(room.name);
    this.#connection.send({ type: "leave", room: room.name });
    if (room === this.active) this.open([...this.all.keys()].at(-1));
    this.#changed();
  }

  #add(name) {
    const room = new Room(name);
    this.all.set(name, room);
    this.join(room);
    return room;
  }

  async connected({ user, name }) {
    const returning = this.me !== null;
    this.me = { user, name };
    const counts = await Promise.all([...this.all.values()].map((room) => this.join(room)));
    if (returning) this.recovered = counts.reduce((sum, count) => sum + count, 0);
    this.#changed();
  }

  disconnected() {
    for (const room of this.all.values()) {
      if (room.state === "joined") room.state = "joining";
      room.typing.clear();
    }
  }

  // Joins, with what was missed since; then sends what could not be sent. Resolves to how many messages were recovered.
  async join(room) {
    let recovered = 0;
    try {
      const since = room.position;
      const ack = await this.#connection.request("join", room.name, since ? { since } : { history: HISTORY });
      recovered = room.joined(ack, this.me.user);
      for (const message of room.pending.values()) if (message.state !== "failed") this.#send(room, message);
    } catch (error) {
      if (!isDisconnected(error)) room.refuse(error);
    }
    this.look();
    this.#changed();
    return recovered;
  }

  say(text) {
    const id = newId();
    const message = { id, event: "message", from: this.me, data: { text }, ts: Date.now() };
    Object.assign(message, { key: id, kind: "message", how: "own", state: "pending" });
    this.active.pending.set(id, message);
    // While it is being joined, the join sends it. A room that may not be joined may still be written to, or says why not.
    if (this.active.state !== "joining") this.#send(this.active, message);
    this.#changed();
  }

  retry(message) {
    message.state = "pending";
    this.#send(this.active, message);
    this.#changed();
  }

  // Sent again with the same id, it is stored once.
  async #send(room, message) {
    const start = performance.now();
    try {
      await this.#connection.request("text", room.name, message.data, message.id);
      Object.assign(message, { state: "stored", ms: Math.max(1, Math.round(performance.now() - start)) });
    } catch (error) {
      if (!isDisconnected(error)) Object.assign(message, { state: "failed", error });
    }
    this.#changed();
  }

  // Tells the others while a person types, and when the person stops.
  type(typing) {
    const room = this.active;
    const now = Date.now();
    if (typing ? now - (room.typedAt ?? 0) < TYPING_EVERY_MS : !room.typedAt) return;
    room.typedAt = typing ? now : 0;
    this.#connection.send({ type: "typing", room: room.name, data: { typing } });
  }

  // The active room is read while the tab is visible.
  look() {
    const room = this.active;
    if (!isWatched() || room?.state !== "joined") return;
    room.unread = 0;
    room.seen = room.seq;
    if (room.read < room.seen) this.#reading ??= setTimeout(() => this.#markRead(room), READ_EVERY_MS);
  }

  async #markRead(room) {
    const seq = room.seen;
    const disconnected = await this.#connection.request("read", room.name, { seq }).then(() => false, isDisconnected);
    this.#reading = undefined;
    if (disconnected) return; // a join follows
    room.read = seq;
    this.look();
  }

  receive(frame) {
    const { type, data, seq, from, id, timestamp } = frame;
    const message = { id, seq, from, ts: timestamp * 1000 };
    const room = this.all.get(frame.room);
    if (type === "text") this.#message(frame.room, { ...message, event: "message", data });
    if (type === "event" && seq) this.#message(frame.room, { ...message, event: data.event, data: data.data });
    if (type === "typing" && room) this.#typing(room, data);
    if (type === "presence" && room && !room.presence(data)) this.#fetchPeople(room);
    if (type === "read" && room) this.#read(room, data);
    if (type === "system" && data.event === "kicked") room?.refuse({ message: `You were removed from this room: ${data.reason}` });
    this.#changed();
  }

  #message(name, message) {
    // The personal room is joined by the server, and shown once something is in it.
    const room = this.all.get(name) ?? this.#add(name);
    if (room.state !== "joined") return; // it comes with the ack of the join
    const watched = room === this.active && isWatched();
    if (!watched && room.unread === 0) room.divideUnread();
    if (room.add(message, "live") && !watched) room.unread += 1;
    this.look();
  }

  #typing(room, { user, name, typing, expires_in_ms: ms }) {
    clearTimeout(room.typing.get(user)?.timer);
    room.typing.delete(user);
    if (!typing) return;
    const expire = () => room.typing.delete(user) && this.#changed();
    room.typing.set(user, { name: name ?? user, timer: setTimeout(expire, ms) });
  }

  async #fetchPeople(room) {
    const found = await this.#connection.request("presence", room.name, { limit: PEOPLE }).catch(() => undefined);
    if (found) room.setPeople(found);
    this.#changed();
  }

  #read(room, { user, seq }) {
    const person = room.people.get(user);
    if (person) person.read = seq;
    // Another tab of this user.
    if (user === this.me.user) room.unread = Math.min(room.unread, Math.max(0, room.seq - seq));
  }
}
