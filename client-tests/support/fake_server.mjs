// A server that answers a client as a test tells it to: what no real one does, or not at a certain moment. It speaks plain WebSocket
// or Socket.IO over WebSocket, whichever the client's link is.

import { WebSocketServer } from "ws";
import { defer } from "./scope.mjs";

// The fields of the ack of a join: a log whose last message is number `seq`.
export const log = (seq, messages = []) => ({ epoch: "e", seq, messages, recovered: true, unread: 0, members: { count: 0, users: [] } });

export const message = (room, seq) => ({ room, id: `i${seq}`, seq, event: "message", from: null, data: seq, ts: 1000 });

const DEFAULTS = {
  join: (request) => request.ack(log(0)),
};

// A server for the test `t`. `answers` are functions of `(request, peer)` by the request's event; what has none is acked.
// `accepted(peer)` is called once a client has its session.
export async function fake(t, link, answers = {}, accepted = () => {}) {
  const made = new FakeServer(link, { ...DEFAULTS, ...answers }, accepted);
  defer(t, async () => made.close());
  await made.listen();
  return made;
}

class FakeServer {
  requests = [];
  // When each client was accepted.
  accepted = [];
  #server = new WebSocketServer({ host: "127.0.0.1", port: 0 });

  constructor(link, answers, accepted) {
    const Peer = link === "plain" ? PlainPeer : SocketPeer;
    this.#server.on("connection", (socket) => {
      const peer = new Peer(socket, {
        accept: () => {
          this.accepted.push(Date.now());
          const session = { user: "alice", connection: `c${this.accepted.length}`, rooms: [], expires_at: null, ts: Date.now() };
          peer.greet(session);
          accepted(peer);
        },
        asked: (request) => {
          this.requests.push(request);
          (answers[request.event] ?? (() => request.ack({})))(request, peer);
        },
      });
    });
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  // How many requests of that name came.
  count(event) {
    return this.requests.filter((request) => request.event === event).length;
  }

  listen() {
    return new Promise((resolve) => this.#server.on("listening", resolve));
  }

  close() {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
  }
}

class PlainPeer {
  constructor(socket, { accept, asked }) {
    this.socket = socket;
    socket.on("message", (text) => asked(this.#request(JSON.parse(text))));
    queueMicrotask(accept);
  }

  greet(session) {
    this.#say({ type: "system", data: { event: "connected", ...session } });
  }

  message({ room, id, seq, from, data, ts }) {
    this.#say({ type: "text", room, id, seq, from, data, timestamp: ts / 1000 });
  }

  emit(event, payload) {
    this.#say({ type: event, data: payload });
  }

  // As a back end does it.
  dismiss() {
    this.socket.close(4003, "disconnected by the back end");
  }

  #request({ type, id, data }) {
    return {
      event: type === "event" ? "publish" : type,
      payload: data,
      ack: (fields) => this.#say({ type: "ack", id, data: fields }),
      refuse: (code) => this.#say({ type: "error", id, data: { code, message: "as the test says" } }),
    };
  }

  #say(frame) {
    this.socket.send(JSON.stringify(frame));
  }
}

// Packets of Engine.IO 4 and Socket.IO 5.
class SocketPeer {
  constructor(socket, { accept, asked }) {
    this.socket = socket;
    socket.on("message", (bytes) => {
      const text = bytes.toString();
      if (text.startsWith("40")) {
        socket.send('40{"sid":"s"}');
        accept();
      }
      const found = text.match(/^42(\d+)(.*)$/s);
      if (found) asked(this.#request(found[1], JSON.parse(found[2])));
    });
    socket.send('0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}');
  }

  greet(session) {
    this.emit("session", session);
  }

  message(message) {
    this.emit("message", message);
  }

  emit(event, ...args) {
    this.socket.send(`42${JSON.stringify([event, ...args])}`);
  }

  dismiss() {
    this.socket.send("41");
    this.socket.close();
  }

  #request(id, [event, payload]) {
    const reply = (...values) => this.socket.send(`43${id}${JSON.stringify(values)}`);
    return {
      event,
      payload,
      ack: (fields) => (fields ? reply({ ok: true, ...fields }) : reply()),
      refuse: (code) => reply({ ok: false, error: { code, message: "as the test says" } }),
    };
  }
}
