// Server-Sent Events, for pages that only read. These hooks need no provider.

import { useEffect, useState } from "react";
import { subscribe } from "../sse.js";
import type { EventHandler, EventMap, EventStream, StreamOptions, StreamSnapshot } from "../types.js";
import { useNewest } from "./handlers.js";
import { IDLE_STREAM } from "../idle.js";
import { useSelection } from "./selection.js";

/** Handlers by event; those of the latest render are called. */
export type StreamHandlers<Events extends EventMap = EventMap> = { [Event in keyof Events & string]?: EventHandler<Events[Event]> };

/** As `subscribe` takes them; they are read once for each `url` and `rooms`. */
export interface UseEventsOptions<Events extends EventMap = EventMap> extends StreamOptions {
  on?: StreamHandlers<Events>;
}

/** Rooms as one list, over a stream of Server-Sent Events that is this component's own. */
export function useEvents<Events extends EventMap = EventMap>(
  url: string,
  rooms: string | readonly string[],
  { on, ...options }: UseEventsOptions<Events> = {},
): StreamSnapshot<Events> {
  const key = JSON.stringify([url, rooms]);
  const make = () => ({ key, stream: subscribe<Events>(url, rooms, options) });
  const [own, setOwn] = useState(make);
  if (own.key !== key) setOwn(make);
  return useEventStream(own.stream, on);
}

/** A stream that several components share: make it with `subscribe` outside of components, which opens nothing yet. */
export function useEventStream<Events extends EventMap = EventMap>(
  stream: EventStream<Events>,
  on: StreamHandlers<Events> = {},
): StreamSnapshot<Events> {
  const call = useNewest((event: string, ...args: Parameters<EventHandler<any>>) => on[event]?.(...args));
  const names = Object.keys(on).join("\n");
  useEffect(() => {
    const events = names.split("\n").filter(Boolean);
    const ends = events.map((event) => stream.on(event, (data, meta) => call(event, data, meta)));
    return () => ends.forEach((end) => end());
  }, [stream, names, call]);
  return useSelection(stream, everything, IDLE_STREAM);
}

const everything = (snapshot: StreamSnapshot<any>) => snapshot;
