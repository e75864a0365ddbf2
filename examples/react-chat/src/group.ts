// Messages as they are shown: by day, and by sender while somebody goes on writing.

import type { ChatMessage } from "./realtime";

export interface Day {
  label: string;
  groups: Group[];
}

export interface Group {
  sender: string;
  ts: number;
  afterGap: boolean;
  messages: ChatMessage[];
}

const PAUSE_MS = 5 * 60_000;

export function groupByDay(messages: readonly ChatMessage[], me: string): Day[] {
  const days: Day[] = [];
  for (const message of messages) {
    const sender = senderOf(message, me);
    const label = dayOf(message.ts);
    if (days.at(-1)?.label !== label) days.push({ label, groups: [] });
    const { groups } = days.at(-1)!;
    const last = groups.at(-1);
    if (last?.sender === sender && !message.afterGap && message.ts - last.messages.at(-1)!.ts < PAUSE_MS) last.messages.push(message);
    else groups.push({ sender, ts: message.ts, afterGap: message.afterGap === true, messages: [message] });
  }
  return days;
}

// What is not stored yet is yours, and a message without a sender comes from a back end.
function senderOf({ from, state }: ChatMessage, me: string) {
  return from?.name ?? from?.user ?? (state === "sent" ? "Switchboard" : me);
}

const WORDS = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const DATE = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

function dayOf(ts: number) {
  const midnight = (time: number) => new Date(time).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(ts) - midnight(Date.now())) / 86_400_000);
  if (days < -1) return DATE.format(ts);
  const word = WORDS.format(days, "day");
  return word[0].toUpperCase() + word.slice(1);
}

export const timeOf = (ts: number) => TIME.format(ts);
