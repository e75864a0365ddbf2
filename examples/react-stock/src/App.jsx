// A chat in one room.

import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { socket, user } from "./socket.js";
import { useRoom } from "./useRoom.js";

const ROOM = "lobby";

export const App = () => (user ? <Chat /> : <Name />);

// The name goes into the address: reload it and you are the same, open it with another name and you are two.
function Name() {
  return (
    <form className="name">
      <h1>Chat</h1>
      <input name="user" placeholder="Your name" aria-label="Your name" required pattern="\S+" maxLength={40} autoFocus />
      <button>Join</button>
    </form>
  );
}

function Chat() {
  const { messages, error, send } = useRoom(ROOM);
  const [unsent, setUnsent] = useState([]);
  const connected = useConnected();

  const say = async (text) => {
    const own = { id: crypto.randomUUID(), data: { text } };
    setUnsent((others) => [...others, own]);
    const ack = await send(own.data, own.id);
    setUnsent((others) => others.flatMap((other) => (other !== own ? other : ack.ok ? [] : { ...own, error: ack.error })));
  };

  const known = new Set(messages.map(({ id }) => id));
  return (
    <main>
      <header>
        <h1>{ROOM}</h1>
        <output data-connected={connected}>{connected ? user : "offline: sent when the connection is back"}</output>
      </header>
      {error && <p role="alert">{error.message}</p>}
      <List>
        {messages.map((message) => (
          <Line key={message.seq} {...message} />
        ))}
        {unsent.filter(({ id }) => !known.has(id)).map((own) => (
          <Line key={own.id} {...own} from={{ user }} />
        ))}
      </List>
      <Composer onSend={say} />
    </main>
  );
}

function useConnected() {
  return useSyncExternalStore(
    (listener) => {
      socket.on("connect", listener).on("disconnect", listener);
      return () => socket.off("connect", listener).off("disconnect", listener);
    },
    () => socket.connected,
  );
}

function Line({ seq, from, data, error }) {
  return (
    <li data-seq={seq} data-own={from?.user === user}>
      <b>{from?.name ?? from?.user ?? "system"}</b>
      <span>{data?.text ?? JSON.stringify(data)}</span>
      {!seq && <em>{error ? `not sent: ${error.message}` : "sending"}</em>}
    </li>
  );
}

// Shows its end, unless the reader has scrolled up.
function List({ children }) {
  const list = useRef(null);
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current) list.current.scrollTop = list.current.scrollHeight;
  });
  const onScroll = ({ target }) => (atEnd.current = target.scrollHeight - target.scrollTop - target.clientHeight < 40);
  return (
    <ol ref={list} onScroll={onScroll}>
      {children}
    </ol>
  );
}

function Composer({ onSend }) {
  const [text, setText] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (text.trim() === "") return;
    onSend(text.trim());
    setText("");
  };
  return (
    <form onSubmit={submit}>
      <input value={text} onChange={({ target }) => setText(target.value)} placeholder="Message" aria-label="Message" autoFocus />
      <button>Send</button>
    </form>
  );
}
