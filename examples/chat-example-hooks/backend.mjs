// The back end of Socket.IO's chat, for hooks of Switchboard: `node backend.mjs [PORT]`, with Node.js alone.

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const { SWITCHBOARD_URL = "http://127.0.0.1:3000", API_KEY = "", HOOK_SECRET_FILE = "secret" } = process.env;
const key = Buffer.from(readFileSync(HOOK_SECRET_FILE, "utf8").trim().replace("whsec_", ""), "base64");

// Whether Switchboard has sent this, in the last five minutes.
function isSigned({ "webhook-id": id, "webhook-timestamp": time, "webhook-signature": given = "" }, body) {
  const signed = Buffer.from(`v1,${createHmac("sha256", key).update(`${id}.${time}.${body}`).digest("base64")}`);
  const isKnown = given.split(" ").some((each) => each.length === signed.length && timingSafeEqual(Buffer.from(each), signed));
  return isKnown && Math.abs(Date.now() / 1000 - time) < 300;
}

const ask = (path, more) => fetch(SWITCHBOARD_URL + path, { headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" }, ...more });

// How many have a name: they are the members of the room "chat".
async function count() {
  const response = await ask("/v1/rooms/chat");
  return response.ok ? (await response.json()).users : 0;
}

const toOthers = (...event) => ({ emit: event, to: "all", except: "caller" });

// What is replied to an event of a client; `state` is what the client's connection keeps.
async function answer({ event, args, state }) {
  if (event === "add user") {
    if (state) return {};
    const user = { username: String(args[0]) };
    const numUsers = (await count()) + 1;
    return { state: user, do: [{ join: "chat" }, { join: `@${encodeURIComponent(user.username)}` }, { emit: ["login", { numUsers }] }, toOthers("user joined", { ...user, numUsers })] };
  }
  if (!state) return { deny: { code: "bad_request", message: "add a user first" } };
  if (event === "new message") return { do: [toOthers(event, { ...state, message: args[0] })] };
  return { do: [toOthers(event, state)] }; // "typing" and "stop typing"
}

// What is heard of members who have left: each was alone in a room that has the name.
async function hear({ room }) {
  const emit = ["user left", { username: decodeURIComponent(room.slice(1)), numUsers: await count() }];
  await ask("/v1/emit", { method: "POST", body: JSON.stringify({ emit, to: "all" }) });
}

createServer(async (request, response) => {
  let body = "";
  for await (const part of request.setEncoding("utf8")) body += part;
  const status = request.method === "POST" && isSigned(request.headers, body) ? 200 : 401;
  const { events, ...call } = status === 200 ? JSON.parse(body) : { events: [] };
  for (const event of events ?? []) if (event.type === "member.left") await hear(event);
  const reply = events ? {} : await answer(call);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(reply));
}).listen(Number(process.argv[2] ?? 8000), "127.0.0.1");
