// Draws strokes: the finished ones on one canvas, to which new ones are added, and those under way on another above it.

import type { BoardStroke, Points, Stroke } from "./events";
import { HEIGHT, type View, WIDTH } from "./view";

// Data of messages are the same objects for as long as they are in the list.
const paths = new WeakMap<Stroke, Path2D>();

export class Canvas {
  #finished: CanvasRenderingContext2D;
  #underWay: CanvasRenderingContext2D;
  #drawn: BoardStroke[] = [];

  constructor(
    finished: HTMLCanvasElement,
    underWay: HTMLCanvasElement,
    readonly view: View,
  ) {
    this.#finished = finished.getContext("2d")!;
    this.#underWay = underWay.getContext("2d")!;
  }

  /** Shows these strokes. What is drawn already is only drawn anew if it is not the beginning of them. */
  draw(strokes: BoardStroke[]) {
    const goesOn = this.#drawn.every(({ id }, i) => strokes[i]?.id === id);
    const more = goesOn ? strokes.slice(this.#drawn.length) : strokes;
    if (!goesOn) this.#clear(this.#finished);
    for (const { stroke } of more) drawStroke(this.#finished, stroke);
    this.#drawn = strokes;
    this.#finished.canvas.dataset.strokes = String(strokes.length);
  }

  drawUnderWay(strokes: Iterable<Stroke>) {
    this.#clear(this.#underWay);
    for (const stroke of strokes) drawStroke(this.#underWay, stroke);
  }

  /** The window or the view has changed. Strokes are drawn from their points, so nothing gets blurred or lost. */
  refresh() {
    const { clientWidth, clientHeight } = this.#finished.canvas;
    for (const { canvas } of [this.#finished, this.#underWay]) {
      canvas.width = clientWidth * devicePixelRatio;
      canvas.height = clientHeight * devicePixelRatio;
    }
    this.#clear(this.#finished);
    this.#clear(this.#underWay);
    for (const { stroke } of this.#drawn) drawStroke(this.#finished, stroke);
  }

  #clear(context: CanvasRenderingContext2D) {
    context.resetTransform();
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    const { x, y, scale } = this.view;
    context.scale(devicePixelRatio, devicePixelRatio);
    context.translate(x, y);
    context.scale(scale, scale);
    if (context === this.#finished) drawSheet(context);
    context.lineCap = context.lineJoin = "round";
  }
}

function drawSheet(context: CanvasRenderingContext2D) {
  context.save();
  context.fillStyle = "#fff";
  context.shadowColor = "rgb(35 40 60 / 0.16)";
  context.shadowBlur = 24;
  context.shadowOffsetY = 4;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  context.restore();
}

function drawStroke(context: CanvasRenderingContext2D, stroke: Stroke) {
  const path = paths.get(stroke) ?? pathOf(stroke.points);
  paths.set(stroke, path);
  context.strokeStyle = stroke.colour;
  context.lineWidth = stroke.width;
  context.stroke(path);
}

// A smooth line: each point pulls a curve from the middle before it to the middle behind it.
function pathOf(points: Points) {
  const path = new Path2D();
  const at = (i: number) => [points[2 * i]!, points[2 * i + 1]!] as const;
  const last = points.length / 2 - 1;
  path.moveTo(...at(0));
  for (let i = 1; i < last; i += 1) {
    const [[x, y], [nextX, nextY]] = [at(i), at(i + 1)];
    path.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  path.lineTo(...at(last));
  return path;
}
