// The names at the others' cursors stay inside of the window: where there is no room to the right, a name is to the left.

import { ViewPlugin, type EditorView, type ViewUpdate } from "@codemirror/view";

export const labelsInside = ViewPlugin.fromClass(
  class {
    constructor(view: EditorView) {
      this.place(view);
    }

    update({ view }: ViewUpdate) {
      this.place(view);
    }

    place(view: EditorView) {
      view.requestMeasure({
        key: this,
        read: () => {
          const labels = [...view.dom.querySelectorAll<HTMLElement>(".cm-ySelectionInfo")];
          const edge = view.scrollDOM.getBoundingClientRect().right - 8;
          return labels.map((label) => ({
            label,
            isOutside: label.parentElement!.getBoundingClientRect().left + label.offsetWidth > edge,
          }));
        },
        write: (labels) => labels.forEach(({ label, isOutside }) => label.classList.toggle("at-edge", isOutside)),
      });
    }
  },
);
