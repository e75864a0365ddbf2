//! The rooms of this node: found by key, created with the first member or poller, removed when nothing is left in them.
//!
//! Every room is run when something in it is due: each change schedules the room's next deadline, and
//! [`RoomRegistry::run_timers`] waits for the earliest.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use tokio::sync::Notify;

use super::{
    activity::{ActiveRooms, RoomActivity},
    index::RoomIndex,
    outbox_members::OutboxMembers,
    poll_buffer::PollBuffer,
    room::{Membership, Room, RoomSettings},
    tails::TailReceiver,
};
use crate::{
    backend::{Bus, ClusterNodes},
    error::{Limit, Result},
    hub::{connections::Connection, event::OutgoingEvent},
    model::{ConnectionId, Namespace, RoomKey, Timestamp, UserId},
    sync::lock,
    telemetry::{Gauge, Metrics},
};

/// How long a join waits for the roster of its room.
const ROSTER_TIMEOUT: Duration = Duration::from_secs(2);

/// The rooms with members or pollers on this node.
pub(in crate::hub) struct RoomRegistry {
    rooms: DashMap<RoomKey, Arc<Mutex<Room>>>,
    /// Their names, updated while the entry of the room is locked.
    index: RoomIndex,
    /// Each room is subscribed while it exists.
    bus: Arc<dyn Bus>,
    /// The other nodes, which are told who is here.
    nodes: Option<Arc<dyn ClusterNodes>>,
    /// The outbox, if back ends are told who is here.
    outbox_members: Option<OutboxMembers>,
    policy: Arc<RoomSettings>,
    timers: Timers,
    metrics: Arc<Metrics>,
}

/// When rooms are due.
#[derive(Default)]
struct Timers {
    /// The earliest first; a room can be in it several times.
    deadlines: Mutex<BinaryHeap<Reverse<(Instant, RoomKey)>>>,
    /// A deadline earlier than all before has been added.
    earlier: Notify,
}

