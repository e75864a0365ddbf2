// The hooks with the application's events as types.

import type { Client, ClientOptions, EventHandler, EventMap, RoomSnapshot, SignalHandler } from "../types.js";
import { useConnection } from "./connection.js";
import { useEvent, useSignal } from "./handlers.js";
import { useNotifications } from "./notifications.js";
import { useClient, type Provider } from "./provider.js";
import { useMessages, usePresence, useRoom, useUnread, type MessagesState, type RoomState } from "./rooms.js";
import { useTyping } from "./typing.js";

export interface Hooks<Events extends EventMap, Options = ClientOptions> {
  SwitchboardProvider: Provider<Options>;
  useClient(): Client<Events>;
  useConnection: typeof useConnection;
  useRoom(name: string): RoomState<Events>;
  useMessages(name: string): MessagesState<Events>;
  usePresence(name: string): RoomSnapshot["members"];
  useTyping: typeof useTyping;
  useUnread(name: string): number;
  useNotifications: typeof useNotifications;
  useEvent<Event extends keyof Events & string>(room: string, event: Event, handler: EventHandler<Events[Event]>): void;
  useSignal<Data = any>(event: string, handler: SignalHandler<Data>): void;
}

/** The same functions as those that this module exports; only their types know the events. */
export const hooksFor = <Options>(SwitchboardProvider: Provider<Options>) =>
  function createHooks<Events extends EventMap>(): Hooks<Events, Options> {
    return {
      SwitchboardProvider,
      useClient,
      useConnection,
      useRoom,
      useMessages,
      usePresence,
      useTyping,
      useUnread,
      useNotifications,
      useEvent: useEvent as Hooks<Events>["useEvent"],
      useSignal,
    };
  };
