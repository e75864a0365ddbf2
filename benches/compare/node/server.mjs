// Socket.IO's own server with the events of the other servers: `join` and `message`, both acknowledged.
//
// `--recovery` switches connection state recovery on; `--redis URL` connects it to other nodes; `--tls FOLDER` serves TLS with the cert.pem
// and key.pem there. Prints its address.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Server } from "socket.io";

const [, , option, value] = process.argv;
const pem = (name) => readFileSync(`${value}/${name}.pem`);
const tls = option === "--tls";
const http = tls ? createTlsServer({ cert: pem("cert"), key: pem("key") }) : createServer();
const io = new Server(http, { serveClient: false, ...(option === "--recovery" && { connectionStateRecovery: {} }) });

if (option === "--redis") {
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const { createClient } = await import("redis");
  const [publisher, subscriber] = [createClient({ url: value }), createClient({ url: value })];
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

let seq = 0;

// Of the form and size of Switchboard's message.
function message(room, data) {
  seq += 1;
  return {
    room, id: "01a1fe43-56cd-7457-a913-1ccf91cbce8f", seq, event: "message",
    from: { user: "sender" }, data, ts: Date.now(),
  };
}

io.on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack({ ok: true });
  });
  socket.on("message", ({ room, data }, ack) => {
    // With connection state recovery Socket.IO adds an offset of its own.
    const offset = option === "--recovery" ? [] : [`${seq}~`];
    io.to(room).emit("message", message(room, data), ...offset);
    ack({ ok: true });
  });
});

// All clients may come at once; Node's own backlog of 511 would measure how TCP tries again.
http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => console.log(`node: http${tls ? "s" : ""}://127.0.0.1:${http.address().port}`));
