// The values of a chart as a table, a page at a time.

import { make } from "../shared/dom.js";
import { plotsOf } from "./charts.js";
import { openDialog } from "./dialog.js";
import { second } from "./format.js";

const ROWS = 60;

// Shows the values as they are now: they do not move while they are read.
export function openTable(chart, { series }, signal) {
  const columnOf = ([name, label], format) => ({ label, format, values: [...(series[name] ?? [])] });
  const columns = plotsOf(chart, series).flatMap((plot) => plot.series.map((named) => columnOf(named, plot.format)));
  const ts = [...series.ts];
  const head = make("tr", {}, ...["Time", ...columns.map(({ label }) => label)].map((text) => make("th", { scope: "col" }, text)));
  const body = make("tbody");
  const shown = make("p", { className: "label", role: "status" });
  const scroller = make("div", { className: "table-scroller", tabIndex: 0, role: "region", "aria-label": "Values" });
  scroller.append(make("table", { className: "values" }, make("thead", {}, head), body));
  let end = ts.length;
  const show = () => {
    const start = Math.max(0, end - ROWS);
    const rows = ts.slice(start, end).map((time, i) => {
      const cells = columns.map(({ values, format }) => make("td", {}, format(values[start + i])));
      return make("tr", {}, make("th", { scope: "row" }, second(time)), ...cells);
    });
    body.replaceChildren(...rows.reverse());
    shown.textContent = rows.length > 0 ? `${second(ts[start])} to ${second(ts[end - 1])}, newest first` : "No samples yet";
    older.disabled = start === 0;
    newer.disabled = end === ts.length;
    scroller.scrollTop = 0;
  };
  const move = (rows) => {
    end = Math.min(ts.length, Math.max(Math.min(ROWS, ts.length), end + rows));
    show();
  };
  const older = make("button", { type: "button", onclick: () => move(-ROWS) }, "Older");
  const newer = make("button", { type: "button", onclick: () => move(ROWS) }, "Newer");
  show();
  openDialog({ title: chart.title, content: [shown, scroller], buttons: [newer, older], signal });
}
