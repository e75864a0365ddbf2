// Which charts there are: their series, units, and what is said when there is nothing to draw. Pure.

import { bytes, cores, count, milliseconds, perSecond, round } from "./format.js";

const MAX_LIMITS = 3;

// A chart has a value of its title, and one or two plots, one above the other. A series is [name, label].
export const CHARTS = [
  {
    title: "Connections",
    isWide: true,
    main: ["connections", count],
    plots: [
      {
        series: [
          ["connections_socketio", "Socket.IO"],
          ["connections_websocket", "WebSocket"],
          ["connections_events", "Server-Sent Events"],
          ["polls_waiting", "Long polls"],
        ],
        ...{ isStacked: true, unit: "whole", format: count, axis: round },
      },
    ],
  },
  {
    title: "Messages",
    main: ["messages_per_second", perSecond],
    plots: [
      { series: [["messages_per_second", "Stored"], ["ephemeral_per_second", "Ephemeral"]], format: perSecond, axis: round },
      { series: [["deliveries_per_second", "Delivered"]], format: perSecond, axis: round, firstColor: 3 },
    ],
  },
  {
    title: "Latency of storing",
    main: ["store_p99_ms", milliseconds],
    empty: "Nothing was stored in this time.",
    plots: [{ series: [["store_p50_ms", "Median"], ["store_p99_ms", "99th percentile"]], format: milliseconds, axis: milliseconds }],
  },
  {
    title: "Send queues",
    main: ["send_queue_bytes", bytes],
    plots: [
      { series: [["send_queue_bytes", "Waiting for clients"]], unit: "bytes", format: bytes, axis: bytes },
      { series: [["catching_up", "Catching up"]], unit: "whole", format: count, axis: round, firstColor: 3 },
    ],
  },
  {
    title: "Recoveries",
    main: ["recoveries_per_second", perSecond],
    plots: [{ series: [["recoveries_per_second", "Resumed"], ["recoveries_refused_per_second", "Refused"]], format: perSecond, axis: round }],
  },
  { title: "Refusals by limit", main: ["limited_per_second", perSecond], plotsOf: limitPlots },
  {
    title: "Memory",
    main: ["memory_bytes", bytes],
    plots: [{ series: [["memory_bytes", "Resident"], ["memory_held_bytes", "In use of limits.memory"]], unit: "bytes", format: bytes, axis: bytes }],
  },
  { title: "CPU", main: ["cpu", cores], plots: [{ series: [["cpu", "In use"]], format: cores, axis: round }] },
];

// The plots of a chart: those of the refusals depend on which limits were reached.
export const plotsOf = (chart, series) => chart.plotsOf?.(series) ?? chart.plots;

function limitPlots(series) {
  const sum = (name) => series[name].reduce((total, value) => total + (value ?? 0), 0);
  const limits = Object.keys(series).filter((name) => name.startsWith("limited."));
  const most = limits.toSorted((a, b) => sum(b) - sum(a)).slice(0, MAX_LIMITS).sort();
  const shown = most.map((name) => [name, name.replace(/^limited\.(limits\.)?/, "")]);
  const plot = { isStacked: true, format: perSecond, axis: round };
  if (limits.length === 0) return [{ ...plot, series: [["limited_per_second", "All limits"]] }];
  if (limits.length === most.length) return [{ ...plot, series: shown }];
  return [{ ...plot, series: [...shown, ["others", "Others"]] }];
}

// The series, with that of the limits that are not drawn by themselves.
export function withOthers(series) {
  const drawn = limitPlots(series)[0].series.map(([name]) => name);
  if (!drawn.includes("others")) return series;
  const others = series.limited_per_second.map((all, i) =>
    all === null ? null : Math.max(0, all - drawn.reduce((sum, name) => sum + (series[name]?.[i] ?? 0), 0)),
  );
  return { ...series, others };
}

// What a chart shows, in a sentence.
export function summarize({ title, main: [name, format] }, column, spanText) {
  const values = (column ?? []).filter((value) => value !== null);
  if (values.length === 0) return `${title}: no values in the last ${spanText}.`;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${title}: ${format(column.at(-1))} now; between ${format(low)} and ${format(high)} in the last ${spanText}.`;
}
