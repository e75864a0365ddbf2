// An OpenTelemetry collector: takes spans over HTTP as Protocol Buffers, and keeps what tests ask about.

import { once } from "node:events";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { defer, Journal } from "./scope.mjs";

// The fields of a message, by their numbers: numbers, or bytes.
function fields(bytes) {
  const found = {};
  const number = () => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  };
  const take = (length) => bytes.subarray(at, (at += length));
  let at = 0;
  while (at < bytes.length) {
    const tag = number();
    const value = { 0: number, 1: () => Number(take(8).readBigUInt64LE()), 2: () => take(number()), 5: () => take(4).readUInt32LE() }[tag % 8]();
    (found[tag >> 3] ??= []).push(value);
  }
  return found;
}

const all = (message, number) => (message[number] ?? []).map(fields);
const text = (message, number) => String(message[number]?.[0] ?? "");
const hex = (message, number) => (message[number]?.[0] ?? Buffer.of()).toString("hex");
const value = ({ 1: string, 2: boolean, 3: integer, 4: double }) => (string ? String(string[0]) : boolean ? boolean[0] === 1 : (integer ?? double)[0]);
const attributes = (message, number) => Object.fromEntries(all(message, number).map((pair) => [text(pair, 1), value(fields(pair[2][0]))]));

const span = (resource) => (message) => ({
  name: text(message, 5),
  kind: ["", "internal", "server", "client", "producer", "consumer"][message[6]?.[0] ?? 0],
  trace: hex(message, 1),
  id: hex(message, 2),
  parent: hex(message, 4),
  state: text(message, 3),
  from: message[7][0],
  to: message[8][0],
  failed: all(message, 15).some((status) => status[3]?.[0] === 2),
  attributes: attributes(message, 9),
  resource,
});

// A collector; `status()` is what it responds, or resolves to. `spans` are those that it has taken.
export async function collector(t, { status = () => 200 } = {}) {
  const spans = new Journal("spans");
  const requests = new Journal("requests to the collector");
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    requests.add({ url: request.url, headers: request.headers });
    const code = await status();
    response.writeHead(code, { "content-type": "application/x-protobuf" }).end();
    if (code !== 200) return;
    for (const group of all(fields(body), 1)) {
      const resource = attributes(fields(group[1][0]), 1);
      for (const scope of all(group, 2)) all(scope, 2).map(span(resource)).forEach((each) => spans.add(each));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  defer(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { spans, requests, url: `http://127.0.0.1:${server.address().port}` };
}
