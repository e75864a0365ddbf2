// A plan on the board of examples/whiteboard, for its pictures: drawn by three users, and always the same.

import { Caller } from "./web.mjs";

const INK = "#1d2433";
const BLUE = "#2563eb";
const GREEN = "#16855b";
const RED = "#d6336c";
const AMBER = "#e08a00";

// Letters as paths: x to the right, the base line at 10.
const LETTERS = {
  a: "M7 5C5 3.4 1.5 4.4 1.5 7.2C1.5 10.4 5.5 10.8 7 7.8M7 4.4C6.9 7 6.9 9.6 8.2 9.9",
  b: "M1.5 0L1.5 10M1.5 7C2.5 3.6 7 3.6 7 7C7 10.6 2.6 10.8 1.5 8.4",
  c: "M7 5.2C5.2 3.4 1.5 4.2 1.5 7.1C1.5 10.2 5.2 10.7 7.2 8.9",
  d: "M7 5.4C5.5 3.6 1.5 4 1.5 7.2C1.5 10.6 5.8 10.6 7 7.6M7 0L7 10",
  e: "M1.6 7.2L7 6.7C6.8 3.6 1.5 3.4 1.5 7.2C1.5 10.6 5.4 10.8 7.2 8.9",
  h: "M1.5 0L1.5 10M1.5 6.8C3 3.4 6.8 3.6 6.8 6.6L6.8 10",
  i: "M1.5 4.4L1.5 10M1.5 1.6L1.5 1.9",
  k: "M1.5 0L1.5 10M6.5 4.2L1.6 7.4L6.8 10",
  l: "M1.5 0L1.5 9C1.5 10 2.4 10.2 3 9.8",
  n: "M1.5 4.4L1.5 10M1.5 6.8C3 3.4 6.8 3.6 6.8 6.6L6.8 10",
  o: "M4.2 4.1C0.6 4.1 0.6 10.1 4.2 10.1C7.8 10.1 7.8 4.1 4.2 4.1",
  p: "M1.5 4.4L1.5 14M1.5 6.8C2.5 3.6 7 3.6 7 7C7 10.6 2.6 10.8 1.5 8.4",
  r: "M1.5 4.4L1.5 10M1.5 7C2.2 5 3.8 4 5.4 4.6",
  s: "M6 5C4.4 3.6 1.8 4 1.9 5.6C2 7.4 6.2 6.7 6.3 8.6C6.3 10.4 3 10.6 1.5 9.2",
  t: "M3.2 1.4L3.2 8.8C3.2 10.2 4.6 10.4 5.8 9.6M1 4.4L5.8 4.4",
  u: "M1.5 4.4L1.5 7.6C1.5 10.6 5.4 10.8 6.8 7.8M6.8 4.4L6.8 10",
  y: "M1.5 4.4L4.4 9.6M7 4.4L3 13.6",
  L: "M1.8 0L1.8 10L7 9.9",
};

// The points of each stroke of a path of M, L and C.
function pointsOf(path) {
  const strokes = [];
  let from;
  for (const [, command, numbers] of path.matchAll(/([MLC])([^MLC]*)/g)) {
    const n = numbers.trim().split(/[\s,]+/).map(Number);
    if (command === "M") strokes.push([(from = n)]);
    else if (command === "L") strokes.at(-1).push(...steps(6, (t) => [0, 1].map((i) => from[i] + t * (n[i] - from[i]))));
    else strokes.at(-1).push(...steps(14, (t) => [0, 1].map((i) => bezier(t, from[i], n[i], n[i + 2], n[i + 4]))));
    from = strokes.at(-1).at(-1);
  }
  return strokes;
}

