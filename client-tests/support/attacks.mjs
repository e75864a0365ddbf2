// Attacks on a server, each bounded in what it sends, from one address. Each takes a `Foe` and resolves when it is over; what the
// server answers is not looked at here: others measure what it does to them.

import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import WebSocket from "ws";
import { sign } from "./tokens.mjs";

// Somebody who attacks from `address`, as the user `mallory` where a token is needed.
export class Foe {
  #open = new Set();

  constructor({ port, address, random, hold }) {
    Object.assign(this, { port, address, random, hold });
    this.token = sign({ sub: "mallory" });
  }

  // A TCP connection; what comes over it is thrown away.
  socket() {
    const socket = connect({ host: "127.0.0.1", port: this.port, localAddress: this.address });
    socket.on("error", () => {});
    this.#keep(socket, () => socket.destroy());
    return socket.resume();
  }

  // An HTTP/2 connection; with a `window` of 0 it takes nothing of any answer.
  http2(window) {
    const session = connectHttp2(`http://127.0.0.1:${this.port}`, {
      settings: window === undefined ? {} : { initialWindowSize: window },
      createConnection: () => this.socket(),
    });
    session.on("error", () => {});
    this.#keep(session, () => session.destroy());
    return session;
  }

  // One request over HTTP/2 whose answer is left unread.
  ask(session, headers, body) {
    if (session.destroyed) return undefined;
    const stream = session.request({ ":method": "GET", ...headers }, { endStream: body === undefined });
    stream.on("error", () => {});
    if (body !== undefined) stream.write(body);
    return stream;
  }

  // A WebSocket, once it is open; undefined if it is refused.
  async websocket(path, options = {}) {
    const socket = new WebSocket(`ws://127.0.0.1:${this.port}${path}`, { localAddress: this.address, ...options });
    socket.on("error", () => {});
    this.#keep(socket, () => socket.terminate());
    await Promise.race([new Promise((resolve) => ["open", "error", "close"].forEach((how) => socket.once(how, resolve))), pause(2_000)]);
    return socket.readyState === WebSocket.OPEN ? socket : undefined;
  }

  // A Socket.IO connection over WebSocket that answers nothing.
  async socketio(token = this.token) {
    const socket = await this.websocket("/socket.io/?EIO=4&transport=websocket");
    socket?.send(`40${JSON.stringify({ token })}`);
    return socket;
  }

