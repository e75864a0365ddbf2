// Two users of a room behind the proxy. `npm install socket.io-client`, then `node chat.mjs`, and stop a node meanwhile.

import { io } from "socket.io-client";

const url = process.argv[2] ?? "http://127.0.0.1:3000";

function enter(user, options) {
  const socket = io(url, { auth: { user }, ...options });
  socket.on("session", ({ node }) => console.log(`${user} is at ${node}${socket.recovered ? ", recovered" : ""}`));
  socket.on("connect", () => socket.recovered || socket.emit("join", "lobby"));
  socket.on("message", ({ seq, from, data }) => console.log(`  ${user} hears #${seq} of ${from.user}: ${data}`));
  return socket;
}

// One that may poll, keeping the proxy's cookie, and one that need not.
const alice = enter("alice", { withCredentials: true });
enter("bob", { transports: ["websocket"] });

// Whoever sends before it has joined does not hear it.
await alice.emitWithAck("join", "lobby");
for (let n = 1; ; n += 1) {
  const id = crypto.randomUUID();
  // The same id again is the same message, so that nothing is said twice.
  while (!(await alice.timeout(2_000).emitWithAck("message", { room: "lobby", id, data: n }).catch(() => null))?.ok);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
}
