// Strokes under way: the own one, which is sent as it grows, and those that others are drawing.

import type { Room } from "@switchboard/client";
import type { Events, Stroke } from "./events";
import { HEIGHT, type Place, WIDTH } from "./view";

/** Twenty a second: an ephemeral event counts half of `limits.messages_per_second`, so this is a fifth of it. */
const EVERY = 50;
/** Points of one message: far below `limits.message_bytes`. A longer stroke is stored as several. */
const MOST = 2_000;
/** What nobody has continued for that long was given up. */
const PATIENCE = 10_000;

interface UnderWay {
  user: string;
  stroke: Stroke;
  seen: number;
}

export class StrokesUnderWay {
  #strokes = new Map<string, UnderWay>();
  #own: { id: string; sent: number } | undefined;
  #cursor: Place | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly room: Room<Events>,
    readonly me: string,
    readonly changed: () => void,
  ) {
    room.on("drawing", ({ id, ...more }, { from }) => {
      if (!from || from.user === me) return;
      if (more.points.length > 0) this.#extend(id, from.user, more);
      else this.finished([id]);
    });
    setInterval(() => this.#forget(({ seen }) => Date.now() - seen > PATIENCE), PATIENCE / 2);
  }

  get all() {
    return [...this.#strokes.values()].map(({ stroke }) => stroke);
  }

  begin(place: Place, { colour, width }: Omit<Stroke, "points">) {
    this.#own = { id: crypto.randomUUID(), sent: 0 };
    // A tap is a dot.
    const points = [...clamped(place), ...clamped(place)];
    this.#extend(this.#own.id, this.me, { points, colour, width });
    this.#schedule();
  }

  extend(places: Place[]) {
    const stroke = this.#ownStroke();
    if (!this.#own || !stroke) return;
    this.#extend(this.#own.id, this.me, { ...stroke, points: places.flatMap(clamped) });
    if (stroke.points.length + 2 * places.length > 2 * MOST) {
      this.end();
      this.begin(places.at(-1)!, stroke);
    }
    this.#schedule();
  }

  /** Publishes the own stroke: now it is stored, in the list at once, and sent again until the server has it. */
  end() {
    const stroke = this.#ownStroke();
    if (!this.#own || !stroke) return;
    // Refused strokes are in the list, as failed.
    this.room.publish("stroke", stroke, { id: this.#own.id }).catch(() => {});
    this.#own = undefined;
  }

  cancel() {
    const stroke = this.#ownStroke();
    if (!this.#own || !stroke) return;
    if (this.#own.sent > 0) this.#publish("drawing", { ...stroke, points: [], id: this.#own.id });
    this.finished([this.#own.id]);
    this.#own = undefined;
  }

  point(place: Place | null) {
    this.#cursor = place;
    this.#schedule();
  }

  leave() {
    this.end();
    this.#cursor = null;
    this.#send();
  }

  /** These are stored, or were given up. */
  finished(ids: Iterable<string>) {
    for (const id of ids) this.#strokes.delete(id);
    this.changed();
  }

  keepOnly(users: Set<string>) {
    this.#forget(({ user }) => user !== this.me && !users.has(user));
  }

  #ownStroke() {
    return this.#own && this.#strokes.get(this.#own.id)?.stroke;
  }

  #extend(id: string, user: string, { points, colour, width }: Stroke) {
    const known = this.#strokes.get(id)?.stroke.points ?? [];
    this.#strokes.set(id, { user, stroke: { points: [...known, ...points], colour, width }, seen: Date.now() });
    this.changed();
  }

  #forget(condition: (stroke: UnderWay) => boolean) {
    for (const [id, stroke] of this.#strokes) if (id !== this.#own?.id && condition(stroke)) this.#strokes.delete(id);
    this.changed();
  }

  #schedule() {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#send();
    }, EVERY);
  }

  // One event, whatever has happened since the last one: points of the stroke, or where the cursor is.
  #send() {
    const stroke = this.#ownStroke();
    if (!this.#own || !stroke) return this.#publish("cursor", this.#cursor);
    const points = stroke.points.slice(this.#own.sent);
    if (points.length === 0) return;
    this.#own.sent = stroke.points.length;
    this.#publish("drawing", { ...stroke, points, id: this.#own.id });
  }

  // Of no use later: it does not matter if it cannot be sent now.
  #publish<Event extends "cursor" | "drawing">(event: Event, data: Events[Event]) {
    this.room.publish(event, data, { ephemeral: true, echo: false }).catch(() => {});
  }
}

const clamped = ({ x, y }: Place) => [Math.min(WIDTH, Math.max(0, x)), Math.min(HEIGHT, Math.max(0, y))];
