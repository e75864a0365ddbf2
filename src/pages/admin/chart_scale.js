// Scales of charts: round labels, positions, gaps. Pure.

const MINUTE = 60_000;
// What the scale of nothing but zeros ends with.
const NOTHING = { bytes: 1024 };
const TIME_STEPS = [1, 2, 5, 10, 15, 20, 30, 60].map((minutes) => minutes * MINUTE);

// From 0 to a round number not below `highest`, in at most about `lines` round steps. `unit` is "bytes" (powers of two), "whole", or none.
export function valueScale(highest, lines, unit) {
  const max = highest > 0 ? highest : NOTHING[unit] ?? 1;
  const rough = Math.max(max / lines, unit === "whole" ? 1 : 0);
  const step = unit === "bytes" ? 2 ** Math.ceil(Math.log2(rough)) : roundUp(rough);
  const steps = Math.ceil(max / step - 1e-9);
  return { top: steps * step, ticks: Array.from({ length: steps + 1 }, (_, i) => i * step) };
}

// 1, 2 or 5 times a power of ten.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= value * (1 - 1e-9));
}

// Round times of the reader's clock, at most `max`.
export function timeTicks(from, to, max) {
  const step = TIME_STEPS.find((length) => (to - from) / length <= max) ?? to - from;
  const offset = new Date(to).getTimezoneOffset() * MINUTE;
  const first = Math.ceil((from - offset) / step) * step + offset;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, i) => first + i * step);
}

// The columns, each on top of those before it. Unknown values count as nothing, unless all are unknown.
export function stack(columns) {
  const stacked = [];
  for (const column of columns) {
    const below = stacked.at(-1);
    stacked.push(column.map((value, i) => (columns.every((other) => other[i] === null) ? null : (below?.[i] ?? 0) + (value ?? 0))));
  }
  return stacked;
}

// Runs of known values from `first` on, as [start, end) indices: a missing value or sample is a gap.
export function runs(ts, column, first, longestMs) {
  const found = [];
  let start = -1;
  for (let i = first; i <= ts.length; i += 1) {
    const isKnown = i < ts.length && column[i] !== null;
    const isBroken = start >= 0 && (!isKnown || ts[i] - ts[i - 1] > longestMs);
    if (isBroken) found.push([start, i]);
    if (isBroken || start < 0) start = isKnown ? i : -1;
  }
  return found;
}

// The index of the sample next to a time; -1 if there is none.
export function nearest(ts, time) {
  if (ts.length === 0) return -1;
  let [low, high] = [0, ts.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ts[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low > 0 && time - ts[low - 1] < ts[low] - time ? low - 1 : low;
}
