// A box between client and server that lets HTTP pass and has its own mind about WebSockets, as some proxies and virus
// scanners do. It also counts the requests that pass.

import { connect, createServer } from "node:net";
import { defer, Journal } from "./scope.mjs";

// The points of an upgrade, and who is to send what there.
export const POINTS = {
  "before the 101": ["server", "101"],
  "behind the 101": ["server", "101", "behind"],
  "at 2probe": ["client", "2probe"],
  "at 3probe": ["server", "3probe"],
  "before 5": ["client", "5"],
  "behind 5": ["client", "5", "behind"],
};

// A box in front of `server`. At `point` of a WebSocket's upgrade it does `what`: "cut" ends the connection, "swallow" passes
// nothing more, "swallow server" and "swallow client" nothing more of what that side sends, "slow" holds each frame for
// `delay` ms from then on. `times` WebSockets are treated so, later ones pass. With `held` WebSockets begin after `release()`.
export async function middlebox(t, server, { point, what, delay = 0, times = Infinity, held = false }) {
  const made = new Middlebox(server, { point, what, delay, times });
  if (held) made.released = new Promise((resolve) => (made.release = resolve));
  defer(t, () => made.close());
  await made.listen();
  return made;
}

class Middlebox {
  #listener;
  #sockets = new Set();
  #left;
  // One entry for each WebSocket at which the point was reached.
  reached = new Journal("WebSockets that were meddled with");
  polls = 0;
  upgrades = 0;
  handshakes = 0;
  released = Promise.resolve();
  release = () => {};

  constructor(server, { point, what, delay, times }) {
    this.server = server;
    this.plan = { from: POINTS[point][0], text: POINTS[point][1], behind: POINTS[point][2] === "behind", what, delay };
    this.#left = times;
    this.#listener = createServer((client) => this.#accept(client));
  }

  get port() {
    return this.#listener.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  listen() {
    return new Promise((resolve) => this.#listener.listen(0, "127.0.0.1", resolve));
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#listener.close(resolve));
  }

  #accept(client) {
    const server = connect(this.server.port, "127.0.0.1");
    const link = { client, server, websocket: false, meddled: false, mute: new Set(), hold: 0 };
    for (const end of [client, server]) {
      this.#sockets.add(end);
      end.setNoDelay(true);
      end.on("error", () => {});
    }
    // Whoever is swallowed hears of no end either.
    client.on("close", () => (this.#sockets.delete(client), link.mute.has("client") || server.destroy()));
    server.on("close", () => (this.#sockets.delete(server), link.mute.has("server") || client.destroy()));
    client.on("data", (bytes) => this.#pass(link, "client", bytes));
    server.on("data", (bytes) => this.#pass(link, "server", bytes));
  }

  #pass(link, from, bytes) {
    const text = bytes.toString("latin1");
    if (from === "client" && text.startsWith("GET ")) {
      this.#count(link, text);
      if (/^Upgrade: websocket/im.test(text)) return this.released.then(() => this.#forward(link, from, bytes));
      return this.#forward(link, from, bytes);
    }
    if (!link.websocket || link.meddled || this.plan.from !== from || !this.#says(from, bytes, text)) {
      return this.#forward(link, from, bytes);
    }
    link.meddled = true;
    this.#left -= 1;
    if (this.plan.behind) this.#forward(link, from, bytes);
    this.#meddle(link);
    if (!this.plan.behind) this.#forward(link, from, bytes);
    this.reached.add(from);
  }

  #count(link, text) {
    if (/^Upgrade: websocket/im.test(text)) {
      this.upgrades += 1;
      link.websocket = this.#left > 0;
    } else if (text.includes("sid=")) this.polls += 1;
    else this.handshakes += 1;
  }

  #says(from, bytes, text) {
    if (from === "client") return unmasked(bytes) === this.plan.text;
    return text.includes(this.plan.text === "101" ? " 101 " : this.plan.text);
  }

  #meddle(link) {
    const { what, delay } = this.plan;
    if (what === "slow") link.hold = delay;
    else if (what === "swallow") link.mute = new Set(["client", "server"]);
    else if (what.startsWith("swallow ")) link.mute.add(what.split(" ")[1]);
    else {
      link.cut = true;
      // What was passed before still gets there.
      link.client.end();
      link.server.end();
    }
  }

  #forward(link, from, bytes) {
    if (link.mute.has(from) || (link.cut && link.meddled)) return;
    const to = from === "client" ? link.server : link.client;
    if (link.hold > 0) setTimeout(() => to.writable && to.write(bytes), link.hold);
    else if (to.writable) to.write(bytes);
  }
}

// The payload of a short masked frame.
function unmasked(bytes) {
  if (bytes.length < 6) return "";
  const mask = bytes.subarray(2, 6);
  const length = bytes[1] & 0x7f;
  return Buffer.from(bytes.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4])).toString("latin1");
}