const steps = (n, at) => Array.from({ length: n }, (_, i) => at((i + 1) / n));
const bezier = (t, a, b, c, d) => (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t * t * c + t ** 3 * d;

// No hand draws a straight line.
const unsteady = ([x, y]) => [x + 1.6 * Math.sin(y / 31 + x / 47), y + 1.6 * Math.sin(x / 37 + y / 53)];

const stroke = (colour, width) => (points) => ({ colour, width, points: points.map(unsteady).flat().map(Math.round) });

function draw(path, colour, width = 7) {
  return pointsOf(path).map(stroke(colour, width));
}

const NARROW = { i: 3.4, l: 4.4, r: 6, t: 6.8, s: 7.6, " ": 5 };

function write(text, x, y, size, colour, width = 6) {
  let at = 0;
  return [...text].flatMap((letter) => {
    const place = ([u, v]) => [x + (left + u - v * 0.12) * size, y + v * size];
    const left = at;
    at += NARROW[letter] ?? 8.4;
    return letter === " " ? [] : pointsOf(LETTERS[letter]).map((points) => stroke(colour, width)(points.map(place)));
  });
}

const box = (x, y, w, h) => `M${x} ${y}L${x + w} ${y + 3}L${x + w - 4} ${y + h}L${x + 3} ${y + h - 3}L${x - 1} ${y - 3}`;
const arrow = (x, y, to) =>
  `M${x} ${y}C${x + 30} ${y - 14} ${to - 40} ${y - 14} ${to} ${y}M${to - 24} ${y - 20}L${to} ${y}L${to - 26} ${y + 14}`;
const tick = (x, y) => `M${x} ${y}L${x + 14} ${y + 18}L${x + 44} ${y - 26}`;

const ALICE = [
  ...write("Launch plan", 120, 90, 9, INK, 9),
  ...draw("M118 214C340 202 560 222 846 206", BLUE, 9),
  ...draw(box(120, 330, 300, 170), INK),
  ...write("sketch", 152, 385, 5, INK),
  ...draw(arrow(445, 415, 580), INK),
  ...draw(box(610, 330, 300, 170), INK),
  ...write("build", 678, 385, 5, INK),
  ...draw(arrow(935, 415, 1070), INK),
  ...draw(box(1100, 330, 300, 170), INK),
  ...write("ship", 1184, 383, 5, INK),
];

const BOB = [
  ...draw("M1090 300C1240 250 1460 300 1446 420C1436 540 1230 560 1120 530C1030 500 1030 330 1150 296", RED, 8),
  ...draw("M1330 262C1318 200 1334 130 1372 84C1410 130 1424 200 1412 262M1330 262L1412 262", RED),
  ...draw("M1326 196L1296 246L1328 238M1416 196L1446 246L1414 238", RED),
  ...draw("M1372 150C1356 150 1356 178 1372 178C1388 178 1388 150 1372 150", BLUE),
  ...draw("M1346 276C1352 296 1350 304 1344 316M1372 276L1372 330M1398 276C1392 296 1394 304 1400 316", AMBER),
];

const CAROL = [
  ...[["tests", 0], ["docs", 1], ["party", 2]].flatMap(([text, i]) => [
    ...draw(box(150, 620 + 100 * i, 44, 44), INK, 6),
    ...write(text, 225, 610 + 100 * i, 5, INK),
    ...(i < 2 ? draw(tick(154, 640 + 100 * i), GREEN, 9) : []),
  ]),
  ...draw("M640 520C690 640 610 690 500 690M524 668L498 690L526 710", GREEN),
  ...draw("M1010 700C960 640 880 690 920 760C945 805 990 830 1010 850C1030 830 1075 805 1100 760C1140 690 1060 640 1010 700", RED, 9),
  ...draw("M1240 640L1262 700L1324 702L1274 740L1292 800L1240 764L1188 800L1206 740L1156 702L1218 700L1240 640", AMBER, 8),
];

export async function drawPlan(server, room) {
  for (const [user, strokes] of Object.entries({ alice: ALICE, carol: CAROL, bob: BOB })) {
    const requests = strokes.map((data) => ({ method: "POST", path: `/v1/rooms/${room}/messages`, body: { event: "stroke", data } }));
    for (let i = 0; i < requests.length; i += 100) {
      await new Caller(server, { user }).ok(200, "POST", "/v1/batch", { body: { requests: requests.slice(i, i + 100) } });
    }
  }
}
