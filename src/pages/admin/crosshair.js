// Marks a moment in a plot: a line, a dot on each series, the time below. Apart from the canvas, so that moving it draws nothing again.

import { make, setText } from "../shared/dom.js";
import { second } from "./format.js";

export class Crosshair {
  element = make("div", { className: "crosshair", "aria-hidden": "true", hidden: true });
  #line = make("i", { className: "line" });
  #time = make("span", { className: "time" });
  #dots = [];

  constructor() {
    this.element.append(this.#line, this.#time);
  }

  // `drawn` is what drawPlot returned; `moment` the index of a sample, -1 for none.
  show(drawn, moment) {
    this.element.hidden = moment < 0 || !drawn || moment >= drawn.ts.length;
    if (this.element.hidden) return;
    const { x, y, ts, columns, firstColor, width, top, bottom, hasTimes } = drawn;
    const left = Math.round(x(ts[moment]));
    move(this.#line, left, top);
    this.#line.style.height = `${bottom - top}px`;
    while (this.#dots.length < columns.length) this.#addDot(firstColor);
    this.#dots.forEach((dot, i) => {
      const value = columns[i]?.[moment] ?? null;
      dot.hidden = value === null;
      if (value !== null) move(dot, left, Math.round(y(value)));
    });
    this.#time.hidden = !hasTimes;
    setText(this.#time, second(ts[moment]));
    move(this.#time, Math.min(width - 30, Math.max(30, left)), bottom + 3);
  }

  #addDot(firstColor) {
    const dot = make("i", { className: "dot swatch", "data-series": firstColor + this.#dots.length });
    this.#dots.push(dot);
    this.element.append(dot);
  }
}

const move = (node, x, y) => (node.style.transform = `translate(${x}px, ${y}px)`);
