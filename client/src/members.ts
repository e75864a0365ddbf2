// Who is in a room: a list from the server, kept up by events, and read again where it cannot be right any more.

import { Timer } from "./backoff.js";
import type { Member, RoomSnapshot } from "./types.js";

/** The longest list that the server gives at once. A room of more users is counted. */
export const MAX_LISTED = 1000;
/** A list is read again at most that often, spread by half. */
const REFETCH_MS = 2000;

export interface PresenceEvent extends Member {
  event: "join" | "leave" | "update";
  count?: number;
}

export class Members {
  /** The same object until it changes. */
  snapshot: RoomSnapshot["members"] = { count: 0, users: [] };
  readonly timer = new Timer();
  readonly #fetch: () => void;

  /** `fetch` is called when the list has to be read again. */
  constructor(fetch: () => void) {
    this.#fetch = fetch;
  }

  /** A list from the server; without the permission to see it there is none. */
  set({ count, users }: RoomSnapshot["members"] = { count: 0, users: [] }): void {
    this.timer.clear();
    this.#set(count, users.map(member));
    // The ack of a join has the first hundred, or none of a room that does not announce single users.
    if (users.length > 0 && users.length < MAX_LISTED) this.#check();
  }

  apply(event: PresenceEvent): void {
    const { count, users } = this.snapshot;
    const others = users.filter(({ user }) => user !== event.user);
    // An update is about somebody who is listed, unless nobody is.
    const listed = event.event === "join" || (event.event === "update" && others.length < users.length);
    this.#set(event.count ?? count, listed && others.length < MAX_LISTED ? [...others, member(event)] : others);
    this.#check();
  }

  #set(count: number, users: Member[]): void {
    this.snapshot = { count, users: users.sort((a, b) => (a.user < b.user ? -1 : 1)) };
  }

  #check(): void {
    const { count, users } = this.snapshot;
    if (users.length === count || count > MAX_LISTED || this.timer.isSet) return;
    this.timer.set(REFETCH_MS * (0.5 + Math.random()), this.#fetch);
  }
}

const member = ({ user, name, status, info }: Member): Member => ({ user, ...(name && { name }), status, ...(info && { info }) });
