// Ports for processes that are told which to take, or that come back on the one they had. They are this process's until it ends:
// files of tests run at the same time. Nobody else is given them by chance, as they are below those that systems give out.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

// Above the last one that `fetch` refuses, 10080.
const [FIRST, LAST] = [11_000, 32_767];

// Where each process begins differs, so that there is little to try.
let next = FIRST + ((process.pid * 97) % (LAST - FIRST));

// `n` TCP ports of 127.0.0.1 on which nobody listens.
export async function freePorts(n) {
  const ports = [];
  while (ports.length < n) {
    const port = next;
    next = port === LAST ? FIRST : port + 1;
    if ((await claim(port)) && (await isFree(port))) ports.push(port);
  }
  return ports;
}

// Whether the port is now this process's: its UDP socket of that number, which has no other use, says so to other processes of tests.
async function claim(port) {
  const socket = createSocket("udp4").unref().bind(port, "127.0.0.1");
  const claimed = await once(socket, "listening").then(() => true, () => false);
  if (!claimed) socket.close();
  return claimed;
}

async function isFree(port) {
  const listener = createServer().listen(port, "127.0.0.1");
  const free = await once(listener, "listening").then(() => true, () => false);
  if (free) await new Promise((resolve) => listener.close(resolve));
  return free;
}
