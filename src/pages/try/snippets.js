// The lines that connect one's own client to exactly this server, and this room.

import { addressOf, config, freeName, serves } from "./address.js";
import { byId, copyButton, make, setText } from "../shared/dom.js";

const blocks = {};

export function mountSnippets() {
  const section = byId("snippets");
  if (config.socketio) {
    section.append(group("Stock socket.io-client", true, block("program"), block("run")));
  }
  if (serves("rest")) section.append(group("REST, with curl", !config.socketio, block("curl")));
}

function group(title, open, ...parts) {
  return make("details", { name: "snippet", open }, make("summary", {}, make("h3", {}, title)), ...parts);
}

function block(name) {
  const code = make("pre", { tabIndex: 0 });
  const label = make("p", { className: "label" });
  const group = make("div", { className: "code", role: "group" }, label, copyButton(code), code);
  blocks[name] = { code, label, group };
  return group;
}

export function renderSnippets({ rooms, identity }) {
  const user = rooms.me?.user ?? "";
  const name = freeName([user, "alice", "bob"]);
  const file = `${name}.mjs`;
  fill("program", `Save as ${file}`, program(identity, name, rooms.active.name));
  fill("run", "Run it beside this page", `npm install socket.io-client && node ${file}`);
  fill("curl", "Stored, numbered, and here at once", curl(identity, freeName([user, "alice", "bob", name]), rooms.active.name));
}

function fill(name, label, text) {
  if (!blocks[name]) return;
  setText(blocks[name].label, label);
  blocks[name].group.setAttribute("aria-label", label);
  setText(blocks[name].code, text);
}

// With a token the client is whom the token names.
function program({ token }, user, room) {
  const path = new URL(`.${config.socketio}`, document.baseURI).pathname;
  const auth = token ? `token: ${JSON.stringify(token)}` : `user: ${JSON.stringify(user)}`;
  return `import { io } from "socket.io-client";

const room = ${JSON.stringify(room)};
const socket = io(${JSON.stringify(location.origin)}, {${path === "/socket.io" ? "" : `\n  path: ${JSON.stringify(path)},`}
  auth: { ${auth} },
});
socket.on("connect_error", console.error);
socket.on("message", ({ seq, from, data }) =>
  console.log(seq, from?.user, data.text));

await socket.emitWithAck("join", room);
const data = { text: "Hello from Node.js" };
const sent = await socket.emitWithAck(
  "message", { room, data });
console.log(sent);
`;
}

function curl({ token }, user, room) {
  // A quote would end the shell's.
  const path = `v1/rooms/${encodeURIComponent(room).replaceAll("'", "%27")}/messages`;
  const key = token ? ` \\\n  -H 'Authorization: Bearer ${token.replaceAll("'", "")}'` : "";
  return `curl '${addressOf(path, token ? {} : { user })}'${key} \\
  -H 'Content-Type: application/json' \\
  -d '{ "data": { "text": "Hello from curl" } }'`;
}
