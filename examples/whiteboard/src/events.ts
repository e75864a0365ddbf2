// What travels: finished strokes are messages, which the server keeps in one order for all; what is under way is ephemeral.

import type { ListedMessageOf } from "@switchboard/client";

/** x and y by turns, in units of the board. */
export type Points = number[];

export interface Stroke {
  points: Points;
  colour: string;
  width: number;
}

export type Events = {
  /** Durable. Its message's `id` is the stroke's. */
  stroke: Stroke;
  /** Durable: takes back a stroke of the same user. */
  undo: { id: string };
  /** Durable: nothing before it is shown. */
  clear: null;
  /** Ephemeral: where a pointer is; `null` when it has left the board. */
  cursor: { x: number; y: number } | null;
  /** Ephemeral: more points of a stroke that is being drawn; none: it was given up. */
  drawing: Stroke & { id: string };
};

export type BoardMessage = ListedMessageOf<Events>;

export interface BoardStroke {
  id: string;
  user: string | undefined;
  stroke: Stroke;
}

/** The strokes that a list of messages leaves on the board, in their order. The same list makes the same picture for everybody. */
export function strokesOf(messages: readonly BoardMessage[]): BoardStroke[] {
  const strokes = new Map<string, BoardStroke>();
  for (const { event, id, from, data, state } of messages) {
    const user = from?.user;
    if (state === "failed") continue;
    if (event === "clear") strokes.clear();
    else if (event === "stroke") strokes.set(id, { id, user, stroke: data });
    else if (event === "undo" && strokes.get(data.id)?.user === user) strokes.delete(data.id);
  }
  return [...strokes.values()];
}

/** Whether older messages could still show: not behind a `clear`. */
export const needsOlder = (messages: readonly BoardMessage[]) => !messages.some(({ event }) => event === "clear");
