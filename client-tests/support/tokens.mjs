// Signs the JSON Web Tokens (RFC 7519, HS256) that the tests present.

import { createHmac } from "node:crypto";

export const SECRET = "a secret of thirty-two bytes, or more";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

// Seconds since the Unix epoch, `seconds` from now.
export const at = (seconds) => Math.floor(Date.now() / 1000) + seconds;

// A token for `claims`, good for an hour unless they say otherwise.
export function sign(claims, secret = SECRET) {
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: at(3600), ...claims })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
