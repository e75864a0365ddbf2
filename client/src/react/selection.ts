// A part of a store's snapshot, so that a component renders only when the part that it uses has changed.

import { useSyncExternalStore } from "react";
import type { Store } from "../types.js";

type SnapshotOf<S> = S extends Store<infer Snapshot> ? Snapshot : never;
type Subscribe = (listener: () => void) => () => void;

// Per store, not per component: fifty components share one part, and get the same object.
const subscriptions = new WeakMap<object, Subscribe>();
const parts = new WeakMap<object, WeakMap<object, { current: () => unknown; idle: () => unknown }>>();

/**
 * What `select` takes of the store's snapshot; the same object until one of its fields has changed. `idle` is the snapshot on a server.
 */
export function useSelection<S extends Store<any>, Part>(
  store: S,
  select: (snapshot: SnapshotOf<S>, store: S) => Part,
  idle: SnapshotOf<S>,
): Part {
  const subscribe = remember(subscriptions, store, (): Subscribe => (listener) => store.subscribe(listener));
  const selected = remember(parts, store, () => new WeakMap());
  const part = remember(selected, select, () => ({
    current: memoize(select, store, () => store.getSnapshot()),
    idle: memoize(select, store, () => idle),
  }));
  return useSyncExternalStore(subscribe, part.current as () => Part, part.idle as () => Part);
}

function memoize<S extends Store<any>, Part>(
  select: (snapshot: SnapshotOf<S>, store: S) => Part,
  store: S,
  read: () => SnapshotOf<S>,
): () => Part {
  let last: { snapshot: SnapshotOf<S>; part: Part } | undefined;
  return () => {
    const snapshot = read();
    if (last?.snapshot !== snapshot) {
      const part = select(snapshot, store);
      last = { snapshot, part: last && isSame(last.part, part) ? last.part : part };
    }
    return last!.part;
  };
}

/** The value of `key`, made when it is asked for first. */
export function remember<Key extends object, Value>(known: WeakMap<Key, Value>, key: Key, make: () => Value): Value {
  let value = known.get(key);
  if (value === undefined) known.set(key, (value = make()));
  return value;
}

function isSame(a: any, b: any): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && Object.is(a[key], b[key]));
}
