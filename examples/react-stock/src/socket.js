// The page's one connection: outside of components, so that they may come and go.

import { io } from "socket.io-client";

const url = import.meta.env.VITE_SWITCHBOARD_URL ?? "http://127.0.0.1:3000";

export const user = new URLSearchParams(location.search).get("user");
export const socket = io(url, { auth: { user }, autoConnect: user !== null });

// Vite replaces this module when it is edited.
import.meta.hot?.dispose(() => socket.close());

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Resolves with the ack, however often the message has to be sent: with the same `id` it is stored once.
async function insist(message) {
  for (;;) {
    const ack = await socket.timeout(10_000).emitWithAck("message", message).catch(() => null);
    if (ack && !ack.error?.retry_after_ms) return ack;
    await pause(ack?.error.retry_after_ms ?? 200);
  }
}

let previous = Promise.resolve();

// Sends one message after the other, so that they are stored in this order.
export const deliver = (message) => (previous = previous.then(() => insist(message)));
