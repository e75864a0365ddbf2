// The personal room: what back ends sent to this user.

import { useEffect } from "react";
import type { Message, Notifications, NotificationsSnapshot } from "../types.js";
import { useNewest } from "./handlers.js";
import { IDLE_NOTIFICATIONS } from "../idle.js";
import { useClient } from "./provider.js";
import { remember, useSelection } from "./selection.js";

type Actions = Pick<Notifications, "loadOlder" | "markRead">;

export interface NotificationsState<Data = any> extends NotificationsSnapshot<Data>, Actions {}

/** The user's notifications; `handler` is called for each new one, to show it for a moment. */
export function useNotifications<Data = any>(handler?: (data: Data, message: Message<Data>) => void): NotificationsState<Data> {
  const { notifications } = useClient();
  const newest = useNewest((data: any, message: Message<any>) => handler?.(data, message));
  const handles = handler !== undefined;
  useEffect(() => (handles ? notifications.on(newest) : undefined), [notifications, newest, handles]);
  return useSelection(notifications, notificationsState, IDLE_NOTIFICATIONS);
}

const actions = new WeakMap<Notifications, Actions>();

const notificationsState = (snapshot: NotificationsSnapshot, notifications: Notifications): NotificationsState => ({
  ...snapshot,
  ...remember(actions, notifications, () => ({
    loadOlder: (limit) => notifications.loadOlder(limit),
    markRead: (seq) => notifications.markRead(seq),
  })),
});
