// Back ends that hooks call: a server whose replies the test decides, and programs in other languages.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { freePorts } from "./ports.mjs";
import { defer, eventually, Journal } from "./scope.mjs";
import { serve, UNLIMITED } from "./server.mjs";

// A response that is no plain 200 with JSON.
export class Response {
  constructor(status, body = "", headers = {}) {
    Object.assign(this, { status, body, headers });
  }
}

// No response at all.
export const SILENCE = Symbol("silence");
// The connection is cut instead of a response.
export const CUT = Symbol("cut");

// A back end that replies what `answer(call, request)` returns or resolves to: a Response, a text, SILENCE, CUT, or anything else as JSON.
export async function backend(t, answer = () => ({}), port = 0) {
  const calls = new Journal("calls");
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const part of request.setEncoding("utf8")) text += part;
    const call = text === "" ? {} : JSON.parse(text);
    calls.add(Object.assign(call, { request: { method: request.method, url: request.url, headers: request.headers, text } }));
    const reply = await answer(call, request);
    if (reply === SILENCE) return;
    if (reply === CUT) return void request.socket.destroy();
    const { status, body, headers } = reply instanceof Response ? reply : new Response(200, typeof reply === "string" ? reply : JSON.stringify(reply));
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(body);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  defer(t, close);
  const at = server.address().port;
  return { calls, close, port: at, url: `http://127.0.0.1:${at}/hook`, server };
}

// A server whose hooks are `tables`, which have what they do not say of the first `url`.
export const withHooks = (t, url, tables, options = {}) =>
  serve(t, { ...UNLIMITED, ...options, "hooks-call": JSON.stringify([tables].flat().map((table) => ({ url, ...table }))) });

// A program that serves HTTP on the port `at`, or on a free one: `args(port)` are its arguments. `kill` ends it at once, `start` starts it again.
export async function program(t, command, args, env = {}, at = undefined) {
  const port = at ?? (await freePorts(1))[0];
  const running = { port, url: `http://127.0.0.1:${port}/hook` };
  let child;
  const accepts = () =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.on("close", () => socket.destroy());
      socket.on("connect", () => socket.end());
    });
  running.start = async () => {
    child = spawn(command, args(String(port)), { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...env } });
    let log = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (log = (log + text).slice(-5000)));
    child.on("error", (error) => (log += error.message));
    await eventually(accepts, `${command} does not listen: ${log}`).catch((error) => {
      throw new Error(`${error.message}\n${log}`);
    });
  };
  running.kill = async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  defer(t, async () => {
    if (child && child.exitCode === null && child.signalCode === null) await running.kill();
  });
  await running.start();
  return running;
}
