// The log-in: one key, why it is asked for, and when to try again after too many wrong ones.

import { byId } from "../shared/dom.js";
import { CallError, explain, findSession, openSession } from "./api.js";
import { second } from "./format.js";

const form = byId("sign-in").querySelector("form");
const field = byId("key");
const button = form.querySelector("button");
const error = byId("sign-in-error");

export function mountLogIn(enter) {
  form.onsubmit = async (event) => {
    event.preventDefault();
    error.textContent = "";
    button.disabled = true;
    try {
      await openSession(field.value);
      const expiresAt = await findSession();
      if (expiresAt === null) throw new CallError("The key is right, but your browser did not keep the session’s cookie");
      field.value = "";
      button.disabled = false;
      enter(expiresAt);
    } catch (failure) {
      refuse(failure);
    }
  };
}

function refuse(failure) {
  const isPaused = failure.status === 429 && failure.retryAfterMs > 0;
  if (isPaused) pause(failure.retryAfterMs);
  else error.textContent = failure.status === 401 ? "This is not the admin key." : explain(failure);
  button.disabled = isPaused;
  field.select();
}

function pause(ms) {
  error.textContent = `Too many wrong keys. Try again at ${second(Date.now() + ms)}.`;
  setTimeout(() => {
    button.disabled = false;
    error.textContent = "You can try again now.";
  }, ms);
}

export function showLogIn(reason = "") {
  byId("app").hidden = true;
  byId("sign-in").hidden = false;
  document.title = "Log in · Switchboard";
  error.textContent = reason;
  field.focus();
}

export function hideLogIn() {
  byId("sign-in").hidden = true;
  byId("app").hidden = false;
}
