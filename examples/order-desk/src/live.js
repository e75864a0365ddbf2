// What the page shows: the connection, the orders and the inbox, live and complete after each connect.

import { useEffect, useState, useSyncExternalStore } from "react";
import { ask, socket, who } from "./socket.js";

export function useConnected() {
  const subscribe = (listener) => {
    socket.on("connect", listener).on("disconnect", listener);
    return () => socket.off("connect", listener).off("disconnect", listener);
  };
  return useSyncExternalStore(subscribe, () => socket.connected);
}

// The refusal that ends a connection for good, such as a wrong PIN; the client tries again after any other.
export function useRefusal() {
  const [refusal, setRefusal] = useState();
  useEffect(() => {
    const refused = (error) => error.data && !error.data.retry_after_ms && setRefusal(error.data.message);
    socket.on("connect_error", refused);
    return () => socket.off("connect_error", refused);
  }, []);
  return refusal;
}

// Newest first. Each change of an order has a higher version, so it does not matter what comes first: a change, or the list.
function merge(orders, more) {
  const all = new Map(orders.map((order) => [order.number, order]));
  for (const order of more) if (!(all.get(order.number)?.version >= order.version)) all.set(order.number, order);
  return [...all.values()].sort((a, b) => b.number - a.number);
}

export function useOrders() {
  const [orders, setOrders] = useState([]);
  useEffect(() => {
    const add = (more) => setOrders((orders) => merge(orders, more));
    const onChange = (order) => add([order]);
    const onConnect = async () => {
      await ask("order.enter");
      const { orders } = await ask("order.list");
      add(orders ?? []);
    };
    socket.on("connect", onConnect).on("order.changed", onChange);
    if (socket.connected) onConnect();
    return () => socket.off("connect", onConnect).off("order.changed", onChange);
  }, []);
  return { orders, add: (order) => setOrders((orders) => merge(orders, [order])) };
}

// Notifications are messages of the user's personal room, which every connection of the user is in: its last fifty, and those that come.
export function useInbox() {
  const [inbox, setInbox] = useState([]);
  useEffect(() => {
    const add = (more) =>
      setInbox((inbox) => [...new Map([...inbox, ...more].map((notice) => [notice.seq, notice])).values()].sort((a, b) => b.seq - a.seq));
    const onNotice = (notice) => add([notice]);
    const onConnect = async () => {
      const { messages } = await ask("join", { room: `user:${who.user}`, history: 50 });
      add(messages ?? []);
    };
    socket.on("connect", onConnect).on("notification", onNotice);
    if (socket.connected) onConnect();
    return () => socket.off("connect", onConnect).off("notification", onNotice);
  }, []);
  return inbox;
}
