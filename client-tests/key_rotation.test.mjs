// Keys of a JSON Web Key Set that are exchanged while clients come and go and others make keys up.

import assert from "node:assert/strict";
import { generateKeyPairSync, sign as signBytes } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";
import { open, upTo } from "./support/clients.mjs";
import { http } from "./support/raw.mjs";
import { defer } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";
import { at } from "./support/tokens.mjs";

const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

// A key pair by the name `kid`.
function pair(kid) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  // Node 20 can hang forever while it exports a key as JWK, so the JWK is made here: the raw key is the end of the DER.
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const jwk = { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url"), kid, alg: "EdDSA", use: "sig" };
  const token = (claims, name = kid) => {
    const signed = `${part({ alg: "EdDSA", kid: name })}.${part({ exp: at(3600), ...claims })}`;
    return `${signed}.${signBytes(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  };
  return { jwk, token };
}

// A server of the keys in `keys`, which counts how often it is asked.
async function keyServer(t) {
  const served = { keys: [], asked: 0 };
  const server = createServer((_, response) => {
    served.asked += 1;
    response.setHeader("content-type", "application/json").end(JSON.stringify({ keys: served.keys.map(({ jwk }) => jwk) }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  defer(t, () => server.close());
  served.url = `http://127.0.0.1:${server.address().port}/keys`;
  return served;
}

test("while keys are exchanged under load no good token is refused, and the key server is hardly asked", async (t) => {
  const served = await keyServer(t);
  let current = pair("key-0");
  served.keys = [current];
  const server = await serve(t, { "auth-jwks": served.url, "auth-jwks-refresh": "5m" });
  const began = Date.now();
  let over = false;
  defer(t, () => (over = true));

  // Those who make keys up, all the time.
  let refused = 0;
  const foes = upTo(5).map(async (foe) => {
    const own = pair("own");
    for (let n = 0; !over; n += 1) {
      const token = own.token({ sub: "mallory" }, `made-up-${foe}-${n}`);
      const { status } = await http(server, "/poll/r?wait=0", { headers: { authorization: `Bearer ${token}` } });
      assert.ok([401, 429, 503].includes(status), `${status}`);
      refused += 1;
    }
  });

  const asks = async (user) => {
    const { status, body } = await http(server, "/poll/r?wait=0", { headers: { authorization: `Bearer ${current.token({ sub: user })}` } });
    assert.equal(status, 200, body);
  };
  for (const number of upTo(4)) {
    const next = pair(`key-${number}`);
    served.keys = [next, current];
    current = next;
    // Tokens of the new key come at once, by every way.
    await Promise.all([
      ...upTo(10).map((n) => asks(`user${n}`)),
      ...upTo(5).map(async (n) => {
        const client = await open(t, server, { token: current.token({ sub: `user${n}` }) });
        await client.ok("message", { room: "r", data: number });
        client.close();
      }),
    ]);
  }
  over = true;
  await Promise.all(foes);
  const seconds = (Date.now() - began) / 1000;
  t.diagnostic(`${served.asked} readings in ${seconds.toFixed(1)} s, ${refused} tokens with keys that were made up`);
  assert.ok(served.asked <= seconds + 4, `${served.asked} readings in ${seconds} s`);
});
