// Rooms: each hook joins the room while its component is mounted, and renders only when its own part of the room changes.

import type { EventMap, Room, RoomSnapshot } from "../types.js";
import { IDLE_ROOM } from "../idle.js";
import { useClient } from "./provider.js";
import { remember, useSelection } from "./selection.js";

/** What can be done in a room. The functions never change, and need no `this`. */
export interface RoomActions<Events extends EventMap = EventMap>
  extends Pick<Room<Events>, "name" | "send" | "publish" | "loadOlder" | "markRead" | "typing"> {}

export interface RoomState<Events extends EventMap = EventMap>
  extends RoomActions<Events>, Pick<RoomSnapshot<Events>, "status" | "error"> {}

export interface MessagesState<Events extends EventMap = EventMap>
  extends Pick<RoomActions<Events>, "send" | "loadOlder" | "markRead">, Pick<RoomSnapshot<Events>, "messages" | "hasOlder" | "gap"> {}

/** A room's status, and what can be done in it. */
export function useRoom<Events extends EventMap = EventMap>(name: string): RoomState<Events> {
  return useRoomPart(name, roomState);
}

/** A room's list of messages. */
export function useMessages<Events extends EventMap = EventMap>(name: string): MessagesState<Events> {
  return useRoomPart(name, messagesState);
}

/** Who is in a room. */
export function usePresence(name: string): RoomSnapshot["members"] {
  return useRoomPart(name, membersState);
}

/** How many messages of others are after the own read marker. */
export function useUnread(name: string): number {
  return useRoomPart(name, unreadState);
}

export function useRoomPart<Part>(name: string, select: (snapshot: RoomSnapshot<any>, room: Room<any>) => Part): Part {
  return useSelection(useClient<any>().room(name), select, IDLE_ROOM);
}

const actions = new WeakMap<Room<any>, RoomActions<any>>();

export function actionsOf(room: Room<any>): RoomActions<any> {
  return remember(actions, room, () => ({
    name: room.name,
    send: (...args) => room.send(...args),
    publish: (...args: [any, any, any?]) => room.publish(...args) as Promise<any>,
    loadOlder: (limit) => room.loadOlder(limit),
    markRead: (seq) => room.markRead(seq),
    typing: { keystroke: () => room.typing.keystroke(), stop: () => room.typing.stop() },
  }));
}

// Constants, so that all components share what they take of a room.
const roomState = ({ status, error }: RoomSnapshot<any>, room: Room<any>): RoomState<any> => ({ status, error, ...actionsOf(room) });
const messagesState = ({ messages, hasOlder, gap }: RoomSnapshot<any>, room: Room<any>): MessagesState<any> => {
  const { send, loadOlder, markRead } = actionsOf(room);
  return { messages, hasOlder, gap, send, loadOlder, markRead };
};
const membersState = ({ members }: RoomSnapshot<any>) => members;
const unreadState = ({ unread }: RoomSnapshot<any>) => unread;
