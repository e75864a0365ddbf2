// CodeMirror on the text of a document, with the others' cursors and an undo of one's own.

import { defaultKeymap } from "@codemirror/commands";
import { defineLanguageFacet, HighlightStyle, Language, syntaxHighlighting } from "@codemirror/language";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { GFM, parser } from "@lezer/markdown";
import { yCollab, ySyncFacet, yUndoManagerKeymap } from "y-codemirror.next";
import { UndoManager } from "yjs";
import type { OpenDocument } from "./document";
import { labelsInside } from "./labels";

const markdown = new Language(defineLanguageFacet(), parser.configure(GFM), [], "markdown");

const looks = HighlightStyle.define([
  { tag: tags.heading1, class: "heading heading-1" },
  { tag: tags.heading2, class: "heading heading-2" },
  { tag: tags.heading, class: "heading" },
  { tag: tags.strong, fontWeight: "700" },
  { tag: tags.emphasis, fontStyle: "italic" },
  { tag: tags.strikethrough, textDecoration: "line-through" },
  { tag: tags.monospace, class: "code" },
  { tag: tags.quote, class: "quote" },
  { tag: [tags.link, tags.url], class: "link" },
  { tag: [tags.processingInstruction, tags.contentSeparator], class: "mark" },
]);

/** Shows a document in `parent`. */
export function createEditor(parent: HTMLElement, { text, awareness }: OpenDocument) {
  const undoManager = new UndoManager(text);
  const view = new EditorView({
    parent,
    doc: text.toString(),
    extensions: [
      yCollab(text, awareness, { undoManager }),
      keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
      markdown,
      syntaxHighlighting(looks),
      labelsInside,
      placeholder("Write here. Whoever opens this address sees it as you type."),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": "Text", tabindex: "0", spellcheck: "true", autocapitalize: "sentences" }),
    ],
  });
  return {
    undoManager,
    focus: () => view.focus(),
    /** Goes to somebody's cursor, if they have one. */
    goTo(cursor: any) {
      if (!cursor?.head) return;
      const { pos } = view.state.facet(ySyncFacet).fromYPos(cursor.head);
      view.dispatch({ selection: { anchor: pos }, effects: EditorView.scrollIntoView(pos, { y: "center" }) });
      view.focus();
    },
    close() {
      view.destroy();
      undoManager.destroy();
    },
  };
}
