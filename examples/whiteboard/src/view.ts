// Which part of the board the window shows: all of it at first, then what was zoomed and moved to.

export const WIDTH = 1600;
export const HEIGHT = 1000;
const MARGINS = { top: 68, right: 16, bottom: 84, left: 16 };

export interface Place {
  x: number;
  y: number;
}

export class View {
  scale = 1;
  x = 0;
  y = 0;
  #fitted = true;
  #size = { width: 1, height: 1 };

  /** The window has this size now. A view that shows all goes on doing so, another keeps its middle. */
  resize(width: number, height: number) {
    if (!this.#fitted) {
      this.x += (width - this.#size.width) / 2;
      this.y += (height - this.#size.height) / 2;
    }
    this.#size = { width, height };
    if (this.#fitted) this.fit();
  }

  fit() {
    const width = this.#size.width - MARGINS.left - MARGINS.right;
    const height = this.#size.height - MARGINS.top - MARGINS.bottom;
    this.scale = Math.max(0.05, Math.min(width / WIDTH, height / HEIGHT));
    this.x = MARGINS.left + (width - WIDTH * this.scale) / 2;
    this.y = MARGINS.top + (height - HEIGHT * this.scale) / 2;
    this.#fitted = true;
  }

  move(dx: number, dy: number) {
    this.x += dx;
    this.y += dy;
    this.#fitted = false;
  }

  /** Zooms, and what is at `place` of the window stays there. */
  zoom(factor: number, place: Place) {
    const scale = Math.min(8, Math.max(0.1, this.scale * factor));
    const by = scale / this.scale;
    this.x = place.x - (place.x - this.x) * by;
    this.y = place.y - (place.y - this.y) * by;
    this.scale = scale;
    this.#fitted = false;
  }

  toBoard({ x, y }: Place): Place {
    return { x: Math.round((x - this.x) / this.scale), y: Math.round((y - this.y) / this.scale) };
  }

  toWindow({ x, y }: Place): Place {
    return { x: x * this.scale + this.x, y: y * this.scale + this.y };
  }
}

export const isOnBoard = ({ x, y }: Place) => x >= 0 && y >= 0 && x <= WIDTH && y <= HEIGHT;
