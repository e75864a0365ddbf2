// A native dialog that asks before something is done, says what is being done, and stays open if it fails.

import { bdi, byId, make } from "../shared/dom.js";
import { explain } from "./api.js";

let nth = 0;

// Opens a dialog with `content` (nodes or strings), `buttons` of its own and, if there is an `action`, a button that does it: the action
// resolves to what is then told. `ready()` says whether it may be done yet.
export function openDialog({ title, content, confirm, action, ready = () => true, isDanger = false, buttons = [], signal }) {
  const id = `dialog-${(nth += 1)}`;
  const error = make("p", { className: "error", role: "alert" });
  const cancel = make("button", { type: "button", onclick: () => dialog.close() }, action ? "Cancel" : "Close");
  const doIt = make("button", { className: isDanger ? "primary danger" : "primary" }, confirm ?? "");
  const bar = make("p", { className: "buttons" }, ...buttons, cancel, ...(action ? [doIt] : []));
  const form = make("form", {}, make("h2", { id }, title), ...content, error, bar);
  const dialog = make("dialog", { "aria-labelledby": id }, form);
  const refresh = () => (doIt.disabled = !ready());
  form.oninput = refresh;
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (!action || doIt.disabled) return;
    doIt.disabled = true;
    error.textContent = "";
    try {
      const told = await action();
      dialog.close();
      tell(told);
    } catch (failure) {
      error.textContent = explain(failure);
      refresh();
    }
  };
  const end = () => dialog.close();
  signal?.addEventListener("abort", end);
  dialog.onclose = () => {
    signal?.removeEventListener("abort", end);
    dialog.remove();
    // What opened it may be gone by now.
    if (document.activeElement === document.body) byId("title").focus();
  };
  refresh();
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

const HIDE_MS = 8000;
let hiding;

// Says what has been done, for a while.
export function tell(content) {
  clearTimeout(hiding);
  byId("notice").replaceChildren(...[content].flat());
  hiding = setTimeout(() => byId("notice").replaceChildren(), HIDE_MS);
}

export const name = (text) => make("strong", {}, bdi(text));
