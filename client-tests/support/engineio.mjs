// Engine.IO without a client: its sessions packet by packet, by polling and by WebSocket, in protocol 3 and 4.

import assert from "node:assert/strict";
import WebSocket from "ws";
import { defer, Journal, within } from "./scope.mjs";
import { withQuery } from "./web.mjs";

// Where a session of the protocol is opened or found; a parameter that is undefined is left out.
export const address = (protocol, transport, query = {}) => withQuery("/socket.io/", { EIO: protocol, transport, ...query });

// One request, and its answer as text.
export async function ask(server, path, { method = "GET", body } = {}) {
  const asking = fetch(server.url + path, { method, body }).then(async (answer) => {
    const bytes = Buffer.from(await answer.arrayBuffer());
    return { status: answer.status, bytes, text: bytes.toString() };
  });
  return within(asking, () => `no answer to ${method} ${path}`);
}

// The packets of a payload as text, and the other way round. In protocol 3 each has its length before it.
export function unpack(protocol, payload) {
  if (protocol === 4) return payload.split("\x1e");
  const packets = [];
  for (let rest = payload; rest !== ""; ) {
    const [, length] = rest.match(/^(\d+):/) ?? assert.fail(`no payload of Engine.IO 3: ${payload}`);
    const start = length.length + 1;
    packets.push(rest.slice(start, start + Number(length)));
    rest = rest.slice(start + Number(length));
  }
  return packets;
}

export const pack = (protocol, ...packets) =>
  protocol === 4 ? packets.join("\x1e") : packets.map((packet) => `${packet.length}:${packet}`).join("");

// A session by polling.
export class Polling {
  // The packets that polls have brought, and the bytes of the last poll.
  packets = [];
  bytes;

  static async open(server, protocol, query = {}) {
    const session = new Polling();
    const { status, text } = await ask(server, address(protocol, "polling", query));
    assert.equal(status, 200, text);
    // A session that may be given binary is given even its first packet in bytes.
    session.opening = text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1);
    session.sid = JSON.parse(session.opening).sid;
    return Object.assign(session, { server, protocol, path: address(protocol, "polling", { ...query, sid: session.sid }) });
  }

  poll() {
    return ask(this.server, this.path);
  }

  // Sends packets in one request.
  post(...packets) {
    return this.raw(pack(this.protocol, ...packets));
  }

  raw(body) {
    return ask(this.server, this.path, { method: "POST", body });
  }

  // Polls until `condition(packets)`.
  async until(condition) {
    while (!condition(this.packets)) {
      const { status, text, bytes } = await this.poll();
      assert.equal(status, 200, text);
      this.bytes = bytes;
      this.packets.push(...unpack(this.protocol, text));
    }
    return this.packets.splice(0);
  }

  // Polls until the session is gone.
  async ended() {
    for (;;) {
      const { status, text } = await this.poll();
      if (status !== 200) return status;
      assert.match(text, /^(\d+:)?[126]$/, "the session goes on");
    }
  }
}

// A WebSocket on which every frame is seen.
export class Frames {
  #seen = 0;
  #frames = new Journal("frames");

  constructor(t, server, path) {
    this.socket = new WebSocket(server.url.replace("http", "ws") + path);
    this.opened = new Promise((resolve) => this.socket.on("open", resolve));
    this.closed = new Promise((resolve) => {
      this.socket.on("error", () => {});
      this.socket.on("close", (code) => resolve({ code }));
      this.socket.on("unexpected-response", (_, answer) => resolve({ status: answer.statusCode }));
    });
    this.socket.on("message", (data, binary) => this.#frames.add(binary ? data : data.toString()));
    defer(t, () => this.socket.terminate());
  }

  // Sends frames: text, or binary.
  send(...frames) {
    for (const frame of frames) this.socket.send(frame);
  }

  // The next frame, each once.
  async next() {
    const at = this.#seen;
    this.#seen += 1;
    await this.#frames.until((frames) => frames.length > at, "another frame");
    return this.#frames.items[at];
  }

  // Resolves to `{ code }` once the other side has closed it, or to the `{ status }` that refused it.
  ended() {
    return within(this.closed, () => "the WebSocket was not closed");
  }
}

// A session by WebSocket, and what its open packet says.
export async function openFrames(t, server, protocol) {
  const frames = new Frames(t, server, address(protocol, "websocket"));
  const open = await frames.next();
  assert.equal(open[0], "0");
  return Object.assign(frames, { handshake: JSON.parse(open.slice(1)) });
}
