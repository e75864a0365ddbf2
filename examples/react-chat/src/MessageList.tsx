// The room's messages.

import { memo, useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from "react";
import { Avatar } from "./Avatar";
import { type Group, groupByDay, timeOf } from "./group";
import { type ChatMessage, useMessages, useRoom, useUnread } from "./realtime";

export function MessageList({ room, user }: { room: string; user: string }) {
  const { messages, hasOlder, loadOlder } = useMessages(room);
  const list = useSteadyScrolling(messages);
  useReading(room);
  return (
    <div className="messages" role="log" aria-label={`Messages in ${room}`} tabIndex={0} ref={list}>
      <div>
        {hasOlder ? <LoadOlder load={loadOlder} /> : <Beginning room={room} empty={messages.length === 0} />}
        {groupByDay(messages, user).map(({ label, groups }) => (
          <section key={label} aria-label={label}>
            <h2 className="divider">{label}</h2>
            {groups.map((group) => (
              <GroupOfMessages key={group.messages[0].id} {...group} />
            ))}
          </section>
        ))}
      </div>
    </div>
  );
}

function GroupOfMessages({ sender, ts, afterGap, messages }: Group) {
  return (
    <>
      {afterGap && <p className="divider gap">Some messages are no longer available</p>}
      <article className="group">
        <Avatar user={sender} />
        <div>
          <h3>
            {sender} <time dateTime={new Date(ts).toISOString()}>{timeOf(ts)}</time>
          </h3>
          {messages.map((message) => (
            <MessageText key={message.id} message={message} />
          ))}
        </div>
      </article>
    </>
  );
}

// A message that did not change is the same object as before, and is not rendered again.
const MessageText = memo(function MessageText({ message: { data, state, error, retry } }: { message: ChatMessage }) {
  return (
    <p className="message" data-state={state}>
      {data.text}
      {state === "pending" && <small> Sending…</small>}
      {state === "failed" && (
        <small>
          Not sent: {error?.message} <button onClick={retry}>Retry</button>
        </small>
      )}
    </p>
  );
});

function LoadOlder({ load }: { load: () => Promise<unknown> }) {
  const [loading, setLoading] = useState(false);
  const click = () => {
    setLoading(true);
    load()
      .catch(() => {})
      .finally(() => setLoading(false));
  };
  return (
    <p className="edge">
      <button onClick={click} disabled={loading}>
        {loading ? "Loading…" : "Load older messages"}
      </button>
    </p>
  );
}

function Beginning({ room, empty }: { room: string; empty: boolean }) {
  const { status, error } = useRoom(room);
  if (error) return <p className="edge">{error.message}</p>;
  if (status === "joined") return <p className="edge">This is the beginning of #{room}.{empty && " Say hello."}</p>;
  return empty ? <p className="edge">Loading…</p> : null;
}

// The list is laid out from its end (`column-reverse`), where `scrollTop` is 0: the newest messages stay in view, and older ones that are
// loaded move nothing. So that new ones move nothing either while older ones are read, it scrolls by what they add.
function useSteadyScrolling(messages: readonly ChatMessage[]) {
  const list = useRef<HTMLDivElement>(null);
  const shown = useRef<{ last?: ChatMessage; height: number }>({ height: 0 });
  useLayoutEffect(() => {
    const { scrollHeight: height, scrollTop } = list.current!;
    const last = messages.at(-1);
    if (last?.id !== shown.current.last?.id) {
      const own = last?.state === "pending";
      list.current!.scrollTop = own || scrollTop === 0 ? 0 : scrollTop - (height - shown.current.height);
    }
    shown.current = { last, height };
  }, [messages]);
  return list;
}

// What is in view has been read.
function useReading(room: string) {
  const { markRead } = useRoom(room);
  const unread = useUnread(room);
  const visible = useSyncExternalStore(followVisibility, () => document.visibilityState === "visible");
  useEffect(() => {
    if (visible && unread > 0) markRead().catch(() => {});
  }, [visible, unread, markRead]);
}

function followVisibility(listener: () => void) {
  document.addEventListener("visibilitychange", listener);
  return () => document.removeEventListener("visibilitychange", listener);
}
