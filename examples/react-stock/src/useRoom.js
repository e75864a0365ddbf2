// A chat room that loses nothing and shows nothing twice: over reconnects, restarts of the server, and StrictMode's second effect.

import { useEffect, useState } from "react";
import { deliver, socket } from "./socket.js";

export function useRoom(room) {
  const [messages, setMessages] = useState([]);
  const [error, setError] = useState();

  useEffect(() => {
    let [list, epoch, joined, ended] = [[], undefined, false, false];
    const last = () => list.at(-1)?.seq ?? 0;
    const add = (more) => setMessages((list = list.concat(more.filter(({ seq }) => seq > last()))));
    const join = () => {
      joined = false;
      const since = epoch && `${epoch}:${last()}`;
      // With a callback, because a promise would be told after the first live messages.
      socket.timeout(10_000).emit("join", { room, since, history: 100 }, (lost, ack) => {
        if (ended) return;
        if (lost) return socket.connected && join();
        setError(ack.error);
        if (!ack.ok) return ack.error.retry_after_ms && setTimeout(() => ended || join(), ack.error.retry_after_ms);
        if (!ack.recovered) list = []; // Some are gone. These are the last ones.
        [epoch, joined] = [ack.epoch, true];
        add(ack.messages);
      });
    };
    // A recovered socket is still in its rooms, and receives what it missed as if it were live.
    const onConnect = () => (socket.recovered && joined) || join();
    const onMessage = (message) => joined && message.room === room && add([message]);
    socket.on("connect", onConnect).on("message", onMessage);
    if (socket.connected) join();
    return () => {
      ended = true;
      socket.off("connect", onConnect).off("message", onMessage).emit("leave", room);
    };
  }, [room]);

  return { messages, error, send: (data, id) => deliver({ room, data, id }) };
}
