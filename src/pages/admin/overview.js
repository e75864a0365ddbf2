// The overview: the cluster in a line, then the last hour of the node that answers, in charts that show the same moment.

import { make, setText } from "../shared/dom.js";
import { Card, indexAt } from "./card.js";
import { CHARTS, withOthers } from "./charts.js";
import { figures } from "./figures.js";
import { count, perSecond, plural, second, span as spanText } from "./format.js";
import { problemsOf } from "./node_state.js";

export function openOverview({ signal, subtitle }) {
  let stats;
  let time;
  let frame;
  let undrawn = [];
  // The values of all charts at once, their plots one by one, so that no frame takes long.
  const draw = () => {
    frame = undefined;
    if (!stats || signal.aborted) return;
    const series = withOthers(stats.series);
    const view = { series, intervalMs: stats.intervalMs, span: stats.span, moment: indexAt(series, time) };
    for (const card of cards) card.render(view);
    setText(subtitle, describe(stats, view));
    undrawn.shift()?.draw();
    if (undrawn.length > 0) schedule();
  };
  const schedule = () => (frame ??= requestAnimationFrame(draw));
  const redraw = () => {
    undrawn = [...cards];
    schedule();
  };
  const choose = (chosen) => {
    if (time === chosen) return;
    time = chosen;
    schedule();
  };
  const cards = CHARTS.map((chart) => new Card(chart, { choose, resized: redraw, signal }));
  const cluster = figures("All nodes");
  const label = make("h2", { "aria-hidden": "true" }, "All nodes");
  const strip = make("section", { className: "cluster", "aria-label": "All nodes" }, label, cluster.element);
  const problems = make("ul", { className: "problems" });
  const grid = make("div", { className: "cards" }, ...cards.map(({ element }) => element));
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", redraw, { signal });
  return {
    title: "Overview",
    element: make("div", { className: "overview" }, strip, problems, grid),
    update(newest) {
      stats = newest;
      strip.hidden = stats.nodes.length + stats.missing === 1;
      cluster.show(clusterFigures(stats));
      showProblems(problems, stats);
      redraw();
    },
  };
}

function describe({ own, span, node, ts }, { series, moment }) {
  const name = own?.host || node;
  if (moment >= 0) return `${name} at ${second(series.ts[moment])}`;
  return ts > 0 ? `${name}, the last ${spanText(span.to - span.from)}` : name;
}

function clusterFigures({ nodes, missing }) {
  const sum = (name) => nodes.reduce((total, { sample }) => total + (sample?.[name] ?? 0), 0);
  const ready = nodes.filter((node) => node.ready && !node.draining).length;
  return [
    ["Nodes ready", `${count(ready)} of ${count(nodes.length + missing)}`],
    ["Connections", count(sum("connections"))],
    ["Messages", perSecond(sum("messages_per_second"))],
    ["Deliveries", perSecond(sum("deliveries_per_second"))],
    ["Recoveries", perSecond(sum("recoveries_per_second"))],
    ["Refusals", perSecond(sum("limited_per_second"))],
  ];
}

const SHOWN_PROBLEMS = 3;

function showProblems(list, { nodes, missing }) {
  const problems = nodes.flatMap((node) => problemsOf(node).map((text) => `${node.host || node.id} ${text}`));
  if (missing > 0) problems.unshift(`${plural(missing, "node")} did not answer in time: the sums are without ${missing === 1 ? "it" : "them"}`);
  const more = problems.length - SHOWN_PROBLEMS;
  const shown = problems.slice(0, SHOWN_PROBLEMS).concat(more > 0 ? [`and ${plural(more, "other problem")}`] : []);
  if (list.shown === shown.join("\n")) return;
  list.shown = shown.join("\n");
  list.replaceChildren(...shown.map((text) => make("li", {}, make("a", { href: "#/nodes" }, make("bdi", {}, text)))));
}
