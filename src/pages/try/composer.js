// Where you write. Others see that you do.

import { byId } from "../shared/dom.js";
import { showLatest } from "./messages.js";

export function mountComposer(app) {
  const form = byId("composer");
  const text = byId("text");
  const button = form.querySelector("button");
  const changed = () => {
    const isEmpty = text.value.trim() === "";
    button.disabled = isEmpty;
    app.rooms?.type(!isEmpty);
  };
  text.oninput = changed;
  text.onblur = () => app.rooms?.type(false);
  text.onkeydown = (event) => {
    // Enter also ends the composition of a word, in Japanese for one.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) form.onsubmit(event);
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    if (text.value.trim() === "") return;
    showLatest();
    app.rooms.say(text.value.trim());
    text.value = "";
    changed();
  };
}
