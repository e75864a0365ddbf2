//! Tells the outbox which users this node has in which rooms, for the back ends that want to know.
//!
//! A user counts for the grace time after its last connection has left, as in presence. Apart from that: what members are shown
//! depends on the size of a room and on budgets, what back ends are told does not, and personal rooms count, too.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    backend::{Outbox, OutboxKind},
    hooks::Hooks,
    model::{RoomKey, UserId},
    retry::{Backoff, log_rarely},
    sync::lock,
};

/// What follows from a user that enters or leaves a room.
const OF_ROOMS: [OutboxKind; 4] = [
    OutboxKind::RoomOccupied,
    OutboxKind::RoomVacated,
    OutboxKind::MemberJoined,
    OutboxKind::MemberLeft,
];

/// What follows from a user that connects or disconnects.
const OF_USERS: [OutboxKind; 2] = [OutboxKind::UserOnline, OutboxKind::UserOffline];

/// How many grace times are ended at once.
const DUE_AT_ONCE: usize = 256;

/// Pauses while the users of an earlier process cannot be removed.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// The users of this node in the rooms that some back end is told of.
pub(in crate::hub) struct OutboxMembers {
    outbox: Arc<dyn Outbox>,
    hooks: Arc<Hooks>,
    grace: Duration,
    state: Mutex<State>,
    /// An earlier deadline than all before was added.
    earlier: Notify,
}

#[derive(Default)]
struct State {
    members: HashMap<RoomKey, HashMap<UserId, Member>>,
    /// When grace times end.
    expiring: BTreeSet<(Instant, RoomKey, UserId)>,
}

#[derive(Default)]
struct Member {
    connections: usize,
    /// When its grace time ends.
    expires: Option<Instant>,
}

impl OutboxMembers {
    /// `None` if no back end is told of rooms or users.
    pub(in crate::hub) fn new(
        outbox: Arc<dyn Outbox>,
        hooks: Arc<Hooks>,
        grace: Duration,
    ) -> Option<Self> {
        let wanted = hooks.tells_some(&OF_ROOMS) || hooks.tells_some(&OF_USERS);
        wanted.then(|| Self {
            outbox,
            hooks,
            grace,
            state: Mutex::default(),
            earlier: Notify::new(),
        })
    }

    fn wants(&self, room: &RoomKey) -> bool {
        let kinds = if room.room.is_personal() {
            &OF_USERS[..]
        } else {
            &OF_ROOMS[..]
        };
        let mut kinds = kinds.iter();
        kinds.any(|kind| self.hooks.tells(*kind, &room.room))
    }

    /// A connection of a user enters a room.
    pub(in crate::hub) fn enter(&self, room: &RoomKey, user: &UserId) {
        if !self.wants(room) {
            return;
        }
        let mut state = lock(&self.state);
        let members = state.members.entry(room.clone()).or_default();
        let is_new = !members.contains_key(user);
        let member = members.entry(user.clone()).or_default();
        member.connections += 1;
        if let Some(at) = member.expires.take() {
            state.expiring.remove(&(at, room.clone(), user.clone()));
        }
        if is_new {
            // In the lock, so that changes come in their order.
            self.outbox.set_member(room, user, true);
        }
    }

    /// A connection of a user leaves a room.
    pub(in crate::hub) fn leave(&self, room: &RoomKey, user: &UserId, now: Instant) {
        let mut state = lock(&self.state);
        let member = state.members.get_mut(room);
        let Some(member) = member.and_then(|members| members.get_mut(user)) else {
            return;
        };
        member.connections = member.connections.saturating_sub(1);
        if member.connections == 0 && member.expires.is_none() {
            let at = now + self.grace;
            member.expires = Some(at);
            let is_earliest = state.expiring.first().is_none_or(|(first, ..)| at < *first);
            state.expiring.insert((at, room.clone(), user.clone()));
            if is_earliest {
                self.earlier.notify_one();
            }
        }
    }

    /// Ends the grace time of a user without a connection in a room.
    pub(in crate::hub) fn end_grace(&self, room: &RoomKey, user: &UserId) {
        let mut state = lock(&self.state);
        let member = state
            .members
            .get(room)
            .and_then(|members| members.get(user));
        if let Some(at) = member.and_then(|member| member.expires) {
            state.expiring.remove(&(at, room.clone(), user.clone()));
            self.remove(&mut state, room, user);
        }
    }

    /// Ends the grace times that are over by `now`.
    fn run_due(&self, now: Instant) {
        while self.run_some_due(now) {}
    }

    /// Ends some of them, and returns whether there are more: joins wait for the lock meanwhile.
    fn run_some_due(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        for _ in 0..DUE_AT_ONCE {
            match state.expiring.first() {
                Some((at, ..)) if *at <= now => {}
                _ => return false,
            }
            if let Some((_, room, user)) = state.expiring.pop_first() {
                self.remove(&mut state, &room, &user);
            }
        }
        true
    }

    fn remove(&self, state: &mut State, room: &RoomKey, user: &UserId) {
        if let Some(members) = state.members.get_mut(room) {
            members.remove(user);
            if members.is_empty() {
                state.members.remove(room);
            }
        }
        self.outbox.set_member(room, user, false);
    }

    /// Ends grace times when they are over; runs until dropped. Once clients have had `lease` to come back, the users of an earlier
    /// process that have not are removed.
    pub(in crate::hub) async fn run(&self, lease: Duration) {
        tokio::join!(self.run_timers(), self.remove_stale(lease));
    }

    async fn run_timers(&self) {
        loop {
            let next = lock(&self.state).expiring.first().map(|(at, ..)| *at);
            match next {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => self.run_due(Instant::now()),
                    () = self.earlier.notified() => {}
                },
                None => self.earlier.notified().await,
            }
        }
    }

    async fn remove_stale(&self, lease: Duration) {
        tokio::time::sleep(lease).await;
        let mut retry = RETRY;
        while let Err(error) = self.outbox.remove_stale_members().await {
            log_rarely!(warn, %error, "cannot tell hooks which users have not come back since the restart");
            retry.wait().await;
        }
    }
}

#[cfg(test)]
mod tests;
