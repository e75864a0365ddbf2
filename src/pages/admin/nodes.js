// The nodes of the cluster. The one that answers can be drained.

import { bdi, make, setText, sync } from "../shared/dom.js";
import { call, path } from "./api.js";
import { name, openDialog } from "./dialog.js";
import { figures } from "./figures.js";
import { bytes, count, decimal, duration, moment, perSecond, plural } from "./format.js";
import { stateOf } from "./node_state.js";

const SHOWN = 200;

export function openNodes({ signal, subtitle }) {
  const list = make("ul", { className: "nodes" });
  const missing = make("p", { className: "problem", hidden: true });
  let stats;
  const drain = () => askToDrain({ ...stats, own: stats.own, signal, done: drained });
  const drained = (id) => {
    for (const node of stats.nodes) if (node.id === id) node.draining = true;
    update(stats);
  };
  function update(newest) {
    stats = newest;
    const { nodes } = stats;
    missing.hidden = stats.missing === 0;
    setText(missing, `${plural(stats.missing, "node")} did not answer in time.`);
    setText(subtitle, nodes.length > SHOWN ? `${count(SHOWN)} of ${count(nodes.length)}` : plural(nodes.length, "node"));
    const items = nodes.slice(0, SHOWN).map((node) => ({ key: node.id, node, isOwn: node.id === stats.node }));
    sync(list, items, ({ node }) => create(node, drain), (element, { node, isOwn }) => element.show(node, isOwn));
  }
  return { title: "Nodes", element: make("div", { className: "page" }, missing, list), update };
}

function create({ id, host }, drain) {
  const now = figures(`Now, ${host || id}`);
  const totals = figures(`Totals, ${host || id}`);
  const state = make("span", { className: "state" });
  const own = make("span", { className: "chip" }, "answers this page");
  const button = make("button", { type: "button", onclick: drain }, "Drain…");
  const reason = make("p", { className: "problem" });
  const about = make("p", { className: "about" });
  const header = make("header", {}, make("h2", {}, bdi(host || id)), state, own, button);
  const details = make("details", {}, make("summary", {}, "Totals since the start"), totals.element);
  const show = (node, isOwn) => {
    const { kind, text } = stateOf(node);
    state.dataset.state = kind;
    setText(state, text);
    own.hidden = button.hidden = !isOwn;
    button.disabled = node.draining;
    reason.hidden = node.ready || node.draining || !node.not_ready;
    setText(reason, node.not_ready ?? "");
    setText(about, `${node.id} · ${node.listen} · ${node.store} · version ${node.version} · started ${moment(node.started_at)}`);
    now.show(figuresOf(node));
    totals.show(Object.entries(node.totals ?? {}).map(([total, value]) => [total.replaceAll("_", " "), count(value)]));
  };
  return Object.assign(make("li", { className: "node" }, header, about, reason, now.element, details), { show });
}

function figuresOf({ sample, started_at: startedAt }) {
  const value = (series) => sample?.[series];
  return [
    ["Connections", count(value("connections"))],
    ["Rooms", count(value("rooms"))],
    ["Messages", perSecond(value("messages_per_second"))],
    ["Deliveries", perSecond(value("deliveries_per_second"))],
    ["Send queues", bytes(value("send_queue_bytes"))],
    ["Memory", bytes(value("memory_bytes"))],
    ["CPU cores", decimal(value("cpu"))],
    ["Up for", duration(Date.now() - startedAt)],
  ];
}

function askToDrain({ own, nodes, node: id, signal, done }) {
  const host = own.host || id;
  const clients = own.sample ? `Its ${plural(own.sample.connections, "connection")} are` : "Its connections are";
  const others = nodes.filter((node) => node.id !== id && node.ready && !node.draining).length;
  const field = make("input", { autocomplete: "off", spellcheck: false });
  const fate = others > 0 ? `They reconnect to the other ${others === 1 ? "node that is" : "nodes that are"} ready.` : "";
  const warning = "No other node is ready: until one is, clients cannot connect.";
  openDialog({
    title: "Drain this node?",
    content: [
      make("ul", { className: "steps" },
        make("li", {}, "From now on ", name(host), " refuses new clients."),
        make("li", {}, `${clients} closed bit by bit, over the time of drain.over. ${fate}`),
        make("li", {}, "Then its process ends. The dashboard cannot start it again."),
      ),
      ...(others > 0 ? [] : [make("p", { className: "problem" }, warning)]),
      make("label", {}, make("span", {}, "Type ", name(host), " to confirm"), field),
    ],
    confirm: "Drain",
    isDanger: true,
    ready: () => field.value.trim() === host,
    signal,
    async action() {
      await call("POST", path`v1/nodes/${id}/drain`);
      done(id);
      return [name(host), " is draining."];
    },
  });
}
