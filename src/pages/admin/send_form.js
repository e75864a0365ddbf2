// A form that sends data: text or JSON, and for rooms the event's name, in whose name, and whether it is stored.

import { make } from "../shared/dom.js";
import { explain } from "./api.js";
import { typedJson } from "./json.js";

let nth = 0;

// `send(body)` gets the JSON text of the request, and resolves to what is then told.
export function sendForm({ label, hasEvent, send }) {
  const id = `send-${(nth += 1)}`;
  const data = make("textarea", { rows: 2, maxLength: 1_000_000, spellcheck: false, "aria-label": `${label}, data` });
  const kind = (value, text, checked) => make("label", {}, make("input", { type: "radio", name: id, value, checked }), text);
  const kinds = make("fieldset", {}, make("legend", { className: "hidden" }, "Data is"), kind("text", "Text", true), kind("json", "JSON"));
  const event = make("input", { maxLength: 64, spellcheck: false, autocomplete: "off", placeholder: "message" });
  const from = make("input", { maxLength: 128, spellcheck: false, autocomplete: "off", placeholder: "a back end" });
  const ephemeral = make("input", { type: "checkbox" });
  const field = (text, input) => make("label", {}, text, input);
  const options = [kinds, ...(hasEvent ? [field("Event", event), field("As user", from), make("label", {}, ephemeral, "Not stored")] : [])];
  const button = make("button", { className: "primary" }, "Send");
  const outcome = make("p", { className: "outcome", role: "status" });
  const form = make("form", { className: "send", "aria-label": label }, data, button, make("div", { className: "options" }, ...options), outcome);
  const isJson = () => form.elements[id].value === "json";
  const hint = () => (data.placeholder = isJson() ? '{ "text": "hello" }' : `${label}: sent as { "text": "…" }`);

  function body() {
    const fields = [`"data":${typedJson(data.value, isJson())}`];
    const optional = hasEvent ? { event: event.value.trim(), from: from.value.trim(), ephemeral: ephemeral.checked } : {};
    for (const [name, value] of Object.entries(optional)) if (value) fields.push(`"${name}":${JSON.stringify(value)}`);
    return `{${fields.join(",")}}`;
  }

  const say = (text, isError) => {
    outcome.classList.toggle("error", isError);
    outcome.textContent = text;
  };
  kinds.onchange = hint;
  hint();
  data.onkeydown = (pressed) => {
    if (pressed.key !== "Enter" || pressed.shiftKey || pressed.isComposing || isJson()) return;
    pressed.preventDefault();
    form.requestSubmit();
  };
  form.onsubmit = async (submitted) => {
    submitted.preventDefault();
    if (button.ariaBusy === "true") return;
    if (!data.value.trim()) return data.focus();
    button.ariaBusy = "true";
    try {
      say(await send(body()), false);
      data.value = "";
      data.focus();
    } catch (error) {
      say(error instanceof SyntaxError ? `This is not JSON: ${error.message}` : explain(error), true);
    } finally {
      button.ariaBusy = "false";
    }
  };
  return form;
}
