//! Changes of who is in which room, on their way to the writer: queued without waiting, in order.
//!
//! While nothing can be stored they stay here, and what they are bounded by is what this process has: users who came and left
//! meanwhile are not remembered.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::tables::members::MemberKey;
use crate::{model::Timestamp, sync::lock};

/// How many changes one transaction takes at most: a fraction of the time that a full batch of messages takes.
const MAX_BATCH: usize = 1024;

/// How many changes are queued before those that no longer matter are dropped.
const MAX_QUEUED: usize = 1 << 16;

/// How long to wait after changes could not be stored: every attempt may cost the messages beside them a transaction.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A user comes into a room or leaves it.
pub(super) struct MemberChange {
    pub(super) key: MemberKey,
    pub(super) is_member: bool,
    pub(super) ts: Timestamp,
}

/// The queue.
#[derive(Default)]
pub(super) struct MemberChanges {
    // A std mutex: it is held for a few operations and never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whom this process has, once everything is stored.
    members: HashSet<MemberKey>,
    queue: VecDeque<MemberChange>,
    /// How long the queue was when it was last shortened.
    shortened: usize,
    retry_at: Option<Instant>,
}

impl MemberChanges {
    /// Queues a change, unless it changes nothing. Returns whether the writer has to be woken.
    pub(super) fn push(&self, change: MemberChange) -> bool {
        let mut state = self.lock();
        if !change.is_member {
            // Whether or not this process had the user: an earlier one may have had.
            state.members.remove(&change.key);
        } else if !state.members.insert(change.key.clone()) {
            return false;
        }
        let was_empty = state.queue.is_empty();
        state.queue.push_back(change);
        if state.queue.len() > MAX_QUEUED.max(2 * state.shortened) {
            state.shorten();
        }
        // Those that could not be stored wait for a command to the writer; a probe comes every few seconds.
        was_empty || state.retry_at.take_if(|at| *at <= Instant::now()).is_some()
    }

    /// Takes the next changes, unless those before could not be stored a moment ago.
    pub(super) fn take(&self) -> Vec<MemberChange> {
        let mut state = self.lock();
        if state.must_wait() {
            return Vec::new();
        }
        let count = state.queue.len().min(MAX_BATCH);
        state.queue.drain(..count).collect()
    }

    /// Whether [`take`](Self::take) would return something.
    pub(super) fn is_ready(&self) -> bool {
        let state = self.lock();
        !state.queue.is_empty() && !state.must_wait()
    }

    /// Puts back what was taken and could not be stored.
    pub(super) fn put_back(&self, changes: Vec<MemberChange>) {
        let mut state = self.lock();
        for change in changes.into_iter().rev() {
            state.queue.push_front(change);
        }
        state.retry_at = Some(Instant::now() + RETRY_INTERVAL);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn must_wait(&self) -> bool {
        self.retry_at.is_some_and(|at| Instant::now() < at)
    }

    /// Drops the changes that a later one makes needless.
    fn shorten(&mut self) {
        // Who was not there before the first change and is not after the last has left nothing behind.
        let mut first: HashMap<MemberKey, bool> = HashMap::new();
        let mut last: HashMap<MemberKey, usize> = HashMap::new();
        for (index, change) in self.queue.iter().enumerate() {
            first.entry(change.key.clone()).or_insert(change.is_member);
            last.insert(change.key.clone(), index);
        }
        let mut index = 0;
        self.queue.retain(|change| {
            let is_last = last.get(&change.key) == Some(&index);
            index += 1;
            is_last && (change.is_member || first.get(&change.key) == Some(&false))
        });
        self.shortened = self.queue.len();
    }
}

#[cfg(test)]
mod tests;
