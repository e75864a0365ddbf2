//! This node's roster entries, and what of them is still to be written to Redis.
//!
//! Changes are queued in the order of their first call, with the newest value; a user that joins and leaves before anything
//! was written leaves nothing behind. So however long Redis is away, the queue is bounded by what is here and what was
//! stored. Each partition has a queue of its own, because each may be unavailable alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use crate::{
    backend::redis::keys::{PARTITIONS, Partition},
    model::{Pid, RoomKey, UserId},
    sync::lock,
};

/// How many changes are taken together.
const CHANGE_BATCH: usize = 512;

/// How many notices of a partition may be queued.
const MAX_NOTICES: usize = 1024;

#[derive(Default)]
pub(crate) struct LocalRoster {
    partitions: [PartitionRoster; PARTITIONS as usize],
    // A std mutex, as those below: held for a few assignments, and never across an await.
    sessions: Mutex<HashSet<Pid>>,
}

#[derive(Default)]
struct PartitionRoster {
    state: Mutex<RosterState>,
    changed: Notify,
}

#[derive(Default)]
struct RosterState {
    rooms: HashMap<RoomKey, HashMap<UserId, RosterEntry>>,
    /// Changes to write, in the order of calls.
    queue: BTreeMap<u64, (RoomKey, UserId)>,
    calls: u64,
    /// Rooms to compare with what is stored.
    rechecks: BTreeSet<RoomKey>,
    /// Whether everything is to be compared with what is stored.
    recheck_all: bool,
    notices: VecDeque<(RoomKey, String)>,
    closing: bool,
}

/// This node's entry of a user in a room.
#[derive(Default)]
struct RosterEntry {
    /// As it is stored; `None` if it is to be removed.
    text: Option<Arc<str>>,
    /// Its position in the queue.
    queued: Option<u64>,
    /// Whether Redis may have an entry.
    stored: bool,
}

/// A change to write.
#[derive(Clone, Debug)]
pub(super) struct RosterChange {
    pub(super) room: RoomKey,
    pub(super) user: UserId,
    /// The entry; `None` removes it.
    pub(super) text: Option<Arc<str>>,
    call: u64,
}

/// What a publisher has to do.
#[derive(Debug, Default)]
pub(super) struct RosterWork {
    /// Compare everything with what is stored.
    pub(super) recheck_all: bool,
    /// Compare these rooms.
    pub(super) rechecks: BTreeSet<RoomKey>,
    /// In order.
    pub(super) changes: Vec<RosterChange>,
    /// In order, behind the changes.
    pub(super) notices: VecDeque<(RoomKey, String)>,
    /// Nothing more will come.
    pub(super) closing: bool,
}

impl RosterWork {
    pub(super) fn is_empty(&self) -> bool {
        !self.recheck_all
            && self.rechecks.is_empty()
            && self.changes.is_empty()
            && self.notices.is_empty()
    }
}

impl LocalRoster {
    /// Sets this node's entry of a user; `None` removes it.
    pub(crate) fn set(&self, room: &RoomKey, user: &UserId, text: Option<Arc<str>>) {
        let partition = self.partition(Partition::of(room));
        lock(&partition.state).set(room, user, text);
        partition.changed.notify_one();
    }

    /// Queues a notice to the other nodes that follow a room. It is dropped if the queue is full.
    pub(crate) fn queue_notice(&self, room: &RoomKey, text: String) {
        let partition = self.partition(Partition::of(room));
        let mut state = lock(&partition.state);
        if state.notices.len() < MAX_NOTICES {
            state.notices.push_back((room.clone(), text));
            partition.changed.notify_one();
        } else {
            tracing::debug!(room = %room.room, "dropped a notice to other nodes: the queue is full");
        }
    }

    /// Has a room compared with what is stored.
    pub(crate) fn recheck_room(&self, room: &RoomKey) {
        let partition = self.partition(Partition::of(room));
        lock(&partition.state).rechecks.insert(room.clone());
        partition.changed.notify_one();
    }

    /// Has everything in a partition compared with what is stored.
    pub(crate) fn recheck_partition(&self, partition: Partition) {
        let partition = self.partition(partition);
        lock(&partition.state).recheck_all = true;
        partition.changed.notify_one();
    }

    /// Has the publishers end once everything is written.
    pub(super) fn close(&self) {
        for partition in &self.partitions {
            lock(&partition.state).closing = true;
            partition.changed.notify_one();
        }
    }

    /// Waits for work in a partition, and takes it. Empty work is returned only after [`close`](Self::close).
    pub(super) async fn next_work(&self, partition: Partition) -> RosterWork {
        let partition = self.partition(partition);
        loop {
            let work = lock(&partition.state).take_work();
            if work.closing || !work.is_empty() {
                return work;
            }
            partition.changed.notified().await;
        }
    }

