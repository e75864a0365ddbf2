// The dashboard: what the back end has measured in the last five minutes, and how old the last of it is.

import { createChart } from "./chart.mjs";
import { follow } from "./stream.mjs";

const $ = (selector) => document.querySelector(selector);

const SHOWN = 5 * 60_000;
// An older number is not shown as if it were current, and nothing is drawn over a longer hole.
const STALE = 5_000;

const percent = (value) => `${Math.round(value)} %`;
const gib = (value) => `${(value / 2 ** 30).toFixed(2)} GiB`;
const ms = (value) => (value < 1000 ? `${short(value)} ms` : `${short(value / 1000)} s`);
const short = (value) => (value < 10 ? value.toFixed(1) : String(Math.round(value)));

// What is shown of a sample, and up to which value its chart goes.
const METRICS = {
  processor: { say: percent, top: () => 100 },
  memory: { say: gib, top: (samples) => samples.at(-1).total },
  delay: { say: ms, top: (samples) => roundUp(Math.max(20, ...samples.map(({ delay }) => delay))) },
};

// The next of 1, 2, 5, 10, 20, 50, ...
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= value);
}

// In the order in which they were measured.
let samples = [];
let connected = false;
// The time that somebody looks at.
let moment;
// The server's time when this page was loaded: the clock of this machine may be wrong.
let loaded = Date.now() - performance.now();

const time = (at) => new Date(at).toLocaleTimeString();

const charts = Object.entries(METRICS).map(([metric, { say, top }]) => {
  const section = $(`#${metric}`);
  const name = section.querySelector("h2").textContent;
  const draw = createChart(section.querySelector(".chart"), name, (at) => {
    moment = at;
    render();
  });
  return function update(now) {
    const points = samples.map((sample) => [sample.at, sample[metric]]);
    const values = points.map(([, value]) => value);
    const measured = values.length > 0;
    const [last, low, high] = measured ? [values.at(-1), Math.min(...values), Math.max(...values)].map(say) : ["–", "–", "–"];
    const limit = measured ? top(samples) : 1;
    section.querySelector(".value").textContent = last;
    section.querySelector(".range").textContent = measured ? `${low} to ${high}` : "";
    draw({
      points,
      from: now - SHOWN,
      to: now,
      top: limit,
      topLabel: measured ? say(limit) : "",
      hole: STALE,
      moment,
      describe: ([at, value]) => `${time(at)}: ${say(value)}`,
      summary: measured ? `${name} in the last five minutes: ${low} to ${high}, ${last} at the end` : `${name}: nothing measured`,
    });
  };
});

function render() {
  const now = loaded + performance.now();
  // The last one stays, however old it is.
  samples = samples.filter(({ at }, i) => at >= now - SHOWN || i === samples.length - 1);
  for (const update of charts) update(now);
  showAge(now);
  $("#last").replaceChildren(...samples.slice(-10).reverse().map(row));
}

function showAge(now) {
  const age = samples.length > 0 ? now - samples.at(-1).at : Infinity;
  const stale = age > STALE;
  const state = !stale ? "Live" : connected ? "The back end is silent" : "Connecting";
  document.body.classList.toggle("stale", stale);
  // Only changes: they are read aloud.
  if ($("#state").textContent !== state) $("#state").textContent = state;
  $("#age").textContent = stale && samples.length > 0 ? `measured ${ago(age)} ago` : "";
}

function ago(ms) {
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

function row(sample) {
  const cells = [time(sample.at), ...Object.entries(METRICS).map(([metric, { say }]) => say(sample[metric]))];
  const tr = document.createElement("tr");
  tr.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return tr;
}

let frame;

// The history comes as one event for each message: all that come at once are drawn once.
function renderSoon() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(render);
}

follow(async () => (await fetch("/access")).json(), 300, {
  session({ ts }) {
    connected = true;
    loaded = ts - performance.now();
    renderSoon();
  },
  message({ data }) {
    samples.push(data);
    renderSoon();
  },
  // What was missed is no longer in the log: the last messages follow.
  reset() {
    samples = [];
    renderSoon();
  },
  lost() {
    connected = false;
    renderSoon();
  },
});
setInterval(renderSoon, 1000);
