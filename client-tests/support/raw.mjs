// Connections without a Socket.IO client, to see and to send the very bytes: Engine.IO over `ws`, and plain HTTP.

import { request } from "node:http";
import WebSocket from "ws";
import { defer, Journal, within } from "./scope.mjs";

// An Engine.IO connection over WebSocket; `frames` holds the text frames received.
export class Raw {
  frames = new Journal("frames");
  closed;

  // `note` makes of a frame what is kept of it.
  constructor(t, server, { path = "/socket.io/?EIO=4&transport=websocket", headers, note = (frame) => frame } = {}) {
    this.socket = new WebSocket(server.url.replace("http", "ws") + path, { headers });
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code) => resolve({ code }));
      this.socket.on("error", () => {});
      this.socket.on("unexpected-response", (_, response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text) => (body += text));
        response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
      });
    });
    this.socket.on("message", (data, binary) => {
      const text = binary ? data : data.toString();
      if (text === "2") this.socket.send("3");
      else this.frames.add(note(text));
    });
    defer(t, () => this.socket.terminate());
  }

  send(frame) {
    this.socket.send(frame);
  }

  // The first frame that begins with `start`.
  frame(start) {
    return this.frames.until((frames) => frames.find((frame) => frame.startsWith?.(start)), `a frame ${start}…`);
  }

  // The arguments of every `event` received so far.
  events(event) {
    const start = `42["${event}",`;
    const frames = this.frames.items.filter((frame) => frame.startsWith?.(start));
    return frames.map((frame) => JSON.parse(frame.slice(2)).slice(1));
  }

  // Resolves once the other side has ended the connection.
  ended() {
    return within(this.closed, () => "the connection was not closed");
  }
}

// A raw connection that has completed Socket.IO's CONNECT, with the `pid` and the `session` it was given. In a
// namespace other than `/`, `prefix` is its name and a comma.
export async function rawClient(t, server, auth = {}, { prefix = "", ...options } = {}) {
  const raw = new Raw(t, server, options);
  await raw.frame("0{");
  raw.send(`40${prefix}${JSON.stringify(auth)}`);
  raw.pid = JSON.parse((await raw.frame(`40${prefix}{`)).slice(2 + prefix.length)).pid;
  const start = `42${prefix}`;
  raw.session = JSON.parse((await raw.frame(`${start}["session"`)).slice(start.length))[1];
  return raw;
}

// One HTTP request; resolves to `{ status, headers, body }`.
export function http(server, path, { method = "GET", headers = {}, body } = {}) {
  const answered = new Promise((resolve, reject) => {
    const sent = request(server.url + path, { method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (more) => (text += more));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
  return within(answered, () => `no answer to ${method} ${path}`);
}

// The connections that the server has closed for `reason`, by its metrics.
export async function closings(server, reason) {
  const { body } = await http(server, "/metrics");
  return Number(body.match(new RegExp(`connections_closed_total\\{reason="${reason}"\\} (\\d+)`))?.[1] ?? 0);
}

// A polling session; resolves to its id.
export async function pollingSession(server, version = 4) {
  const { status, body } = await http(server, `/socket.io/?EIO=${version}&transport=polling`);
  if (status !== 200) throw new Error(`the handshake was answered ${status}: ${body}`);
  return JSON.parse(body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1)).sid;
}
