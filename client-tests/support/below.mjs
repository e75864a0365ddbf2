// A reverse proxy that serves a server below a path of its own, as applications that share a host name have it.

import http from "node:http";
import { defer } from "./scope.mjs";

// Serves `server` below `path`. Resolves to the address of what the server has at its root, without the slash.
export async function below(t, server, path) {
  const send = ({ method, url, headers }) => http.request({ port: server.port, method, path: url.slice(path.length), headers });
  const proxy = http.createServer((request, response) => {
    if (!request.url.startsWith(`${path}/`)) return response.writeHead(404).end();
    const forwarded = send(request).on("response", (answer) => answer.pipe(response.writeHead(answer.statusCode, answer.headers)));
    request.pipe(forwarded).on("error", () => response.destroy());
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  defer(t, () => {
    proxy.close();
    proxy.closeAllConnections();
  });
  return `http://127.0.0.1:${proxy.address().port}${path}`;
}
