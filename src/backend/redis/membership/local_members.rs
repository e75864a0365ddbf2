//! Which users this node has in rooms, and what of that is still to be written to Redis.
//!
//! Unlike roster entries, every change is written, in the order of the calls, because each may make an event. Only when too many
//! are queued, or writing has failed, the queue is dropped: then what is stored is read, and what differs is written. So
//! the queue is bounded by what this node has. Each partition has a queue of its own, because each may be unavailable
//! alone.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    sync::Mutex,
};

use tokio::sync::Notify;

use crate::{
    backend::redis::keys::{self, PARTITIONS, Partition},
    model::{RoomKey, Timestamp, UserId},
    sync::lock,
};

/// How many changes are taken together.
const CHANGE_BATCH: usize = 256;

/// How many changes of a partition may be queued in any case.
const MIN_QUEUE: usize = 4096;

/// A user has come into a room or left it, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberChange {
    pub(crate) room: RoomKey,
    pub(crate) user: UserId,
    pub(crate) is_member: bool,
    pub(crate) ts: Timestamp,
}

#[derive(Default)]
pub(crate) struct LocalMembers {
    partitions: [PartitionMembers; PARTITIONS as usize],
}

#[derive(Default)]
struct PartitionMembers {
    // A std mutex: held for a few assignments, or a comparison of everything after a failure, and never across an await.
    state: Mutex<MembersState>,
    changed: Notify,
}

#[derive(Default)]
struct MembersState {
    /// The users of each room, with the number of the call that added them.
    rooms: HashMap<RoomKey, HashMap<UserId, u64>>,
    /// How many there are in all rooms.
    count: usize,
    calls: u64,
    /// Changes to write, in the order of calls.
    queue: VecDeque<MemberChange>,
    /// Whether everything is to be compared with what is stored, instead of writing the queue.
    recheck: bool,
    closing: bool,
}

/// What a publisher has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MemberWork {
    /// Compare everything with what is stored.
    Recheck,
    /// Write these changes, in order.
    Write(Vec<MemberChange>),
    /// Everything is written, and nothing more will come.
    Close,
}

impl LocalMembers {
    /// Sets whether this node has a user in a room.
    pub(crate) fn set(&self, change: MemberChange) {
        let partition = self.partition(Partition::of(&change.room));
        lock(&partition.state).set(change);
        partition.changed.notify_one();
    }

    /// Has everything in a partition compared with what is stored.
    pub(crate) fn recheck(&self, partition: Partition) {
        let partition = self.partition(partition);
        lock(&partition.state).drop_queue();
        partition.changed.notify_one();
    }

    /// As [`recheck`](Self::recheck), after a failure. Returns whether nothing more will come.
    pub(super) fn retry(&self, partition: Partition) -> bool {
        let mut state = lock(&self.partition(partition).state);
        state.drop_queue();
        state.closing
    }

    /// Has the publishers end once everything is written.
    pub(super) fn close(&self) {
        for partition in &self.partitions {
            lock(&partition.state).closing = true;
            partition.changed.notify_one();
        }
    }

    /// Waits for work in a partition, and takes it.
    pub(super) async fn next_work(&self, partition: Partition) -> MemberWork {
        let partition = self.partition(partition);
        loop {
            if let Some(work) = lock(&partition.state).take_work() {
                return work;
            }
            partition.changed.notified().await;
        }
    }

    /// Whether there are so many, as far as no changes are queued.
    pub(super) fn matches(&self, partition: Partition, stored: usize) -> bool {
        let state = lock(&self.partition(partition).state);
        state.count == stored || !state.queue.is_empty()
    }

    /// Queues changes for everything that differs from what is stored of this node: who came in the order of the calls, then who
    /// left, so that no room is empty in between.
    pub(super) fn reconcile(
        &self,
        partition: Partition,
        mut stored: HashSet<String>,
        now: Timestamp,
    ) {
        let mut state = lock(&self.partition(partition).state);
        let mut missing = Vec::new();
        for (room, users) in &state.rooms {
            let missing_here = users
                .iter()
                .filter(|(user, _)| !stored.remove(&stored_name(room, user)));
            missing.extend(missing_here.map(|(user, call)| (*call, room.clone(), user.clone())));
        }
        missing.sort_unstable_by_key(|(call, ..)| *call);
        let change = |room, user, is_member| MemberChange {
            room,
            user,
            is_member,
            ts: now,
        };
        let joined = missing
            .into_iter()
            .map(|(_, room, user)| change(room, user, true));
        let left = stored.iter().filter_map(|name| parse_stored_name(name));
        let left = left.map(|(room, user)| change(room, user, false));
        state.queue = joined.chain(left).collect();
    }

    fn partition(&self, partition: Partition) -> &PartitionMembers {
        &self.partitions[partition.index()]
    }
}

impl MembersState {
    fn set(&mut self, change: MemberChange) {
        let is_new = match change.is_member {
            true => self.insert(&change.room, &change.user),
            false => self.remove(&change.room, &change.user),
        };
        if !is_new || self.recheck {
            return;
        }
        self.queue.push_back(change);
        if self.queue.len() > self.count.max(MIN_QUEUE) {
            self.drop_queue();
        }
    }

    fn insert(&mut self, room: &RoomKey, user: &UserId) -> bool {
        let users = self.rooms.entry(room.clone()).or_default();
        let Entry::Vacant(entry) = users.entry(user.clone()) else {
            return false;
        };
        self.calls += 1;
        self.count += 1;
        entry.insert(self.calls);
        true
    }

    fn remove(&mut self, room: &RoomKey, user: &UserId) -> bool {
        let Some(users) = self.rooms.get_mut(room) else {
            return false;
        };
        let removed = users.remove(user).is_some();
        if users.is_empty() {
            self.rooms.remove(room);
        }
        self.count -= usize::from(removed);
        removed
    }

    fn drop_queue(&mut self) {
        self.queue = VecDeque::new();
        self.recheck = true;
    }

    fn take_work(&mut self) -> Option<MemberWork> {
        if std::mem::take(&mut self.recheck) {
            return Some(MemberWork::Recheck);
        }
        if !self.queue.is_empty() {
            let count = self.queue.len().min(CHANGE_BATCH);
            return Some(MemberWork::Write(self.queue.drain(..count).collect()));
        }
        self.closing.then_some(MemberWork::Close)
    }
}

/// A member as it is stored in the set of its node. No name contains a line feed.
fn stored_name(room: &RoomKey, user: &UserId) -> String {
    format!("{}\n{user}", keys::room_name(room))
}

/// Reads what [`stored_name`] made.
fn parse_stored_name(name: &str) -> Option<(RoomKey, UserId)> {
    let (room, user) = name.split_once('\n')?;
    Some((keys::parse_room_name(room)?, UserId::from_log(user)))
}
