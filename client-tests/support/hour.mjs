// An hour of a node as GET /v1/stats/stream sends it, which nobody has to wait for: clients come and go, at one time a third of them
// reconnect at once, and later somebody sends more than the limits allow.

import { createServer } from "node:http";
import { chance } from "./random.mjs";
import { defer } from "./scope.mjs";

const SAMPLES = 720;
const INTERVAL_MS = 5_000;
const MIB = 2 ** 20;
// Minutes: when the clients were gone, and when somebody sent too much.
const OUTAGE = 21;
const FLOOD = 44;

// The series of the hour before `now`.
function hour(now) {
  const random = chance(7);
  const around = (value, part) => value * (1 + part * (2 * random() - 1));
  const bump = (minute, at, width) => Math.exp(-(((minute - at) / width) ** 2));
  const after = (minute, at, decay) => (minute < at ? 0 : Math.exp((at - minute) / decay));
  const samples = Array.from({ length: SAMPLES }, (_, i) => {
    const minute = ((i + 1) * INTERVAL_MS) / 60_000;
    const wave = 1 + 0.06 * Math.sin(minute / 7) + minute / 500;
    const lost = minute >= OUTAGE && minute < OUTAGE + 0.5 ? 1 : 0;
    const returning = after(minute, OUTAGE + 0.5, 0.4);
    const flood = bump(minute, FLOOD, 2);
    const socketio = Math.round(around(1180 * wave * (1 - 0.34 * lost - 0.22 * returning), 0.006));
    const websocket = Math.round(around(310 * wave, 0.01));
    const events = Math.round(around(140 + 30 * Math.sin(minute / 11), 0.015));
    const messages = around(46 * wave * (1 - 0.3 * lost) + 38 * flood, 0.06);
    const limited = flood > 0.2 ? around(11 * flood, 0.3) : 0;
    return {
      ts: now - (SAMPLES - 1 - i) * INTERVAL_MS,
      connections: socketio + websocket + events,
      connections_socketio: socketio,
      connections_websocket: websocket,
      connections_events: events,
      polls_waiting: Math.round(around(24, 0.2)),
      rooms: 214,
      members: 4120,
      messages_per_second: messages,
      ephemeral_per_second: around(31 * wave, 0.1),
      deliveries_per_second: around(messages * 19, 0.03),
      recoveries_per_second: around(0.4, 1) + 58 * returning * (1 - lost),
      recoveries_refused_per_second: 2.6 * returning * (1 - lost),
      store_p50_ms: around(1.1 + 0.7 * returning, 0.1),
      store_p99_ms: around(4.6 + 9 * returning + 3 * flood, 0.12),
      send_queue_bytes: Math.round(around(24_000, 0.6) + 5.2 * MIB * returning * (1 - lost) + 0.9 * MIB * flood),
      catching_up: Math.round(61 * returning * (1 - lost)),
      limited_per_second: limited * 1.3,
      "limited.messages_per_second": limited,
      "limited.user_messages_per_second": limited * 0.3,
      memory_bytes: Math.round(around((148 + minute / 9 + 22 * returning) * MIB, 0.004)),
      memory_held_bytes: Math.round(around((9 + 34 * returning + 12 * flood) * MIB, 0.08)),
      cpu: around(0.31 * wave + 0.7 * returning * (1 - lost) + 0.16 * flood, 0.06),
    };
  });
  return { series: Object.fromEntries(Object.keys(samples[0]).map((name) => [name, samples.map((sample) => sample[name])])), newest: samples.at(-1) };
}

// What the first event of the stream has: the hour of web-1, and three nodes that are much alike.
function stats(now) {
  const { series, newest } = hour(now);
  const nodes = ["web-1", "web-2", "web-3"].map((host, i) => ({
    ...{ id: `node-${i + 1}`, host, listen: "0.0.0.0:3000", version: "0.1.0", store: "redis", started_at: now - 4 * 86_400_000 },
    ...{ ready: true, draining: false, sample: { ...newest, connections: newest.connections - 17 * i }, totals: {} },
  }));
  return { ts: now, interval_ms: INTERVAL_MS, node: "node-1", nodes, missing_nodes: 0, series, rooms: { busiest: [], largest: [] } };
}

// Has `page` see that hour, up to `now`, in place of the server's own stream.
export async function showHour(t, page, now) {
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`event: stats\ndata: ${JSON.stringify(stats(now))}\n\n`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  defer(t, () => {
    server.closeAllConnections();
    server.close();
  });
  await page.route(/\/v1\/stats\/stream/, (route) => route.continue({ url: `http://127.0.0.1:${server.address().port}/` }));
}
