//! The members of a room, and sending them events within the budgets of the users that the events are about.
//!
//! Messages and events of a room's own are sent whatever they cost. What users show of themselves is charged to the user, by the
//! deliveries that it costs ([`FanOutBudget`]). What is over the budget is deferred by whoever composes the event, and of several
//! deferred events only the newest is sent.

use std::{sync::Arc, time::Instant};

use indexmap::IndexMap;

use super::RoomSettings;
use crate::{
    auth::{Permission, Principal},
    backend::ClusterNotice,
    hub::{
        connections::{Connection, Subscriber},
        event::OutgoingEvent,
    },
    model::{ConnectionId, Offset, RoomName, UserId},
    policies::PresenceRule,
};

/// Sends events to the members of one room.
pub(super) struct Broadcaster {
    room: RoomName,
    members: IndexMap<ConnectionId, RoomMember>,
    settings: Arc<RoomSettings>,
    /// Notices for other nodes, to be sent by the registry.
    notices: Vec<ClusterNotice>,
    counters: SendCounters,
}

/// Counts for metrics.
#[derive(Debug, Default)]
pub(in crate::hub::rooms) struct SendCounters {
    /// Events handed to members.
    pub(in crate::hub::rooms) delivered: u32,
    /// Events that were deferred because a user was over its budget.
    pub(in crate::hub::rooms) deferred: u32,
}

/// A connection in the room.
pub(super) struct RoomMember {
    subscriber: Arc<Subscriber>,
    pub(super) user: UserId,
    /// May see who is in the room.
    pub(super) sees_presence: bool,
    /// When it was last sent a list of the users.
    listed: Option<Instant>,
    /// Messages up to this offset are in the reply to its join, or before it.
    after: Offset,
}

/// The result of adding a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum Membership {
    /// It is a member from now on.
    New,
    /// It was a member already.
    Existing,
    /// Its connection has closed; it is no member.
    Closed,
}

impl Broadcaster {
    pub(super) fn new(room: RoomName, settings: Arc<RoomSettings>) -> Self {
        Self {
            room,
            members: IndexMap::new(),
            settings,
            notices: Vec::new(),
            counters: SendCounters::default(),
        }
    }

    pub(super) fn room(&self) -> &RoomName {
        &self.room
    }

    pub(super) fn settings(&self) -> &RoomSettings {
        &self.settings
    }

    /// Adds a connection. One that takes the place of another with the same id continues as that member.
    pub(super) fn add(&mut self, connection: &Connection) -> Membership {
        let subscriber = connection.subscriber();
        if subscriber.is_closed() {
            return Membership::Closed;
        }
        let principal = connection.principal();
        let sees_presence = self.shows_users_to(&principal);
        if let Some(member) = self.members.get_mut(&connection.id()) {
            member.sees_presence = sees_presence;
            member.subscriber = subscriber.clone();
            return Membership::Existing;
        }
        let member = RoomMember {
            subscriber: subscriber.clone(),
            user: principal.user.clone(),
            sees_presence,
            listed: None,
            after: Offset(0),
        };
        if self.members.is_empty() {
            // The personal room of a user has one member, as a rule.
            self.members.reserve_exact(1);
        }
        self.members.insert(connection.id(), member);
        Membership::New
    }

    /// Removes a connection and returns its user; `None` if it was no member, or another connection has taken its place.
    pub(super) fn remove(&mut self, connection: &Connection) -> Option<UserId> {
        let member = self.members.get(&connection.id())?;
        if !Arc::ptr_eq(&member.subscriber, connection.subscriber()) {
            return None;
        }
        let removed = self.members.swap_remove(&connection.id())?;
        Some(removed.user)
    }

    /// Does not send a member messages up to `offset` again: they are in the reply to its join.
    pub(super) fn skip_until(&mut self, connection: ConnectionId, offset: Offset) {
        if let Some(member) = self.members.get_mut(&connection) {
            member.after = member.after.max(offset);
        }
    }

