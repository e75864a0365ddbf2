"use client";
// The same hooks over plain WebSocket, without socket.io-client: `@switchboard/client/react/plain`.

import { connectPlain } from "../plain.js";
import type { PlainOptions } from "../types.js";
import { hooksFor } from "./hooks.js";
import { makeProvider } from "./provider.js";

export { useConnection } from "./connection.js";
export { useEvents, useEventStream, type StreamHandlers, type UseEventsOptions } from "./events.js";
export { useEvent, useSignal } from "./handlers.js";
export type { Hooks } from "./hooks.js";
export { useNotifications, type NotificationsState } from "./notifications.js";
export { useClient, type GivenClientProps, type OwnClientProps, type Provider, type ProviderProps } from "./provider.js";
export { useMessages, usePresence, useRoom, useUnread, type MessagesState, type RoomActions, type RoomState } from "./rooms.js";
export { typingSentence, useTyping, type TypingOptions, type TypingState, type TypingTemplates } from "./typing.js";

/** Gives the hooks below it a client: `client`, or one that is made for `url` and connects once a hook uses it. */
export const SwitchboardProvider = /* @__PURE__ */ makeProvider<PlainOptions>(connectPlain);

/** The provider and the hooks, typed with your events: `export const { useMessages, useRoom } = createHooks<Events>()`. */
export const createHooks = /* @__PURE__ */ hooksFor(SwitchboardProvider);
