// To show that something does not come: what comes after it has come.

import { within } from "./scope.mjs";

let fences = 0;

// Resolves once each of `receivers`, who are in `room`, has everything that was sent there before: `sender` says
// something more, and it has arrived.
export async function settled(sender, receivers, room = "lobby") {
  fences += 1;
  const event = `fence-${fences}`;
  const arrived = receivers.map((receiver) => new Promise((resolve) => receiver.socket.once(event, resolve)));
  await sender.ok("publish", { room, event, data: null, ephemeral: true });
  await within(Promise.all(arrived), () => `${event} did not reach everybody in ${room}`);
}
