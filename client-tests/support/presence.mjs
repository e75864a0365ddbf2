// Who is in a room, as a client is told.

import assert from "node:assert/strict";

// A presence event in three words.
export const brief = ({ event, user, count }) => `${event} ${user} ${count}`;

// The presence events of a room that reach `client` from now on.
export function watch(client, room = "lobby") {
  const journal = client.on("presence");
  const events = () => journal.items.map(([event]) => event).filter((event) => event.room === room);
  return {
    events,
    brief: () => events().map(brief),
    until: (text, ms) => journal.until(() => events().find((event) => brief(event) === text), text, ms),
  };
}

// Who is in the room, as `client` is told when it asks.
export async function present(client, room = "lobby") {
  const { count, users } = await client.ok("presence", room);
  assert.equal(count, users.length);
  return Object.fromEntries(users.map((each) => [each.user, each]));
}
