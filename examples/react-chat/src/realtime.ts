// Where the server is, which rooms there are, what is sent in them, and the hooks, which know its types.

import type { ListedMessageOf } from "@switchboard/client";
import { createHooks } from "@switchboard/client/react";

export const SERVER = import.meta.env.VITE_SWITCHBOARD_URL ?? "http://127.0.0.1:3000";

export const ROOMS = ["general", "design", "support", "random"];

type Events = { message: { text: string } };

export type ChatMessage = ListedMessageOf<Events>;

export const { SwitchboardProvider, useClient, useConnection, useMessages, usePresence, useRoom, useTyping, useUnread } =
  createHooks<Events>();
