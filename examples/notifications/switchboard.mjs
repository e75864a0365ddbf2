// What a back end needs of Switchboard: tokens for its pages, and one REST call. Any language can do it.

import { createHmac } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const { SWITCHBOARD_URL: url, AUTH_SECRET: secret, API_KEY: key } = process.env;

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

// A JSON Web Token (HS256) with which a page of `user` may connect for ten minutes; the client asks for the next one in time. Without
// any room it has only the user's own notifications.
export function tokenFor(user) {
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + 600, rooms: [] };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

// Sends `user` a notification, and resolves once it is stored. The same `id` again is the same notification, so that trying again is safe.
export async function notify(user, id, data) {
  for (let wait = 250; ; wait = Math.min(2 * wait, 10_000)) {
    const status = await post(`/v1/users/${encodeURIComponent(user)}/notifications`, { id, data });
    if (status === 200 || status === 201) return;
    if (status !== undefined && status < 500 && status !== 429) throw new Error(`the notification was refused with ${status}`);
    await pause(wait);
  }
}

// The status of the response; `undefined` if there was none.
async function post(path, body) {
  try {
    const response = await fetch(url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return undefined;
  }
}
