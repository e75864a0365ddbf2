// A network that can break: forwards TCP to the server until it is cut, lost without a word, or frozen.

import { connect, createServer } from "node:net";
import { defer } from "./scope.mjs";

// A network of its own in front of `server` (whatever has a `port`), to be given to a client in its place. Who connects after
// its `server` was changed gets through to the other one.
export async function network(t, server) {
  const made = new Network(server);
  defer(t, () => made.close());
  await made.listen();
  return made;
}

class Network {
  #listener;
  #links = new Set();
  #broken = false;
  #muted = new Set();

  constructor(server) {
    this.server = server;
    this.#listener = createServer((client) => this.#accept(client));
  }

  get port() {
    return this.#listener.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  listen() {
    return new Promise((resolve) => this.#listener.listen(0, "127.0.0.1", resolve));
  }

  // Both ends see their connections break, and nobody gets through until it is mended.
  cut() {
    this.#broken = true;
    for (const { client, server } of this.#links) {
      client.destroy();
      server.destroy();
    }
  }

  // Only the client's end breaks: for the server its connections go on in silence. Nobody gets through until mended.
  lose() {
    this.#broken = true;
    this.freeze();
    for (const { client, server } of this.#links) {
      client.destroy();
      // Read to nowhere, so that it is seen when the server ends it.
      server.resume();
    }
  }

  // What is connected stays so and hears nothing more; only new connections get through.
  freeze() {
    for (const link of this.#links) {
      link.silent = true;
      for (const [from, to] of [[link.client, link.server], [link.server, link.client]]) {
        from.unpipe(to);
        from.pause();
      }
    }
  }

  // What clients send gets through, and what would come back is lost, until it is mended.
  mute() {
    for (const link of this.#links) {
      this.#muted.add(link);
      link.server.unpipe(link.client);
      link.server.resume();
    }
  }

  mend() {
    this.#broken = false;
    for (const { client, server } of this.#muted) server.pipe(client);
    this.#muted.clear();
  }

  // How many connections the server still believes in.
  get connections() {
    return this.#links.size;
  }

  close() {
    this.cut();
    return new Promise((resolve) => this.#listener.close(resolve));
  }

  #accept(client) {
    if (this.#broken) {
      client.on("error", () => {});
      client.destroy();
      return;
    }
    const server = connect(this.server.port, "127.0.0.1");
    const link = { client, server, silent: false };
    this.#links.add(link);
    for (const end of [client, server]) {
      end.setNoDelay(true);
      end.on("error", () => {});
    }
    client.on("close", () => link.silent || server.destroy());
    server.on("close", () => {
      this.#links.delete(link);
      client.destroy();
    });
    client.pipe(server);
    server.pipe(client);
  }
}
