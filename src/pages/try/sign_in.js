// Asks who you are: a name where the server is open, a token where it is not.

import { config, serves } from "./address.js";
import { byId, copyButton } from "../shared/dom.js";

const page = byId("sign-in");
const form = page.querySelector("form");
const button = form.querySelector("button");
const field = byId(config.open ? "name" : "token");

export function mountSignIn(onSignIn) {
  byId("name-field").hidden = !config.open;
  byId("token-field").hidden = byId("token-help").hidden = config.open;
  const command = byId("token-command");
  command.before(copyButton(command));
  field.required = true;
  form.onsubmit = (event) => {
    event.preventDefault();
    // Names have no white space, and a terminal breaks a long token into lines.
    const value = field.value.trim().replace(/\s+/g, config.open ? "-" : "");
    if (!value) return;
    byId("sign-in-error").textContent = "";
    button.disabled = true;
    onSignIn(config.open ? { user: value } : { token: value });
  };
}

export function showSignIn(identity, reason = "") {
  page.hidden = false;
  field.value = identity?.user ?? identity?.token ?? (config.open ? "alice" : "");
  byId("sign-in-error").textContent = reason;
  button.disabled = !serves("websocket");
  field.focus();
  field.select();
}
