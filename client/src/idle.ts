// Snapshots of what nobody uses yet: where each store begins, and what the hooks show on a server and while a page hydrates. The same
// objects each time.

import type { ConnectionSnapshot, NotificationsSnapshot, RoomSnapshot, StreamSnapshot } from "./types.js";

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