impl RoomRegistry {
    pub(in crate::hub) fn new(
        policy: RoomSettings,
        bus: Arc<dyn Bus>,
        nodes: Option<Arc<dyn ClusterNodes>>,
        outbox_members: Option<OutboxMembers>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            rooms: DashMap::new(),
            index: RoomIndex::default(),
            bus,
            nodes,
            outbox_members,
            policy: policy.into(),
            timers: Timers::default(),
            metrics,
        }
    }

    /// Adds `connection` to a room, and sends it who is typing there. Who starts later is sent to it as to every member.
    pub(in crate::hub) fn add_member(&self, key: &RoomKey, connection: &Connection) {
        let added = self.get_or_create(key, |room| {
            let added = room.add_member(connection);
            if added != Membership::Closed {
                room.send_typists(connection.id(), Instant::now());
            }
            if let (Membership::New, Some(members)) = (&added, &self.outbox_members) {
                members.enter(key, &connection.principal().user);
            }
            added
        });
        match added {
            Membership::New => {
                self.metrics.members.inc();
            }
            Membership::Existing => {}
            Membership::Closed => self.remove_if_unused(key),
        }
    }

    /// Starts to keep messages of a room for pollers; undo it by [`remove_poller`](Self::remove_poller).
    pub(in crate::hub) fn add_poller(&self, key: &RoomKey) -> Arc<PollBuffer> {
        self.get_or_create(key, Room::add_poller)
    }

    /// Ends one poll. The room stays a little longer, for the next poll of the same client.
    pub(in crate::hub) fn remove_poller(&self, key: &RoomKey) {
        self.with(key, |room| room.remove_poller(Instant::now()));
    }

    /// Adds a reader that is no member; when its receiver is closed, call [`remove_closed_tails`](Self::remove_closed_tails).
    pub(in crate::hub) fn add_tail(&self, key: &RoomKey) -> TailReceiver {
        self.get_or_create(key, Room::add_tail)
    }

    /// Removes readers that are gone, and the room if it is unused then.
    pub(in crate::hub) fn remove_closed_tails(&self, key: &RoomKey) {
        let is_unused = self.with(key, |room| {
            room.remove_closed_tails();
            room.is_unused()
        });
        if is_unused == Some(true) {
            self.remove_if_unused(key);
        }
    }

    /// Waits until everything stored in a room from now on will be delivered to it: its log has to be read after that.
    pub(in crate::hub) async fn subscribed(&self, key: &RoomKey) -> Result<()> {
        let subscribed = self.with(key, |room| room.subscribed(|| self.bus.subscribe(key)));
        match subscribed.flatten() {
            Some(subscribed) => subscribed.await,
            // It is subscribed, or the caller is no member any more, and will notice.
            None => Ok(()),
        }
    }

    /// Waits until the users of a room on other nodes are known, but not longer than [`ROSTER_TIMEOUT`].
    pub(in crate::hub) async fn wait_for_roster(&self, key: &RoomKey) {
        if self.nodes.is_none() {
            return;
        }
        let Some(mut pending) = self.with(key, |room| room.roster_pending()).flatten() else {
            return;
        };
        let loaded = tokio::time::timeout(ROSTER_TIMEOUT, pending.changed());
        if loaded.await.is_err() {
            tracing::debug!(?key, timeout = ?ROSTER_TIMEOUT, "roster of the room not loaded in time");
            self.with(key, |room| {
                room.stop_waiting_for_roster(Instant::now(), Timestamp::now());
            });
        }
    }

    /// Runs `act` on a room, which is created if it does not exist.
    fn get_or_create<T>(&self, key: &RoomKey, act: impl FnOnce(&mut Room) -> T) -> T {
        // The entry stays locked, so that the room cannot be removed meanwhile.
        let entry = self.rooms.entry(key.clone()).or_insert_with(|| {
            self.metrics.rooms.inc();
            self.index.insert(key);
            let subscribed = self.bus.subscribe(key);
            let room = Room::new(
                key.room.clone(),
                self.policy.clone(),
                subscribed,
                self.nodes.is_some(),
            );
            Arc::new(Mutex::new(room))
        });
        act(&mut lock(&entry))
    }

    /// Removes `connection` from a room, which is removed, too, if it is unused then. The connection receives nothing of the room
    /// any more.
    pub(in crate::hub) fn remove_member(&self, key: &RoomKey, connection: &Connection) {
        let removed = self.with(key, |room| {
            let (now, ts) = (Instant::now(), Timestamp::now());
            let was_member = room.remove_member(connection, now, ts);
            if let Some(members) = self.outbox_members.as_ref().filter(|_| was_member) {
                members.leave(key, &connection.principal().user, now);
            }
            (was_member, room.is_unused())
        });
        connection.subscriber().remove_room(&key.room);
        let Some((was_member, is_unused)) = removed else {
            return;
        };
        if was_member {
            self.metrics.members.dec();
        }
        if is_unused {
            self.remove_if_unused(key);
        }
    }

    /// Ends the grace time of a user without a connection in a room.
    pub(in crate::hub) fn end_grace(&self, key: &RoomKey, user: &UserId) {
        if let Some(members) = &self.outbox_members {
            members.end_grace(key, user);
        }
        let is_unused = self.with(key, |room| {
            room.end_grace(user, Timestamp::now());
            room.is_unused()
        });
        if is_unused == Some(true) {
            self.remove_if_unused(key);
        }
    }

    /// Delivers an event to every member but `except`.
    pub(in crate::hub) fn deliver(
        &self,
        key: &RoomKey,
        event: &Arc<OutgoingEvent>,
        except: Option<ConnectionId>,
    ) {
        self.with(key, |room| room.deliver(event, except, Instant::now()));
    }

    /// Sends an event to every member for which `includes` returns true.
    pub(in crate::hub) fn send(
        &self,
        key: &RoomKey,
        event: &Arc<OutgoingEvent>,
        includes: impl Fn(ConnectionId) -> bool,
    ) {
        self.with(key, |room| room.send(event, includes, Instant::now()));
    }

    /// The connections of this node that are in a room.
    pub(in crate::hub) fn members(&self, key: &RoomKey) -> Vec<ConnectionId> {
        self.with(key, |room| room.members()).unwrap_or_default()
    }

    /// The keys of all rooms.
    pub(in crate::hub) fn keys(&self) -> Vec<RoomKey> {
        self.rooms.iter().map(|room| room.key().clone()).collect()
    }

    /// The names of all rooms.
    pub(in crate::hub) fn index(&self) -> &RoomIndex {
        &self.index
    }

    /// Events per second of a room; `None` if it is not in use on this node.
    pub(in crate::hub) fn events_per_second(&self, key: &RoomKey, now: Instant) -> Option<f64> {
        let room = self.rooms.get(key).map(|room| room.clone())?;
        let rate = lock(&room).events_per_second(now);
        Some(rate)
    }

    /// The rooms of a namespace with the most events and those with the most connections. Looks at all rooms.
    pub(in crate::hub) fn most_active(
        &self,
        namespace: &Namespace,
        limit: usize,
        now: Instant,
    ) -> ActiveRooms {
        let is_shown = |key: &RoomKey| key.namespace == *namespace && !key.room.is_personal();
        // A room that delivers to many is locked for a while, and nobody else must wait for that.
        let rooms = self.rooms.iter().filter(|entry| is_shown(entry.key()));
        let rooms: Vec<_> = rooms
            .map(|entry| (entry.key().room.clone(), entry.value().clone()))
            .collect();
        let mut active = ActiveRooms::new(limit);
        for (name, room) in rooms {
            let room = lock(&room);
            active.add(RoomActivity {
                room: name,
                users: room.user_count(),
                connections: room.connection_count(),
                events_per_second: room.events_per_second(now),
            });
        }
        active
    }

    /// Whether a user is in a room, its grace time included. A poller is not.
    pub(in crate::hub) fn is_occupied(&self, key: &RoomKey) -> bool {
        let room = self.rooms.get(key).map(|room| room.clone());
        room.is_some_and(|room| lock(&room).is_occupied())
    }

    /// Runs `act` on a room if it exists, then publishes, counts and schedules what that has changed.
    pub(in crate::hub) fn with<T>(
        &self,
        key: &RoomKey,
        act: impl FnOnce(&mut Room) -> T,
    ) -> Option<T> {
        let room = self.rooms.get(key).map(|room| room.clone())?;
        let mut room = lock(&room);
        if room.registry_state.removed {
            return None;
        }
        let result = act(&mut room);
        room.publish_to_nodes(key, self.nodes.as_deref());
        let sent = room.take_counters();
        self.metrics.deliveries.inc_by(sent.delivered.into());
        self.metrics
            .limited_by(Limit::NoticesPerSecond, sent.deferred.into());
        self.update_gauges(&mut room);
        let scheduled = room.registry_state.scheduled;
        if let Some(deadline) = room.next_deadline()
            && scheduled.is_none_or(|scheduled| deadline < scheduled)
        {
            room.registry_state.scheduled = Some(deadline);
            self.timers.add(deadline, key);
        }
        Some(result)
    }

    fn update_gauges(&self, room: &mut Room) {
        let after = room.gauge_counts();
        let before = std::mem::replace(&mut room.registry_state.counted, after);
        adjust(&self.metrics.present, before.present, after.present);
        adjust(&self.metrics.typing, before.typing, after.typing);
    }

    /// Tells the outbox when users have left, and which have not come back since the last start; runs until dropped.
    pub(in crate::hub) async fn run_outbox_members(&self, lease: Duration) {
        if let Some(members) = &self.outbox_members {
            members.run(lease).await;
        }
    }

    /// Runs every room when it is due; runs until dropped.
    pub(in crate::hub) async fn run_timers(&self) {
        loop {
            match self.timers.next() {
                Some(deadline) => tokio::select! {
                    () = tokio::time::sleep_until(deadline.into()) => self.run_due(Instant::now()),
                    () = self.timers.earlier.notified() => {}
                },
                None => self.timers.earlier.notified().await,
            }
        }
    }

    /// Runs every room that is due by `now`.
    pub(in crate::hub) fn run_due(&self, now: Instant) {
        while let Some((deadline, key)) = self.timers.take_due(now) {
            let is_unused = self.with(&key, |room| {
                // An earlier deadline was added after this one: the room was run and scheduled again then. Running it here, too,
                // would keep it scheduled twice as long as anything is due.
                if room.registry_state.scheduled != Some(deadline) {
                    return false;
                }
                room.registry_state.scheduled = None;
                room.run_due(now, Timestamp::now());
                room.is_unused()
            });
            if is_unused == Some(true) {
                self.remove_if_unused(&key);
            }
        }
    }

    /// Removes a room, unless it is in use again.
    fn remove_if_unused(&self, key: &RoomKey) {
        if let Entry::Occupied(entry) = self.rooms.entry(key.clone()) {
            let removed = {
                let mut room = lock(entry.get());
                room.registry_state.removed = room.is_unused();
                if room.registry_state.removed {
                    self.update_gauges(&mut room);
                }
                room.registry_state.removed
            };
            if removed {
                // Still locked, so that a room created anew subscribes after this.
                self.bus.unsubscribe(key);
                self.index.remove(key);
                entry.remove();
                self.metrics.rooms.dec();
            }
        }
    }
}

impl Timers {
    fn add(&self, deadline: Instant, key: &RoomKey) {
        let mut deadlines = lock(&self.deadlines);
        let first = deadlines
            .peek()
            .is_none_or(|Reverse((first, _))| deadline < *first);
        deadlines.push(Reverse((deadline, key.clone())));
        drop(deadlines);
        if first {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> Option<Instant> {
        let deadlines = lock(&self.deadlines);
        deadlines.peek().map(|Reverse((deadline, _))| *deadline)
    }

    fn take_due(&self, now: Instant) -> Option<(Instant, RoomKey)> {
        let mut deadlines = lock(&self.deadlines);
        match deadlines.peek() {
            Some(Reverse((deadline, _))) if *deadline <= now => {
                deadlines.pop().map(|Reverse(due)| due)
            }
            _ => None,
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
mod tests;
