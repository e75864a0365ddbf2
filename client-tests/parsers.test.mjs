// A client with another parser than Socket.IO's default one cannot be understood: it is told so, once, and stays away.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Emitter } from "@socket.io/component-emitter";
import { Manager } from "sio4";
import msgpack from "socket.io-msgpack-parser";
import { Raw, closings } from "./support/raw.mjs";
import { defer, Journal } from "./support/scope.mjs";
import { serve } from "./support/server.mjs";

// As Socket.IO's documentation shows how to write one.
class Decoder extends Emitter {
  add(text) {
    this.emit("decoded", JSON.parse(text));
  }
  destroy() {}
}
class Encoder {
  encode(packet) {
    return [JSON.stringify(packet)];
  }
}
const PARSERS = { "socket.io-msgpack-parser": msgpack, "a parser of its own that writes JSON": { Encoder, Decoder } };
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

for (const [name, parser] of Object.entries(PARSERS)) {
  test(`a client with ${name} is told to remove it, once for each namespace, and stays away`, async (t) => {
    const server = await serve(t, { "socketio-namespaces": "/,/chat" });
    for (const transports of TRANSPORTS) {
      const manager = new Manager(server.url, { parser, transports, reconnectionDelay: 1, reconnectionDelayMax: 5 });
      const events = new Journal("events of the manager");
      for (const event of ["open", "reconnect_attempt", "close"]) manager.on(event, () => events.add(event));
      const refusals = new Journal("refusals");
      const sockets = ["/", "/chat"].map((namespace) => {
        const socket = manager.socket(namespace, { auth: { token: "t", nsp: "/x" } });
        socket.on("connect_error", ({ message, data }) => refusals.add([namespace, message, data]));
        defer(t, () => socket.close());
        return socket.connect();
      });
      const told = (await refusals.count(2)).toSorted();
      assert.deepEqual(told.map(([namespace, message]) => [namespace, message]), [["/", "bad_request"], ["/chat", "bad_request"]]);
      for (const [, , { code, message }] of told) {
        assert.equal(code, "bad_request");
        assert.match(message, /remove the parser option/);
      }
      // It closes its connection itself, and does not come back.
      await events.until((events) => events.includes("close"), "a close");
      assert.deepEqual(events.items, ["open", "close"]);
      assert.deepEqual(sockets.map(({ active }) => active), [false, false]);
    }
    const lines = server.log.match(/the client uses another parser/g);
    assert.equal(lines.length, TRANSPORTS.length, "one line in the log for each client");
    assert.equal(await closings(server, "malformed"), 0);
  });
}

test("a client that stays after it was told that it has another parser is closed", async (t) => {
  const server = await serve(t, { "socketio-connect-timeout": "200ms" });
  const raw = new Raw(t, server);
  await raw.frame("0{");
  const [connect] = new msgpack.Encoder().encode({ type: 0, data: undefined, nsp: "/" });
  raw.send(connect);
  await raw.frame("b");
  await raw.ended();
});