  // The id of a new polling session; undefined if it is refused.
  async session(version = 4) {
    const body = await this.answer(`GET /socket.io/?EIO=${version}&transport=polling HTTP/1.1\r\n${this.host}\r\n`);
    return body.match(/"sid":"([^"]+)"/)?.[1];
  }

  // The first bytes that answer a request of HTTP/1.1.
  async answer(text) {
    const socket = this.socket();
    const first = new Promise((resolve) => {
      socket.on("data", (bytes) => resolve(bytes.toString("latin1")));
      socket.on("close", () => resolve(""));
    });
    socket.write(text);
    const answer = await Promise.race([first, pause(2_000, "")]);
    socket.destroy();
    return answer;
  }

  get host() {
    return `Host: 127.0.0.1:${this.port}\r\n`;
  }

  get bearer() {
    return `Authorization: Bearer ${this.token}\r\n`;
  }

  // Gives up whatever is open.
  release() {
    for (const close of [...this.#open]) close();
    this.#open.clear();
  }

  #keep(emitter, close) {
    this.#open.add(close);
    emitter.on("close", () => this.#open.delete(close));
  }
}

const times = (n, make) => Promise.all(Array.from({ length: n }, (_, i) => make(i)));
const name = (random) => Array.from({ length: 100 }, () => String.fromCharCode(97 + Math.floor(random() * 26))).join("");
const MIB = 1024 * 1024;

// A POST that says how long its body is and holds its last byte back.
const withheld = (foe, head, size = MIB - 200) => {
  const socket = foe.socket();
  socket.write(`${head}${foe.host}Content-Length: ${size + 1}\r\n\r\n`);
  socket.write("x".repeat(size));
};

export const ATTACKS = {
  // Payloads of the smallest packets there are.
  async "tiny packets"(foe) {
    for (const [version, body] of [
      [3, "1:2".repeat(340_000)],
      [4, "2\x1e".repeat(500_000)],
    ]) {
      const sid = await foe.session(version);
      if (!sid) continue;
      const path = `/socket.io/?EIO=${version}&transport=polling&sid=${sid}`;
      await foe.answer(`POST ${path} HTTP/1.1\r\n${foe.host}Content-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    }
  },

  async "bodies without their last byte"(foe) {
    const sid = await foe.session();
    await times(60, () => withheld(foe, `POST /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nContent-Type: text/plain\r\n`));
    await times(60, () => withheld(foe, `POST /v1/rooms/x/messages HTTP/1.1\r\n${foe.bearer}Content-Type: application/json\r\n`));
    await pause(foe.hold);
  },

  async "bodies without their end over HTTP/2"(foe) {
    const sid = await foe.session();
    const session = foe.http2();
    const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
    for (let i = 0; i < 60; i += 1) foe.ask(session, { ":method": "POST", ":path": path, "content-type": "text/plain" }, "x".repeat(MIB / 2));
    await pause(foe.hold);
  },

  async "answers that nobody takes"(foe) {
    await times(3, async () => {
      const session = foe.http2(0);
      for (let i = 0; i < 100; i += 1) foe.ask(session, { ":path": "/v1/docs/swagger-ui-bundle.js" });
      for (let i = 0; i < 50; i += 1) foe.ask(session, { ":path": "/v1/rooms/r0/messages?limit=1000", authorization: `Bearer ${foe.token}` });
    });
    await pause(foe.hold);
  },

  async "requests without a token"(foe) {
    const socket = foe.socket();
    const request = `GET /events/x HTTP/1.1\r\n${foe.host}\r\n`;
    for (let i = 0; i < 100 && !socket.destroyed; i += 1) {
      socket.write(request.repeat(40));
      await pause(10);
    }
  },

  async "handshakes that go no further"(foe) {
    for (let i = 0; i < 20; i += 1) await times(20, () => foe.session());
  },

  async "half of a head"(foe) {
    await times(600, () => foe.socket().write(`GET /healthz HTTP/1.1\r\n${foe.host}X-Half: `));
    await pause(foe.hold);
  },

  async "polls that wait"(foe) {
    for (let i = 0; i < 4; i += 1) {
      const session = foe.http2();
      for (let n = 0; n < 200; n += 1) foe.ask(session, { ":path": "/poll/quiet?wait=60", authorization: `Bearer ${foe.token}` });
      await pause(100);
    }
    await pause(foe.hold);
  },

  async "rooms that nobody has written to"(foe) {
    await times(20, async () => {
      const rooms = Array.from({ length: 100 }, () => `room=${name(foe.random)}`).join("&").slice(0, 7_000);
      await foe.answer(`GET /events?history=1&${rooms} HTTP/1.1\r\n${foe.host}${foe.bearer}\r\n`);
    });
  },

  async "lists of rooms"(foe) {
    const token = sign({ sub: "nobody", rooms: [{ match: "zz*", can: ["join"] }] });
    for (let i = 0; i < 20; i += 1) await times(20, () => foe.answer(`GET /v1/rooms?limit=1 HTTP/1.1\r\n${foe.host}Authorization: Bearer ${token}\r\n\r\n`));
  },

  async "a status that changes all the time"(foe) {
    const socket = await foe.socketio();
    for (let i = 0; i < 10; i += 1) socket?.send(`42["join","r${i}"]`);
    for (let i = 0; i < 1_000; i += 1) socket?.send(`42["status",{"status":"s${i}"}]`);
    await pause(foe.hold);
  },

  async "signals with great replies"(foe) {
    const reply = JSON.stringify("x".repeat(MIB - 100));
    const sockets = await times(5, () => foe.socketio());
    for (const socket of sockets) {
      socket?.on("message", (text) => {
        const id = text.toString().match(/^42(\d+)\["signal"/)?.[1];
        if (id) socket.send(`43${id}[${reply}]`);
      });
    }
    for (let i = 0; i < 10; i += 1) sockets[0]?.send(`42${i}["signal",{"to":{"user":"mallory"},"event":"x","data":1}]`);
    await pause(foe.hold);
  },

  async "one attachment, named many times"(foe) {
    const socket = await foe.socketio();
    socket?.send('42["join","r0"]');
    socket?.send(`451-["draw",[${Array(1_000).fill('{"_placeholder":true,"num":0}').join()}]]`);
    socket?.send(Buffer.alloc(MIB / 2));
    await pause(foe.hold);
  },

  async "keys that are guessed"(foe) {
    for (let i = 0; i < 20; i += 1) {
      await times(20, () => foe.answer(`GET /v1/rooms HTTP/1.1\r\n${foe.host}Authorization: Bearer ${name(foe.random)}\r\n\r\n`));
    }
  },

  async "tokens that are forged"(foe) {
    const token = sign({ sub: "alice" }, "another secret of thirty-two bytes");
    await times(50, () => foe.socketio(token));
    await times(50, () => foe.answer(`GET /poll/r0 HTTP/1.1\r\n${foe.host}Authorization: Bearer ${token}\r\n\r\n`));
  },

  async "pings without end"(foe) {
    const socket = await foe.websocket(`/ws?token=${foe.token}`);
    for (let i = 0; i < 20_000 && socket?.readyState === WebSocket.OPEN; i += 1) {
      socket.ping("x".repeat(120));
      if (i % 1_000 === 0) await pause(10);
    }
  },

  async "garbage"(foe) {
    const bytes = () => Buffer.from(Array.from({ length: 2_000 }, () => Math.floor(foe.random() * 256)));
    await times(20, async () => (await foe.socketio())?.send(bytes()));
    await times(20, async () => (await foe.websocket(`/ws?token=${foe.token}`))?.send(bytes().toString("latin1")));
    await times(20, () => foe.answer(bytes()));
    await times(5, async () => (await foe.socketio())?.send(`42["message",${"[".repeat(100_000)}]`));
    await foe.answer("GET / HTTP/1.1\r\n\r\n");
    await foe.answer(`GET / HTTP/1.1\r\n${foe.host}${foe.host}\r\n`);
  },

  async "readers that stop reading"(foe) {
    await times(20, async (i) => {
      const socket = await foe.socketio();
      for (let room = 0; room < 10; room += 1) socket?.send(`42["join",{"room":"r${room}","history":1000}]`);
      socket?.pause();
    });
    await pause(foe.hold);
  },

  async "connections that come and go"(foe) {
    for (let i = 0; i < 10; i += 1) {
      const sockets = await times(10, () => foe.socketio());
      for (const socket of sockets) socket?.send('42["join","r1"]');
      await pause(20);
      for (const socket of sockets) socket?.terminate();
    }
  },

  async "more messages than are allowed"(foe) {
    const socket = await foe.socketio();
    socket?.send('42["join","own"]');
    for (let i = 0; i < 2_000; i += 1) socket?.send(`42["message",{"room":"own","data":${i}}]`);
    await pause(foe.hold);
  },
};
