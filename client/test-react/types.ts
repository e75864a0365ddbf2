// What TypeScript says about the hooks: this file has to compile, and each `@ts-expect-error` has to be one.

import { createElement } from "react";
import { connectPlain, createClient, subscribe } from "@switchboard/client";
import * as plain from "@switchboard/client/react/plain";
import { createHooks, SwitchboardProvider, useConnection, useEvent, useMessages, useTyping } from "@switchboard/client/react";
import { useEvents, useEventStream } from "@switchboard/client/react";

type Events = { message: { text: string }; cursor: { x: number; y: number } };
const hooks = createHooks<Events>();

export function Typed() {
  const { messages, send } = hooks.useMessages("team");
  const { publish, typing } = hooks.useRoom("team");
  for (const message of messages) {
    if (message.event === "message") message.data.text.trim();
    else message.data.x.toFixed();
    if (message.state === "failed") message.retry?.();
    // @ts-expect-error: not every message is a cursor
    message.data.x;
  }
  void send({ text: "hello" }).then(({ seq }) => seq.toFixed());
  // @ts-expect-error: a message has a text
  void send("hello");
  void publish("cursor", { x: 1, y: 2 }, { ephemeral: true, echo: false });
  // @ts-expect-error: there is no such event
  void publish("pointer", { x: 1, y: 2 });
  typing.keystroke();

  hooks.useEvent("team", "cursor", ({ x, y }, { from }) => `${x + y} ${from?.user}`);
  // @ts-expect-error: cursors have no text
  hooks.useEvent("team", "cursor", ({ text }) => text);
  hooks.useSignal<string>("call", (question) => question.length);
  const { unread } = hooks.useNotifications<{ order: number }>(({ order }) => order.toFixed());
  return unread + hooks.useUnread("team") + hooks.usePresence("team").users.length;
}

export function Untyped() {
  const status: string = useConnection(({ status }) => status);
  useEvent("team", "message", (data) => data.anything);
  useEvent<string>("team", "message", (text) => text.trim());
  const [message] = useMessages<Events>("team").messages;
  const { sentence } = useTyping("team", { locale: "pl", templates: { one: "{names} pisze", other: "{names} piszą" } });
  // @ts-expect-error: every language has the category "other"
  useTyping("team", { templates: { one: "{names} schreibt" } });
  const { messages } = useEvents<Events>("http://127.0.0.1:3000", ["a", "b"], { history: 10, on: { cursor: ({ x }) => x } });
  useEventStream(subscribe<Events>("http://127.0.0.1:3000", "a"), { message: ({ text }) => text });
  return [status, message?.id, sentence, messages.length];
}

export const providers = [
  createElement(SwitchboardProvider, { url: "http://127.0.0.1:3000", auth: async () => ({ token: "…" }), history: 20 }),
  createElement(SwitchboardProvider, { client: createClient<Events>("http://127.0.0.1:3000") }),
  createElement(SwitchboardProvider, { client: connectPlain<Events>("http://127.0.0.1:3000") }),
  createElement(hooks.SwitchboardProvider, { url: "http://127.0.0.1:3000" }),
  createElement(plain.SwitchboardProvider, { url: "http://127.0.0.1:3000", WebSocket: class extends EventTarget {} as any }),
  // @ts-expect-error: a client, or where the server is
  createElement(SwitchboardProvider, {}),
];