    /// Updates what a member may see after its identity or the policies were replaced.
    pub(super) fn update_permissions(&mut self, connection: &Connection) {
        let sees_presence = self.shows_users_to(&connection.principal());
        if let Some(member) = self.members.get_mut(&connection.id()) {
            member.sees_presence = sees_presence;
        }
    }

    /// Whether events about single users are for a member.
    fn shows_users_to(&self, principal: &Principal) -> bool {
        principal.may(Permission::Presence, &self.room) && self.shows_users()
    }

    /// Whether members are told about single users at all.
    pub(super) fn shows_users(&self) -> bool {
        let policies = self.settings.policies.get();
        policies.presence(&self.room) == PresenceRule::Users
    }

    /// Records that a member is sent a list of the users now; false if it is no member.
    pub(super) fn record_listed(&mut self, connection: ConnectionId, now: Instant) -> bool {
        let Some(member) = self.members.get_mut(&connection) else {
            return false;
        };
        member.listed = Some(now);
        true
    }

    pub(super) fn contains(&self, connection: ConnectionId) -> bool {
        self.members.contains_key(&connection)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.members.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Sends an event to every member for which `includes` returns true.
    pub(super) fn send(
        &mut self,
        event: &Arc<OutgoingEvent>,
        includes: impl Fn(ConnectionId, &RoomMember) -> bool,
    ) {
        for (connection, member) in &self.members {
            if includes(*connection, member) && member.push(&self.room, event) {
                self.counters.delivered += 1;
            }
        }
    }

    /// Sends one member events about other users.
    pub(super) fn send_to(
        &mut self,
        connection: ConnectionId,
        events: impl IntoIterator<Item = (UserId, Arc<OutgoingEvent>)>,
    ) {
        let Some(member) = self.members.get(&connection) else {
            return;
        };
        for (user, event) in events {
            if user != member.user && member.push(&self.room, &event) {
                self.counters.delivered += 1;
            }
        }
    }

    /// Charges `user` for an event to all members; returns when it may be sent, `None`: now.
    pub(super) fn spend(&self, user: &UserId, now: Instant) -> Option<Instant> {
        self.spend_deliveries(user, self.len(), now)
    }

    /// As [`spend`](Self::spend), for so many deliveries.
    pub(super) fn spend_deliveries(
        &self,
        user: &UserId,
        deliveries: usize,
        now: Instant,
    ) -> Option<Instant> {
        self.settings.fan_out.spend(user, deliveries, now)
    }

    /// When members may be sent something about `user` again; `None`: now.
    pub(super) fn ready_at(&self, user: &UserId, now: Instant) -> Option<Instant> {
        self.settings.fan_out.ready_at(user, now)
    }

    /// Charges `user` for an event to all members that is sent whatever its budget.
    pub(super) fn charge(&self, user: &UserId, now: Instant) {
        self.settings.fan_out.charge(user, self.len(), now);
    }

    /// Counts an event that is sent later than it happened.
    pub(super) fn count_deferred(&mut self) {
        self.counters.deferred += 1;
    }

    /// Queues a notice for the other nodes.
    pub(super) fn notify_nodes(&mut self, notice: ClusterNotice) {
        self.notices.push(notice);
    }

    pub(super) fn take_notices(&mut self) -> Vec<ClusterNotice> {
        std::mem::take(&mut self.notices)
    }

    pub(super) fn take_counters(&mut self) -> SendCounters {
        std::mem::take(&mut self.counters)
    }
}

impl RoomMember {
    /// Whether the member was sent a list of the users at `time` or later.
    pub(super) fn was_listed_since(&self, time: Instant) -> bool {
        self.listed.is_some_and(|listed| listed >= time)
    }

    /// Hands the event to the member's connection, unless the reply to its join holds it; true if it is sent, now or later.
    fn push(&self, room: &RoomName, event: &Arc<OutgoingEvent>) -> bool {
        let replied = event.offset().is_some_and(|offset| offset <= self.after);
        !replied && self.subscriber.push(room, event)
    }
}

#[cfg(test)]
mod tests;
