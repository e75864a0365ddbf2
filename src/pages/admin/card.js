// A chart with its title, the values of a moment, its legend, and its values as text for those who do not see it.

import { make, setText, sync } from "../shared/dom.js";
import { plotsOf, summarize } from "./charts.js";
import { nearest } from "./chart_scale.js";
import { openTable } from "./chart_table.js";
import { Crosshair } from "./crosshair.js";
import { second, span as spanText } from "./format.js";
import { drawPlot, GUTTER } from "./plot.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -12, PageUp: 12, Home: -Infinity, End: Infinity };

let nth = 0;

export class Card {
  #chart;
  #now = make("strong", { className: "now" });
  #legend = make("ul", { className: "legend" });
  #plots = make("div", { className: "plots" });
  #slider = make("div", { className: "slider", role: "slider", tabIndex: 0, "aria-valuemin": "0" });
  #empty = make("p", { className: "empty", hidden: true });
  #summary = make("p", { className: "hidden" });
  #view;
  #drawn = []; // of each plot
  #crosshairs = [];
  #choose;

  // `choose` is told the time that is looked at, or undefined; `resized` that there is something to draw again.
  constructor(chart, { choose, resized, signal }) {
    this.#chart = chart;
    this.#choose = choose;
    const id = `chart-${(nth += 1)}`;
    const table = make("button", { type: "button", className: "quiet", "aria-label": `${chart.title} as a table` }, "Table");
    table.onclick = () => openTable(chart, this.#view, signal);
    this.#slider.setAttribute("aria-label", `${chart.title}, moment`);
    this.#slider.append(this.#plots, this.#empty);
    this.element = make("section", { className: chart.isWide ? "card wide" : "card", "aria-labelledby": id });
    this.element.append(make("header", {}, make("h2", { id }, chart.title), this.#now, table), this.#legend, this.#summary, this.#slider);
    this.#listen();
    const observer = new ResizeObserver(resized);
    observer.observe(this.#plots);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  // Shows the values of the moment. `view` is { series, intervalMs, span, moment }: `moment` is the index of a sample, or -1.
  render(view) {
    this.#view = view;
    const plots = plotsOf(this.#chart, view.series);
    const [name, format] = this.#chart.main;
    const at = view.moment < 0 ? view.series.ts.length - 1 : view.moment;
    const value = (series) => view.series[series]?.[at];
    setText(this.#now, format(value(name)));
    this.#renderLegend(plots, value);
    this.#renderText(name, at);
    this.#crosshairs.forEach((crosshair, i) => crosshair.show(this.#drawn[i], view.moment));
  }

  // Draws the plots: takes longer.
  draw() {
    const { series, moment } = this.#view;
    const plots = plotsOf(this.#chart, series);
    this.#fitPlots(plots.length);
    const isKnown = plots.some((plot) => plot.series.some(([name]) => series[name]?.some((value) => value !== null)));
    this.#empty.hidden = isKnown;
    setText(this.#empty, series.ts.length === 0 ? "No samples yet. One comes every 5 s." : (this.#chart.empty ?? "No values in this time."));
    this.#drawn = plots.map((plot, i) => {
      const { firstChild: canvas, clientWidth: width, clientHeight: height } = this.#plots.children[i];
      const hasTimes = i === plots.length - 1;
      return width > 0 ? drawPlot(canvas, { ...plot, hasTimes }, { width, height, ratio: devicePixelRatio }, this.#view) : undefined;
    });
    this.#crosshairs.forEach((crosshair, i) => crosshair.show(this.#drawn[i], moment));
  }

  #fitPlots(length) {
    while (this.#plots.children.length < length) {
      const crosshair = new Crosshair();
      this.#crosshairs.push(crosshair);
      this.#plots.append(make("div", {}, make("canvas", { "aria-hidden": "true" }), crosshair.element));
    }
  }

  #renderLegend(plots, value) {
    const entries = plots.flatMap(({ series, format, firstColor = 1 }) =>
      series.map(([name, label], i) => ({ key: `${name} ${firstColor + i}`, label, color: firstColor + i, text: format(value(name)) })),
    );
    const create = ({ label, color }) => make("li", {}, make("i", { className: "swatch", "data-series": color }), label, " ", make("b"));
    sync(this.#legend, entries, create, (node, { text }) => setText(node.lastChild, text));
  }

  #renderText(name, at) {
    const { series, span } = this.#view;
    setText(this.#summary, summarize(this.#chart, series[name], spanText(span.to - span.from)));
    const values = [...this.#legend.children].map(({ textContent }) => textContent).join(", ");
    const text = at < 0 ? "No samples yet" : `${second(series.ts[at])}: ${values}`;
    for (const [property, number] of [["max", Math.max(0, series.ts.length - 1)], ["now", Math.max(0, at)]]) {
      this.#slider.setAttribute(`aria-value${property}`, number);
    }
    this.#slider.setAttribute("aria-valuetext", text);
  }

  #listen() {
    const point = ({ clientX }) => {
      const { left, width } = this.#plots.getBoundingClientRect();
      const { from, to } = this.#view.span;
      const part = (clientX - left - GUTTER.left) / (width - GUTTER.left - GUTTER.right);
      this.#choose(from + Math.min(1, Math.max(0, part)) * (to - from));
    };
    this.#slider.onpointermove = point;
    this.#slider.onpointerdown = point;
    this.#slider.onpointerleave = () => this.#choose(undefined);
    this.#slider.onblur = () => this.#choose(undefined);
    this.#slider.onkeydown = (event) => {
      const { series, moment } = this.#view;
      const last = series.ts.length - 1;
      if (event.key === "Escape") return this.#choose(undefined);
      if (!(event.key in STEPS) || last < 0) return;
      event.preventDefault();
      this.#choose(series.ts[Math.min(last, Math.max(0, (moment < 0 ? last : moment) + STEPS[event.key]))]);
    };
  }
}

// The index of the sample at a time, or -1.
export const indexAt = (series, time) => (time === undefined ? -1 : nearest(series.ts, time));
