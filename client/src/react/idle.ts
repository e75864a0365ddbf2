// What the hooks show on a server and while a page hydrates: the same objects each time, and nothing has been connected.

import type { ConnectionSnapshot, NotificationsSnapshot, RoomSnapshot, StreamSnapshot } from "../types.js";

export const IDLE_ROOM: RoomSnapshot<any> = {
  status: "idle",
  messages: [],
  hasOlder: false,
  gap: false,
  unread: 0,
  members: { count: 0, users: [] },
  typing: [],
};

export const IDLE_NOTIFICATIONS: NotificationsSnapshot<any> = {
  status: "idle",
  messages: [],
  hasOlder: false,
  gap: false,
  unread: 0,
};

export const IDLE_CONNECTION: ConnectionSnapshot = { status: "idle", attempt: 0, maxAttempts: 0 };

export const IDLE_STREAM: StreamSnapshot<any> = { status: "idle", messages: [], gap: false };
