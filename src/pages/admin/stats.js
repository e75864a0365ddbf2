// What the server's stream of stats has told: the nodes, the rooms, and the series of the node that answers. Pure.

const KEPT = 720;
const SPANS = [2, 5, 15, 30, 60].map((minutes) => minutes * 60_000);

export class Stats {
  node = "";
  ts = 0; // of the newest sample, in the server's time
  intervalMs = 5000;
  nodes = [];
  missing = 0;
  rooms = { busiest: [], largest: [] };
  series = { ts: [] };

  // Everything, or what is newer than what is here already. Another node that answers has another history: false if it is not complete.
  replace(data, since) {
    if (since > 0 && data.node !== this.node) return false;
    this.node = data.node;
    this.intervalMs = data.interval_ms;
    const rows = data.series.ts.map((_, i) => Object.fromEntries(Object.entries(data.series).map(([name, column]) => [name, column[i]])));
    if (since === 0) this.series = { ts: [] };
    for (const row of rows.slice(-KEPT)) this.#append(row);
    this.#show(data);
    return true;
  }

  update(data) {
    if (data.sample) this.#append(data.sample);
    this.#show(data);
  }

  get own() {
    return this.nodes.find(({ id }) => id === this.node);
  }

  // The shortest of some round spans with all samples: a server that was just started has few.
  get span() {
    const oldest = this.series.ts[0] ?? this.ts;
    return { from: this.ts - (SPANS.find((span) => this.ts - oldest <= span) ?? SPANS.at(-1)), to: this.ts };
  }

  #show({ ts, nodes, missing_nodes, rooms }) {
    Object.assign(this, { ts, nodes, missing: missing_nodes, rooms });
  }

  #append(sample) {
    const { series } = this;
    const length = series.ts.length;
    if (!(sample.ts > (series.ts[length - 1] ?? 0))) return;
    // Series of limits begin when the limit is first reached.
    for (const name of Object.keys(sample)) series[name] ??= Array(length).fill(name.startsWith("limited.") ? 0 : null);
    for (const [name, column] of Object.entries(series)) {
      column.push(sample[name] ?? (name.startsWith("limited.") ? 0 : null));
      if (column.length > KEPT) column.shift();
    }
  }
}
