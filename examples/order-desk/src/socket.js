// The page's one connection, by stock socket.io-client, and who it is for: a name of each tab's own.

import { io } from "socket.io-client";

const url = import.meta.env.VITE_SWITCHBOARD_URL ?? "http://127.0.0.1:3000";

export const who = JSON.parse(sessionStorage.getItem("who") ?? "null"); // { user, pin? }
export const socket = io(url, { auth: who, autoConnect: who !== null });

export function signIn(as) {
  if (as) sessionStorage.setItem("who", JSON.stringify(as));
  else sessionStorage.removeItem("who");
  location.reload();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Asks the back end, and again until it has answered: `unavailable` says when. A refusal is an answer, too: { ok: false, error }.
export async function ask(event, payload = {}) {
  for (;;) {
    const ack = await socket.timeout(10_000).emitWithAck(event, payload).catch(() => ({ error: { retry_after_ms: 300 } }));
    if (!ack?.error?.retry_after_ms) return ack;
    await pause(ack.error.retry_after_ms);
  }
}
