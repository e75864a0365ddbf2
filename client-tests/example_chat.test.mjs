// examples/chat-example: its events as the front end of Socket.IO's chat example uses them.

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { listen, told } from "./support/chat_example.mjs";
import { MATRIX, open, upTo } from "./support/clients.mjs";
import { away, follow } from "./support/follow.mjs";
import { http } from "./support/raw.mjs";
import { example, serve } from "./support/server.mjs";

const begin = (t) => serve(t, {}, example("chat-example"));

const named = (username) => ({ username });

for (const { v, mode } of MATRIX) {
  test(`client ${v} over ${mode}: users come, talk, type and leave, and the others are told`, async (t) => {
    const server = await begin(t);
    const [alice, bob, guest] = await Promise.all(upTo(3).map(async () => listen(await open(t, server, { v, mode }))));
    alice.socket.emit("add user", "alice");
    await told(alice, ["login", { numUsers: 1 }]);
    bob.socket.emit("add user", "bob");
    await told(bob, ["user joined", { username: "alice", numUsers: 1 }], ["login", { numUsers: 2 }]);
    await told(alice, ["user joined", { username: "bob", numUsers: 2 }]);
    bob.socket.emit("add user", "mallory");
    bob.socket.emit("typing");
    bob.socket.emit("stop typing");
    bob.socket.emit("new message", "hi");
    await told(alice, ["typing", named("bob")], ["stop typing", named("bob")], ["new message", { username: "bob", message: "hi" }]);
    alice.socket.emit("new message", "bye");
    await told(bob, ["new message", { username: "alice", message: "bye" }]);

    // Who has no name hears all, says nothing, and does not count.
    await guest.refused("new message", "psst", "bad_request");
    await guest.refused("typing", undefined, "bad_request");
    guest.socket.disconnect();
    bob.socket.disconnect();
    await told(alice, ["user left", { username: "bob", numUsers: 1 }]);
    await told(
      guest,
      ["user joined", { username: "alice", numUsers: 1 }],
      ["user joined", { username: "bob", numUsers: 2 }],
      ["typing", named("bob")],
      ["stop typing", named("bob")],
      ["new message", { username: "bob", message: "hi" }],
      ["new message", { username: "alice", message: "bye" }],
    );
    assert.deepEqual([alice, bob].flatMap(({ errors }) => errors.items), []);
  });
}

for (const how of ["cut", "lose"]) {
  test(`a user whose network is gone (${how}) returns with its name`, async (t) => {
    const server = await begin(t);
    const alice = listen(await open(t, server));
    alice.socket.emit("add user", "alice");
    await told(alice, ["login", { numUsers: 1 }]);
    const bob = listen(await follow(t, server));
    // The front end gives its name again.
    bob.socket.io.on("reconnect", () => bob.socket.emit("add user", "bob"));
    await bob.ok("add user", "bob");
    await told(bob, ["login", { numUsers: 2 }]);
    await told(alice, ["user joined", { username: "bob", numUsers: 2 }]);
    for (let times = 0; times < 2; times += 1) {
      assert.equal(await away(bob, how), true);
      bob.socket.emit("new message", "here again");
      await told(
        alice,
        ["user left", { username: "bob", numUsers: 1 }],
        ["user joined", { username: "bob", numUsers: 2 }],
        ["new message", { username: "bob", message: "here again" }],
      );
      await told(bob, ["login", { numUsers: 2 }]);
    }
    bob.socket.disconnect();
    await told(alice, ["user left", { username: "bob", numUsers: 1 }]);
  });
}

test("of many that come at once everybody is told the numbers in order", async (t) => {
  const server = await begin(t);
  const watcher = listen(await open(t, server));
  const clients = await Promise.all(upTo(20).map(async () => listen(await open(t, server))));
  const numbers = (client) => client.story.items.map(([, { numUsers }]) => numUsers);
  for (const [i, client] of clients.entries()) client.socket.emit("add user", `user${i}`);
  for (const client of [watcher, ...clients]) {
    await client.story.count(20);
    assert.deepEqual(numbers(client), upTo(20));
  }
  for (const client of clients) client.socket.disconnect();
  await watcher.story.count(40);
  assert.deepEqual(numbers(watcher), [...upTo(20), ...upTo(20).map((n) => 20 - n)]);
});

test("the page of the front end is served from its folder, and nothing else of the machine", async (t) => {
  const server = await begin(t);
  assert.equal((await http(server, "/main.js")).status, 404);
  const folder = join(server.folder, "public");
  await mkdir(folder);
  const files = { "/": ["index.html", "text/html"], "/main.js": ["main.js", "text/javascript"], "/style.css": ["style.css", "text/css"] };
  for (const [path, [name, type]] of Object.entries(files)) {
    await writeFile(join(folder, name), name);
    const { status, headers, body } = await http(server, path);
    assert.deepEqual([status, headers["content-type"], body], [200, type, name]);
  }
  for (const path of ["/index.html", "/../Cargo.toml", "/%2e%2e/etc/passwd"]) assert.equal((await http(server, path)).status, 404, path);
});
