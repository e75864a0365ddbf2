//! Counts permits per key; a permit is released on drop.

use std::{
    collections::BinaryHeap,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};

/// Counts the permits of each key, and forgets keys without any. The permits of a key share a value `V`.
#[derive(Debug)]
pub struct KeyedCounter<K: Eq + Hash + Clone, V = ()>(DashMap<K, Arc<Slot<V>>>);

#[derive(Debug)]
struct Slot<V> {
    count: AtomicUsize,
    value: V,
}

impl<K: Eq + Hash + Clone, V: Default> KeyedCounter<K, V> {
    /// A counter without any key.
    pub fn new() -> Self {
        Self(DashMap::new())
    }

    /// Acquires a permit for `key`, unless `max` are taken already; 0 is unlimited.
    pub fn take(self: &Arc<Self>, key: K, max: usize) -> Option<Permit<K, V>> {
        let slot = {
            let slot = self.0.entry(key.clone()).or_insert_with(|| {
                Arc::new(Slot {
                    count: AtomicUsize::new(0),
                    value: V::default(),
                })
            });
            // The entry is locked, so no other thread counts or removes this key concurrently.
            let count = slot.count.load(Ordering::Relaxed);
            if max != 0 && count >= max {
                return None;
            }
            slot.count.store(count + 1, Ordering::Relaxed);
            slot.clone()
        };
        Some(Permit {
            counts: self.clone(),
            key,
            slot,
        })
    }
}

impl<K: Eq + Hash + Clone, V> KeyedCounter<K, V> {
    /// Reads the value that the permits of `key` share; `None` if there is no permit.
    pub fn with_shared<T>(&self, key: &K, read: impl FnOnce(&V) -> T) -> Option<T> {
        let slot = self.0.get(key)?.clone();
        Some(read(&slot.value))
    }

    /// The first keys in order for which `matches` returns true, `limit` at most. Looks at all keys.
    pub fn first_keys(&self, limit: usize, matches: impl Fn(&K, &V) -> bool) -> Vec<K>
    where
        K: Ord,
    {
        let mut first = BinaryHeap::with_capacity(limit.saturating_add(1).min(1024));
        for slot in &self.0 {
            let is_among_first = first.len() < limit || first.peek() > Some(slot.key());
            if is_among_first && matches(slot.key(), &slot.value().value) {
                first.push(slot.key().clone());
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        first.into_sorted_vec()
    }
}

impl<K: Eq + Hash + Clone, V: Default> Default for KeyedCounter<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// A permit of a [`KeyedCounter`], released on drop.
#[derive(Debug)]
pub struct Permit<K: Eq + Hash + Clone, V = ()> {
    counts: Arc<KeyedCounter<K, V>>,
    key: K,
    slot: Arc<Slot<V>>,
}

impl<K: Eq + Hash + Clone, V> Permit<K, V> {
    /// The value that all permits of the key share.
    pub fn shared(&self) -> &V {
        &self.slot.value
    }
}

impl<K: Eq + Hash + Clone, V> Drop for Permit<K, V> {
    fn drop(&mut self) {
        // The entry is locked from here on, so a concurrent `take` waits until the key is kept or removed.
        if let Entry::Occupied(entry) = self.counts.0.entry(self.key.clone())
            && entry.get().count.fetch_sub(1, Ordering::Relaxed) == 1
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests;
