// A chart of one value over the last minutes, in SVG: holes stay holes, and a moment can be looked at with mouse, finger or keyboard.

const TEMPLATE = `
  <svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img">
    <path class="grid" d="M0 515H1000M200 0V1000M400 0V1000M600 0V1000M800 0V1000" />
    <path class="area" />
    <path class="line" />
  </svg>
  <span class="top"></span>
  <span class="moment" hidden><output></output></span>
  <input type="range" max="0" step="1" />`;

// How high the highest value is drawn: below the edge, so that its line is whole.
const FULL = 970;

const round = (n) => Math.round(n * 10) / 10;

// Draws into `element`. `choose(at)` is called with the time that somebody looks at, and with `undefined` when nobody does any more.
export function createChart(element, label, choose) {
  element.innerHTML = TEMPLATE;
  const $ = (selector) => element.querySelector(selector);
  const [slider, mark] = [$("input"), $(".moment")];
  let shown = { from: 0, to: 0 };

  slider.setAttribute("aria-label", `${label}: look back, in seconds`);
  const chosen = () => choose(slider.value < 0 ? shown.to + 1000 * slider.value : undefined);
  slider.addEventListener("input", chosen);
  slider.addEventListener("blur", () => choose(undefined));
  slider.addEventListener("pointermove", ({ pointerType, offsetX }) => {
    if (pointerType !== "mouse") return;
    slider.value = ((shown.to - shown.from) / 1000) * (offsetX / slider.clientWidth - 1);
    chosen();
  });
  slider.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && choose(undefined));

  // `points` are `[at, value]` by time, `top` is the highest value that there is room for, `hole` the time without points that is left
  // empty, and `moment` the time that is looked at, if any. `describe(point)` says one, `summary` says all.
  return function draw({ points, from, to, top, topLabel, hole, moment, describe, summary }) {
    const inside = points.filter(([at]) => at >= from);
    const looked = moment && nearest(inside, moment);
    shown = { from, to };
    const x = (at) => round((1000 * (at - from)) / (to - from));
    const y = (value) => round(1000 - (FULL * value) / top);
    const pieces = split(inside, hole).map((piece) => piece.map(([at, value]) => `${x(at)} ${y(value)}`));
    // A point alone is a line to itself, which its round ends make a dot.
    $(".line").setAttribute("d", pieces.map((piece) => `M${piece.join("L")}${piece.length === 1 ? "h0" : ""}`).join(""));
    $(".area").setAttribute("d", pieces.map((piece) => `M${piece.join("L")}V1000H${piece[0].split(" ")[0]}Z`).join(""));
    $(".top").textContent = topLabel;
    $("svg").setAttribute("aria-label", summary);

    slider.min = Math.round((from - to) / 1000);
    slider.value = moment ? (moment - to) / 1000 : 0;
    slider.setAttribute("aria-valuetext", looked ? describe(looked) : "now");
    mark.hidden = !looked;
    if (!looked) return;
    mark.style.setProperty("--x", x(looked[0]) / 1000);
    mark.style.setProperty("--y", y(looked[1]) / 1000);
    mark.firstChild.textContent = describe(looked);
  };
}

function nearest(points, moment) {
  const distance = ([at]) => Math.abs(at - moment);
  return points.reduce((best, point) => (best && distance(best) <= distance(point) ? best : point), undefined);
}

// The points in pieces that have no hole.
function split(points, hole) {
  const pieces = [];
  for (const [i, point] of points.entries()) {
    if (i === 0 || point[0] - points[i - 1][0] > hole) pieces.push([]);
    pieces.at(-1).push(point);
  }
  return pieces;
}
