// Connections without a Socket.IO client, to see and to send the very bytes: Engine.IO over `ws`, and plain HTTP.

import { request } from "node:http";
import WebSocket from "ws";
import { defer, Journal, within } from "./scope.mjs";

// An Engine.IO connection over WebSocket; `frames` holds the text frames received.
export class Raw {
  frames = new Journal("frames");
  closed;

  constructor(t, server, { path = "/socket.io/?EIO=4&transport=websocket", headers } = {}) {
    this.socket = new WebSocket(server.url.replace("http", "ws") + path, { headers });
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code) => resolve({ code }));
      this.socket.on("error", () => {});
      this.socket.on("unexpected-response", (_, response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text) => (body += text));
        response.on("end", () => resolve({ status: response.statusCode, body }));
      });
    });
    this.socket.on("message", (data, binary) => {
      const text = binary ? data : data.toString();
      if (text === "2") this.socket.send("3");
      else this.frames.add(text);
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

  // Resolves once the other side has ended the connection.
  ended() {
    return within(this.closed, () => "the connection was not closed");
  }
}

// A raw connection that has completed Socket.IO's CONNECT.
export async function rawClient(t, server, auth = {}) {
  const raw = new Raw(t, server);
  await raw.frame("0{");
  raw.send(`40${JSON.stringify(auth)}`);
  await raw.frame('42["session"');
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

// A polling session; resolves to its id.
export async function pollingSession(server, version = 4) {
  const { status, body } = await http(server, `/socket.io/?EIO=${version}&transport=polling`);
  if (status !== 200) throw new Error(`the handshake was answered ${status}: ${body}`);
  return JSON.parse(body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1)).sid;
}
