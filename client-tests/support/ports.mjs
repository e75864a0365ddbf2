// Ports that are free now, for processes that cannot be told to take any.

import { createServer } from "node:net";

export async function freePorts(n) {
  const listeners = Array.from({ length: n }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.once("listening", resolve))));
  const ports = listeners.map((listener) => listener.address().port);
  await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.close(resolve))));
  return ports;
}
