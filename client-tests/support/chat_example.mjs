// What the front end of Socket.IO's chat example listens to.

import assert from "node:assert/strict";

const EVENTS = ["login", "user joined", "user left", "new message", "typing", "stop typing"];

// Notes everything that the front end listens to, as [event, data], in order.
export function listen(client) {
  client.story = client.on("nothing");
  for (const event of EVENTS) client.socket.on(event, (data) => client.story.add([event, data]));
  return client;
}

// Waits until a client was told this, and nothing else, since it was asked last.
export async function told(client, ...expected) {
  const items = await client.story.count(expected.length);
  assert.deepEqual(items.splice(0), expected, client.name);
}
