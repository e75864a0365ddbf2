// The state of the connection, and the button that cuts it. The bar is always there, so that nothing moves when the network does.

import { byId, make, plural, setText } from "../shared/dom.js";

const tryNow = byId("try-now");
const cut = byId("cut");

const seconds = (ms) => `${Math.max(0, Math.ceil(ms / 1000))} s`;
const recovery = (count) => (count === 0 ? "Nothing was missed." : `${plural(count, "message")} recovered.`);

// For each state: its text, and its clock, which is not read out.
const TEXTS = {
  connecting: () => ["Connecting…", ""],
  connected: ({ session }, { recovered }) =>
    recovered === null ? ["Connected", `to ${session.node} by WebSocket`] : [`Connected again. ${recovery(recovered)}`, ""],
  cut: ({ since }) => ["You cut the connection. Write from another tab, then reconnect.", seconds(Date.now() - since)],
  waiting: ({ attempt, retryAt, error }) => [
    error?.message ?? "The connection is lost. Messages are sent later.",
    `Attempt ${attempt} in ${seconds(retryAt - Date.now())}`,
  ],
};

export function mountConnection(app) {
  tryNow.onclick = () => app.connection.connect();
  cut.onclick = () => {
    const { connection } = app;
    if (connection.state.name === "cut") connection.connect();
    else connection.cut();
  };
  setInterval(() => app.rooms && renderConnection(app), 250);
}

export function renderConnection({ connection, rooms }) {
  const { state } = connection;
  const [text, clock] = TEXTS[state.name]?.(state, rooms) ?? ["", ""];
  byId("chat").dataset.connection = state.name;
  byId("connection").classList.toggle("recovered", rooms.recovered > 0);
  setText(byId("connection-text"), text);
  setText(byId("connection-clock"), clock);
  renderButtons(state);
}

// Two buttons: one that changed its meaning by itself would be pressed for what it was.
function renderButtons({ name, attempt }) {
  const isCut = name === "cut";
  if (cut.isCut !== isCut) cut.replaceChildren(...(isCut ? ["Reconnect"] : ["Cut", make("span", { className: "long" }, " the connection")]));
  cut.isCut = isCut;
  const isTrying = name === "waiting" || (name === "connecting" && attempt > 0);
  if (!isTrying && document.activeElement === tryNow) cut.focus();
  tryNow.hidden = !isTrying;
}
