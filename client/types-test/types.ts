// Compiled, never run: what the types of the package permit, and what they do not.

import { connectPlain, createClient, subscribe, SwitchboardError } from "@switchboard/client";
import type { Client, ErrorCode, ListedMessageOf, Room, RoomSnapshot } from "@switchboard/client";

interface Events {
  message: { text: string };
  stroke: { x: number; y: number };
}

const client: Client<Events> = createClient<Events>("https://chat.example", { auth: async () => ({ token: "t" }), history: 20 });
const room: Room<Events> = client.room("lobby");

export async function right(): Promise<void> {
  const sent = await room.send({ text: "hello" }, { id: "order-7" });
  const seq: number = sent.seq;
  const stroke = await room.publish("stroke", { x: 1, y: 2 });
  const x: number = stroke.data.x;
  const nothing: void = await room.publish("stroke", { x, y: seq }, { ephemeral: true, echo: false });
  room.on("stroke", ({ x, y }, { from, ts }) => [x + y + ts, from?.user, nothing]);
  const snapshot: RoomSnapshot<Events> = room.getSnapshot();
  for (const message of snapshot.messages) {
    if (message.event === "message") message.data.text.trim();
    else message.data.x.toFixed();
    if (message.state === "failed") message.retry?.();
  }
  const codes: ErrorCode[] = ["unavailable", "timeout", "closed"];
  const { replies } = await client.signal<{ sdp: string }>({ user: "bob" }, "offer");
  replies[0]?.data?.sdp.trim();
  const error: unknown = codes;
  if (error instanceof SwitchboardError) error.code satisfies ErrorCode;
  const stop: () => void = client.connection.subscribe(() => client.connection.getSnapshot().retryAt?.toFixed());
  stop();
  subscribe<Events>("https://chat.example", ["a", "b"], { history: 3 }).getSnapshot().messages satisfies readonly ListedMessageOf<Events>[];
  connectPlain<Events>("https://chat.example").room("lobby").typing.keystroke();
}

export function wrong(): void {
  // @ts-expect-error: a message has a text
  void room.send({ txt: "hello" });
  // @ts-expect-error: there is no such event
  void room.publish("strike", { x: 1, y: 2 });
  // @ts-expect-error: y is missing
  void room.publish("stroke", { x: 1 });
  // @ts-expect-error: an ephemeral event is not stored
  void room.publish("stroke", { x: 1, y: 2 }, { ephemeral: true }).then((message) => message.seq);
  // @ts-expect-error: data is an object
  room.on("message", (data) => data.trim());
  // @ts-expect-error: snapshots are not changed
  room.getSnapshot().messages.push();
  // @ts-expect-error: there is no such code
  const code: ErrorCode = "unavaliable";
  // @ts-expect-error: a queue has a maximum number
  createClient("https://chat.example", { queue: { max: code } });
  // @ts-expect-error: plain WebSocket has no options for socket.io-client
  connectPlain("https://chat.example", { socket: {} });
}
