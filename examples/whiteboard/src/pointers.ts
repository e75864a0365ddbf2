// Mouse, pen and touch: one pointer draws, two fingers and the wheel move and zoom the view.

import type { Place, View } from "./view";

export interface PointerHandler {
  begin(place: Place): void;
  extend(places: Place[]): void;
  end(): void;
  /** It was not meant as a stroke. */
  cancel(): void;
  /** A pointer is here, whether it draws or not; `null`: no longer. */
  point(place: Place | null): void;
  viewChanged(): void;
}

export function followPointers(stage: HTMLElement, view: View, handler: PointerHandler) {
  const down = new Map<number, Place>();
  let drawing = false;

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, placeOf(event));
    // A second finger means that the first was not for drawing.
    if (drawing && down.size > 1) handler.cancel();
    drawing = down.size === 1;
    if (drawing) handler.begin(view.toBoard(placeOf(event)));
  });

  stage.addEventListener("pointermove", (event) => {
    const place = placeOf(event);
    handler.point(view.toBoard(place));
    if (drawing && down.has(event.pointerId)) {
      // All positions since the last frame, as a fast pen needs them.
      const all = event.getCoalescedEvents?.() ?? [];
      handler.extend((all.length > 0 ? all : [event]).map((each) => view.toBoard(placeOf(each))));
    } else if (down.size === 2 && down.has(event.pointerId)) {
      const before = spanOf(down);
      down.set(event.pointerId, place);
      pinch(view, before, spanOf(down));
      handler.viewChanged();
    }
  });

  const lift = (event: PointerEvent) => {
    if (!down.delete(event.pointerId)) return;
    if (drawing) event.type === "pointercancel" ? handler.cancel() : handler.end();
    drawing = false;
    if (event.pointerType === "touch") handler.point(null);
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  stage.addEventListener("pointerleave", () => down.size === 0 && handler.point(null));

  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) view.zoom(Math.exp(-event.deltaY / 200), placeOf(event));
      else view.move(-event.deltaX, -event.deltaY);
      handler.viewChanged();
    },
    { passive: false },
  );
}

const placeOf = ({ clientX, clientY }: MouseEvent): Place => ({ x: clientX, y: clientY });

interface Span {
  middle: Place;
  length: number;
}

function spanOf(down: Map<number, Place>): Span {
  const [a, b] = [...down.values()] as [Place, Place];
  return { middle: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }, length: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
}

function pinch(view: View, before: Span, now: Span) {
  view.move(now.middle.x - before.middle.x, now.middle.y - before.middle.y);
  view.zoom(now.length / before.length, now.middle);
}
