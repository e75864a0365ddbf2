//! The rooms of this node: found by key, begun with the first member, dropped when nothing is left to keep.
//!
//! Every room is looked after when its time comes: whoever changes a room notes when that is, and
//! [`Rooms::keep_time`] waits for the earliest.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use tokio::sync::Notify;

use super::{
    index::RoomIndex,
    poll_buffer::Watched,
    room::{Manners, Placed, Room},
};
use crate::{
    backend::{Bus, ClusterNodes},
    error::{Limit, Result},
    hub::{connections::Connection, event::Outgoing, lock},
    model::{ConnectionId, RoomKey, Timestamp, UserId},
    telemetry::{Gauge, Metrics},
};

/// How long a join waits for what other nodes have in its room.
const ACQUAINTANCE: Duration = Duration::from_secs(2);

/// The rooms with members on this node.
pub(in crate::hub) struct Rooms {
    rooms: DashMap<RoomKey, Arc<Mutex<Room>>>,
    /// Their names, changed while the entry of the room is locked.
    index: RoomIndex,
    /// Followed for as long as there is a room.
    bus: Arc<dyn Bus>,
    /// Told who is here.
    nodes: Option<Arc<dyn ClusterNodes>>,
    manners: Manners,
    /// When which room is to be looked after, the earliest first; a room may stand here several times.
    due: Mutex<BinaryHeap<Reverse<(Instant, RoomKey)>>>,
    /// Something earlier than before is due.
    earlier: Notify,
    metrics: Arc<Metrics>,
}

