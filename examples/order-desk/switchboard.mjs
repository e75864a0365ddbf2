// What a back end needs to be called by Switchboard, and to call it: a server that verifies signatures, and one REST call.

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const { SWITCHBOARD_URL = "http://127.0.0.1:3000", API_KEY = "", BACKEND_PORT = "8070", HOOK_SECRET_FILE = "secret" } = process.env;
const key = Buffer.from(readFileSync(HOOK_SECRET_FILE, "utf8").trim().replace("whsec_", ""), "base64");

// Whether Switchboard has sent this, in the last five minutes.
function isSigned({ "webhook-id": id, "webhook-timestamp": time, "webhook-signature": given = "" }, body) {
  const signed = Buffer.from(`v1,${createHmac("sha256", key).update(`${id}.${time}.${body}`).digest("base64")}`);
  const isKnown = given.split(" ").some((each) => each.length === signed.length && timingSafeEqual(Buffer.from(each), signed));
  return isKnown && Math.abs(Date.now() / 1000 - time) < 300;
}

// Serves POSTs: `routes` are functions by path, which return or resolve to what is replied. One that fails is replied to with 500: the page
// asks again, and a batch is sent again.
export function serve(routes) {
  const reply = async ({ url, headers }, body) => {
    if (!routes[url]) return [404, {}];
    return isSigned(headers, body) ? [200, await routes[url](JSON.parse(body))] : [401, {}];
  };
  const failed = (error) => {
    console.error(error.message);
    return [500, {}];
  };
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request.setEncoding("utf8")) body += part;
    const [status, value] = await reply(request, body).catch(failed);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  });
  const say = () => console.log(`The back end: http://127.0.0.1:${BACKEND_PORT}, process ${process.pid}`);
  server.listen(Number(BACKEND_PORT), "127.0.0.1", say);
}

export async function post(path, body) {
  const headers = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" };
  const response = await fetch(SWITCHBOARD_URL + path, { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(2_000) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
}