    /// The work was done.
    pub(super) fn complete(&self, partition: Partition, work: RosterWork) {
        let mut state = lock(&self.partition(partition).state);
        for change in work.changes {
            state.remove_unused(&change.room, &change.user);
        }
    }

    /// The work failed and is queued again, but for the notices. What was stored before may be lost, so everything is
    /// compared.
    pub(super) fn retry(&self, partition: Partition, work: RosterWork) {
        let mut state = lock(&self.partition(partition).state);
        state.recheck_all = true;
        for change in work.changes {
            state.requeue(change);
        }
    }

    /// Queues changes for everything that differs from what is stored of a room.
    pub(super) fn reconcile(&self, room: &RoomKey, stored: &HashMap<UserId, String>) {
        let mut state = lock(&self.partition(Partition::of(room)).state);
        let here = state.rooms.get(room).into_iter().flatten();
        let differs = |(user, entry): &(&UserId, &RosterEntry)| {
            stored.get(*user).map(String::as_str) != entry.text.as_deref()
        };
        let mut wrong: Vec<_> = here
            .filter(differs)
            .map(|(user, entry)| (user.clone(), entry.text.clone()))
            .collect();
        let known = state.rooms.get(room);
        let unknown = stored
            .keys()
            .filter(|user| known.is_none_or(|known| !known.contains_key(*user)));
        wrong.extend(unknown.map(|user| (user.clone(), None)));
        for (user, text) in wrong {
            let users = state.rooms.entry(room.clone()).or_default();
            users.entry(user.clone()).or_default().stored = true;
            state.set(room, &user, text);
        }
    }

    /// The rooms of a partition that have entries.
    pub(super) fn occupied_rooms(&self, partition: Partition) -> Vec<RoomKey> {
        let state = lock(&self.partition(partition).state);
        state.rooms.keys().cloned().collect()
    }

    /// Notes that a session is active on this node.
    pub(crate) fn add_session(&self, pid: Pid) {
        lock(&self.sessions).insert(pid);
    }

    /// Notes that a session is no longer active on this node.
    pub(crate) fn remove_session(&self, pid: Pid) {
        lock(&self.sessions).remove(&pid);
    }

    /// The sessions of a partition that are active on this node.
    pub(super) fn sessions_in(&self, partition: Partition) -> HashSet<Pid> {
        let sessions = lock(&self.sessions);
        let in_partition = sessions
            .iter()
            .filter(|pid| Partition::of_session(**pid) == partition);
        in_partition.copied().collect()
    }

    fn partition(&self, partition: Partition) -> &PartitionRoster {
        &self.partitions[partition.index()]
    }
}

impl RosterState {
    fn set(&mut self, room: &RoomKey, user: &UserId, text: Option<Arc<str>>) {
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.clone(), HashMap::new());
        }
        let users = self.rooms.get_mut(room).expect("it was just inserted");
        let entry = users.entry(user.clone()).or_default();
        entry.text = text;
        if entry.text.is_none() && !entry.stored {
            // Redis has never had it.
            if let Some(call) = entry.queued.take() {
                self.queue.remove(&call);
            }
            self.remove_unused(room, user);
        } else if entry.queued.is_none() {
            self.calls += 1;
            entry.queued = Some(self.calls);
            self.queue.insert(self.calls, (room.clone(), user.clone()));
        }
    }

    fn take_work(&mut self) -> RosterWork {
        let mut changes = Vec::new();
        while changes.len() < CHANGE_BATCH
            && let Some((call, (room, user))) = self.queue.pop_first()
        {
            let users = self.rooms.get_mut(&room);
            if let Some(entry) = users.and_then(|users| users.get_mut(&user)) {
                (entry.queued, entry.stored) = (None, true);
                let text = entry.text.clone();
                changes.push(RosterChange {
                    room,
                    user,
                    text,
                    call,
                });
            }
        }
        RosterWork {
            recheck_all: std::mem::take(&mut self.recheck_all),
            rechecks: std::mem::take(&mut self.rechecks),
            changes,
            notices: std::mem::take(&mut self.notices),
            closing: self.closing,
        }
    }

    fn requeue(&mut self, change: RosterChange) {
        let users = self.rooms.get_mut(&change.room);
        if let Some(entry) = users.and_then(|users| users.get_mut(&change.user))
            && entry.queued.is_none()
        {
            entry.queued = Some(change.call);
            self.queue.insert(change.call, (change.room, change.user));
        }
    }

    /// Drops an entry that is removed and not queued.
    fn remove_unused(&mut self, room: &RoomKey, user: &UserId) {
        let Some(users) = self.rooms.get_mut(room) else {
            return;
        };
        let unused = |entry: &RosterEntry| entry.text.is_none() && entry.queued.is_none();
        if users.get(user).is_some_and(unused) {
            users.remove(user);
        }
        if users.is_empty() {
            self.rooms.remove(room);
        }
    }
}
