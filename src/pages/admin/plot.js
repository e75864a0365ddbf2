// Draws series over time onto a canvas: areas or lines, few round labels, and gaps.

import { runs, stack, timeTicks, valueScale } from "./chart_scale.js";
import { minute } from "./format.js";

export const GUTTER = { left: 50, right: 8 };
const TOP = 8;
const TIME_HEIGHT = 20;
const LINE_HEIGHT = 27;
const MAX_LINES = 4;
const TIME_WIDTH = 64;
const FONT = "11px Inter, system-ui, sans-serif";

const scheme = matchMedia("(prefers-color-scheme: dark)");
const probe = document.createElement("i");
let palette;
scheme.addEventListener("change", () => (palette = undefined));

// Colours of the style sheet, as a canvas takes them.
function colors() {
  if (palette) return palette;
  probe.hidden = true;
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  palette = { muted: read("--muted"), line: read("--line"), page: read("--page"), series: [1, 2, 3, 4, 5].map((i) => read(`--series-${i}`)) };
  probe.remove();
  return palette;
}

// `plot` is one of charts.js. Returns where things are, for the crosshair.
export function drawPlot(canvas, plot, { width, height, ratio }, { series, intervalMs, span }) {
  const context = canvas.getContext("2d");
  fit(canvas, width, height, ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const bottom = height - (plot.hasTimes ? TIME_HEIGHT : 4);
  const empty = series.ts.map(() => null);
  const known = plot.series.map(([name]) => series[name] ?? empty);
  const columns = plot.isStacked ? stack(known) : known;
  const first = Math.max(0, series.ts.findIndex((ts) => ts >= span.from));
  const lines = Math.min(MAX_LINES, Math.max(1, Math.floor((bottom - TOP) / LINE_HEIGHT)));
  const scale = valueScale(maximum(columns, first), lines, plot.unit);
  const x = (ts) => GUTTER.left + ((ts - span.from) / (span.to - span.from)) * (width - GUTTER.left - GUTTER.right);
  const y = (value) => bottom - (value / scale.top) * (bottom - TOP);
  const area = { context, x, y, width, bottom, ts: series.ts, first, longestMs: 2.5 * intervalMs };
  drawValues(area, scale.ticks, plot.axis);
  if (plot.hasTimes) drawTimes(area, span);
  // The highest of a stack first: those below it cover it.
  const { firstColor = 1 } = plot;
  const isFilled = plot.isStacked || columns.length === 1;
  for (let i = columns.length - 1; i >= 0; i -= 1) drawSeries(area, columns[i], colors().series[i + firstColor - 1], isFilled);
  return { x, y, ts: series.ts, columns, firstColor, width, top: TOP, bottom, hasTimes: plot.hasTimes };
}

// As many pixels as the screen has.
function fit(canvas, width, height, ratio) {
  const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width === columns && canvas.height === rows) return;
  Object.assign(canvas, { width: columns, height: rows });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
}

function maximum(columns, first) {
  let max = 0;
  for (const column of columns) for (let i = first; i < column.length; i += 1) if (column[i] > max) max = column[i];
  return max;
}

function drawValues({ context, y, width }, ticks, axis) {
  Object.assign(context, { font: FONT, fillStyle: colors().muted, textAlign: "right", textBaseline: "middle" });
  Object.assign(context, { strokeStyle: colors().line, lineWidth: 1 });
  context.beginPath();
  for (const tick of ticks) {
    const line = Math.round(y(tick)) + 0.5;
    context.moveTo(GUTTER.left, line);
    context.lineTo(width - GUTTER.right, line);
    context.fillText(tick === 0 ? "0" : axis(tick), GUTTER.left - 8, line);
  }
  context.stroke();
}

function drawTimes({ context, x, width, bottom }, { from, to }) {
  Object.assign(context, { textAlign: "center", fillStyle: colors().muted });
  for (const tick of timeTicks(from, to, Math.floor((width - GUTTER.left) / TIME_WIDTH))) {
    const center = x(tick);
    if (center > GUTTER.left + 10 && center < width - 18) context.fillText(minute(tick), center, bottom + 12);
  }
}

function drawSeries({ context, x, y, bottom, ts, first, longestMs }, column, color, isFilled) {
  Object.assign(context, { strokeStyle: color, fillStyle: color, lineWidth: 1.5, lineJoin: "bevel" });
  for (const [start, end] of runs(ts, column, first, longestMs)) {
    const line = new Path2D();
    line.moveTo(x(ts[start]), y(column[start]));
    for (let i = start; i < end; i += 1) line.lineTo(x(ts[i]), y(column[i]));
    if (isFilled) fill(context, line, x(ts[start]), x(ts[end - 1]), bottom);
    context.stroke(line);
  }
}

// An area hides the one behind it, and lets the page shine through.
function fill(context, line, left, right, bottom) {
  const area = new Path2D(line);
  area.lineTo(right, bottom);
  area.lineTo(left, bottom);
  const color = context.fillStyle;
  context.fillStyle = colors().page;
  context.fill(area);
  context.globalAlpha = 0.22;
  context.fillStyle = color;
  context.fill(area);
  context.globalAlpha = 1;
}