impl Rooms {
    pub(in crate::hub) fn new(
        manners: Manners,
        bus: Arc<dyn Bus>,
        nodes: Option<Arc<dyn ClusterNodes>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            rooms: DashMap::new(),
            index: RoomIndex::default(),
            bus,
            nodes,
            manners,
            due: Mutex::default(),
            earlier: Notify::new(),
            metrics,
        }
    }

    /// Makes `connection` a member.
    pub(in crate::hub) fn enter(&self, key: &RoomKey, connection: &Connection) {
        match self.with_new(key, |room| room.place(connection)) {
            Placed::New => {
                self.metrics.members.inc();
            }
            Placed::Before => {}
            Placed::Gone => self.drop_if_over(key),
        }
    }

    /// Has messages of a room kept for those who poll it; undo it by [`unwatch`](Self::unwatch).
    pub(in crate::hub) fn watch(&self, key: &RoomKey) -> Arc<Watched> {
        self.with_new(key, Room::watch)
    }

    /// Ends one watch. The room lasts a little longer, for whoever asks again.
    pub(in crate::hub) fn unwatch(&self, key: &RoomKey) {
        self.with(key, |room| room.unwatch(Instant::now()));
    }

    /// Waits until whatever is stored in a room from now on will be delivered to it: its log is to be read after that.
    pub(in crate::hub) async fn followed(&self, key: &RoomKey) -> Result<()> {
        match self.with(key, |room| room.followed(|| self.bus.subscribe(key))) {
            Some(followed) => followed.await,
            // Whoever waits is no member any more, and will find out.
            None => Ok(()),
        }
    }

    /// Waits until it is known who is in a room on other nodes, but not for long.
    pub(in crate::hub) async fn acquainted(&self, key: &RoomKey) {
        if self.nodes.is_none() {
            return;
        }
        let Some(mut strange) = self.with(key, |room| room.strange()).flatten() else {
            return;
        };
        let known = tokio::time::timeout(ACQUAINTANCE, strange.changed());
        if known.await.is_err() {
            tracing::debug!(?key, "it is not known yet who is here on other nodes");
            self.with(key, |room| {
                room.give_up_waiting(Instant::now(), Timestamp::now());
            });
        }
    }

    /// Does something with a room that is made if it is not there.
    fn with_new<T>(&self, key: &RoomKey, act: impl FnOnce(&mut Room) -> T) -> T {
        // The entry stays locked, so that the room cannot be dropped meanwhile.
        let entry = self.rooms.entry(key.clone()).or_insert_with(|| {
            self.metrics.rooms.inc();
            self.index.insert(key);
            let followed = self.bus.subscribe(key);
            let room = Room::new(
                key.room.clone(),
                self.manners.clone(),
                followed,
                self.nodes.is_some(),
            );
            Arc::new(Mutex::new(room))
        });
        act(&mut lock(&entry))
    }

    /// Ends a membership, and the room if nothing is left to keep of it. Nothing of the room is given to `connection`
    /// any more.
    pub(in crate::hub) fn leave(&self, key: &RoomKey, connection: &Connection) {
        let left = self.with(key, |room| {
            let (now, ts) = (Instant::now(), Timestamp::now());
            (room.remove(connection, now, ts), room.is_over())
        });
        connection.feed().leave(&key.room);
        let Some((was_member, over)) = left else {
            return;
        };
        if was_member {
            self.metrics.members.dec();
        }
        if over {
            self.drop_if_over(key);
        }
    }

    /// Lets a user without a connection in a room leave it before its grace time is over.
    pub(in crate::hub) fn dismiss(&self, key: &RoomKey, user: &UserId) {
        let over = self.with(key, |room| {
            room.dismiss(user, Timestamp::now());
            room.is_over()
        });
        if over == Some(true) {
            self.drop_if_over(key);
        }
    }

    /// Delivers to every member but `except`.
    pub(in crate::hub) fn deliver(
        &self,
        key: &RoomKey,
        event: &Arc<Outgoing>,
        except: Option<ConnectionId>,
    ) {
        self.with(key, |room| room.deliver(event, except, Instant::now()));
    }

    /// The rooms there are now.
    pub(in crate::hub) fn keys(&self) -> Vec<RoomKey> {
        self.rooms.iter().map(|room| room.key().clone()).collect()
    }

    /// Their names in order.
    pub(in crate::hub) fn index(&self) -> &RoomIndex {
        &self.index
    }

    /// Whether anybody is in a room, or has only just gone; whoever waits for messages without being a member is not.
    pub(in crate::hub) fn is_inhabited(&self, key: &RoomKey) -> bool {
        let room = self.rooms.get(key).map(|room| room.clone());
        room.is_some_and(|room| lock(&room).is_inhabited())
    }

    /// Does something with a room, if it is there: counts what was delivered, and notes when it is due.
    pub(in crate::hub) fn with<T>(
        &self,
        key: &RoomKey,
        act: impl FnOnce(&mut Room) -> T,
    ) -> Option<T> {
        let room = self.rooms.get(key).map(|room| room.clone())?;
        let mut room = lock(&room);
        if room.dropped {
            return None;
        }
        let done = act(&mut room);
        room.tell_nodes(key, self.nodes.as_deref());
        self.metrics
            .deliveries
            .inc_by(std::mem::take(&mut room.delivered));
        let put_off = std::mem::take(&mut room.put_off);
        self.metrics.limited_by(Limit::NoticesPerSecond, put_off);
        self.count(&mut room);
        if let Some(deadline) = room.next_deadline()
            && room.scheduled.is_none_or(|scheduled| deadline < scheduled)
        {
            room.scheduled = Some(deadline);
            self.schedule(deadline, key);
        }
        Some(done)
    }

    fn count(&self, room: &mut Room) {
        let (present, typing) = room.counts();
        let before = std::mem::replace(&mut room.counted, (present, typing));
        adjust(&self.metrics.present, before.0, present);
        adjust(&self.metrics.typing, before.1, typing);
    }

    fn schedule(&self, deadline: Instant, key: &RoomKey) {
        let mut due = lock(&self.due);
        let first = due
            .peek()
            .is_none_or(|Reverse((first, _))| deadline < *first);
        due.push(Reverse((deadline, key.clone())));
        drop(due);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Looks after every room when its time comes, for as long as it is polled.
    pub(in crate::hub) async fn keep_time(&self) {
        loop {
            let next = lock(&self.due)
                .peek()
                .map(|Reverse((deadline, _))| *deadline);
            match next {
                Some(deadline) => tokio::select! {
                    () = tokio::time::sleep_until(deadline.into()) => self.look_after_due(Instant::now()),
                    () = self.earlier.notified() => {}
                },
                None => self.earlier.notified().await,
            }
        }
    }

    /// Looks after every room whose time has come.
    pub(in crate::hub) fn look_after_due(&self, now: Instant) {
        loop {
            let due = {
                let mut due = lock(&self.due);
                match due.peek() {
                    Some(Reverse((deadline, _))) if *deadline <= now => due.pop(),
                    _ => return,
                }
            };
            let Some(Reverse((deadline, key))) = due else {
                return;
            };
            let over = self.with(&key, |room| {
                // Something earlier was noted after this: the room was looked after then and noted anew. Doing so here
                // too would keep it noted twice for as long as anything is due.
                if room.scheduled != Some(deadline) {
                    return false;
                }
                room.scheduled = None;
                room.look_after(now, Timestamp::now());
                room.is_over()
            });
            if over == Some(true) {
                self.drop_if_over(&key);
            }
        }
    }

    /// Drops a room of which nothing is to be kept, unless somebody came meanwhile.
    fn drop_if_over(&self, key: &RoomKey) {
        if let Entry::Occupied(entry) = self.rooms.entry(key.clone()) {
            let over = {
                let mut room = lock(entry.get());
                room.dropped = room.is_over();
                if room.dropped {
                    self.count(&mut room);
                }
                room.dropped
            };
            if over {
                // Still locked, so that whoever begins the room anew follows it after this.
                self.bus.unsubscribe(key);
                self.index.remove(key);
                entry.remove();
                self.metrics.rooms.dec();
            }
        }
    }
}

/// Moves a gauge by what one room's count has changed.
fn adjust(gauge: &Gauge, before: usize, after: usize) {
    let change = |more: usize, less: usize| i64::try_from(more - less).unwrap_or(i64::MAX);
    if after >= before {
        gauge.inc_by(change(after, before));
    } else {
        gauge.dec_by(change(before, after));
    }
}

#[cfg(test)]
pub(in crate::hub) mod tests;
