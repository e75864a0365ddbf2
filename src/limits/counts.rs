//! Counts: places taken for a key, given back when they are dropped.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};

/// Counts what is held for each key, and forgets keys that hold nothing.
#[derive(Debug)]
pub struct Counts<K: Eq + Hash + Clone, V = ()>(DashMap<K, Arc<Held<V>>>);

#[derive(Debug)]
struct Held<V> {
    count: AtomicUsize,
    value: V,
}

impl<K: Eq + Hash + Clone, V: Default> Counts<K, V> {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self(DashMap::new())
    }

    /// Takes a place for `key` while fewer than `most` are taken; `most` 0 is no limit.
    pub fn take(self: &Arc<Self>, key: K, most: usize) -> Option<Place<K, V>> {
        let held = {
            let held = self.0.entry(key.clone()).or_insert_with(|| {
                Arc::new(Held {
                    count: AtomicUsize::new(0),
                    value: V::default(),
                })
            });
            // The entry is locked: nobody else counts or removes this key meanwhile.
            let count = held.count.load(Ordering::Relaxed);
            if most != 0 && count >= most {
                return None;
            }
            held.count.store(count + 1, Ordering::Relaxed);
            held.clone()
        };
        Some(Place {
            counts: self.clone(),
            key,
            held,
        })
    }
}

impl<K: Eq + Hash + Clone, V> Counts<K, V> {
    /// Looks at what the places of a key share; `None` if none is taken.
    pub fn peek<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        let held = self.0.get(key)?.clone();
        Some(look(&held.value))
    }
}

impl<K: Eq + Hash + Clone, V: Default> Default for Counts<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// A place taken in [`Counts`], given back when dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash + Clone, V = ()> {
    counts: Arc<Counts<K, V>>,
    key: K,
    held: Arc<Held<V>>,
}

impl<K: Eq + Hash + Clone, V> Place<K, V> {
    /// What all places of this key share.
    pub fn shared(&self) -> &V {
        &self.held.value
    }
}

impl<K: Eq + Hash + Clone, V> Drop for Place<K, V> {
    fn drop(&mut self) {
        // The entry is locked from here on, so a place taken meanwhile waits for the decision.
        if let Entry::Occupied(entry) = self.counts.0.entry(self.key.clone())
            && entry.get().count.fetch_sub(1, Ordering::Relaxed) == 1
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests;
