// The last frames, as they were sent and received.

import { byId, make, sync } from "../shared/dom.js";

const KEPT = 100;
const LONGEST = 4000;
const ARROWS = { sent: "→", received: "←" };
const details = byId("wire");
const pause = byId("pause");
let frames = [];
let count = 0;
let isPaused = false;

export function mountWire() {
  pause.onclick = () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", isPaused);
  };
  details.ontoggle = renderWire;
}

export function recordFrame(direction, text) {
  if (isPaused) return;
  count += 1;
  const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;
  // The newest first.
  frames = [{ key: count, direction, text: shown, time: new Date() }, ...frames.slice(0, KEPT - 1)];
}

export function renderWire() {
  if (details.open) sync(byId("frames"), frames, create);
}

function create({ direction, text, time }) {
  const arrow = make("span", { className: direction, role: "img", "aria-label": direction }, ARROWS[direction]);
  const clock = `${time.toTimeString().slice(0, 8)}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  const summary = make("summary", {}, arrow, make("time", {}, clock), make("code", {}, text));
  const whole = make("pre");
  const item = make("details", { ontoggle: () => whole.replaceChildren(text) }, summary, whole);
  return make("li", {}, item);
}
