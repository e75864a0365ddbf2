//! One room of this node.
//!
//! A room composes parts, each of which decides about one kind of event and is given the [`Broadcaster`] to send it:
//! [`PresenceEvents`], [`TypingEvents`] and [`ReadEvents`]. It is given the time and never awaits;
//! [`RoomRegistry`](super::registry::RoomRegistry) holds it under a mutex and runs what is due.

use std::{
    future::ready,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::Shared};
use tokio::sync::watch;

use self::{
    broadcaster::{Broadcaster, SendCounters},
    presence_events::PresenceEvents,
    read_events::ReadEvents,
    typing_events::TypingEvents,
};
use super::{
    event_rate::EventRate,
    fan_out::FanOutBudget,
    poll_buffer::{PollBuffer, Pollers},
    presence::{Presence, UserPage},
    read_progress::ReadUpdate,
    tails::{TailReceiver, Tails},
    user_status::UserStatus,
};
use crate::{
    backend::Subscribing,
    hub::{
        connections::Connection,
        event::{Event, OutgoingEvent},
    },
    model::{ConnectionId, Offset, RoomName, Seq, Timestamp, UserId},
    policies::CurrentPolicies,
};

mod broadcaster;
mod presence_events;
mod read_events;
mod remote;
mod typing_events;

pub(in crate::hub) use broadcaster::Membership;

/// What rooms are configured to do.
#[derive(Clone, Debug)]
pub(in crate::hub) struct RoomSettings {
    /// How long a user without a connection stays.
    pub(in crate::hub) grace: Duration,
    /// Users beyond which single users are not announced.
    pub(in crate::hub) max_announced_users: usize,
    /// How long a user is shown as typing that says so once.
    pub(in crate::hub) typing_timeout: Duration,
    /// Users who can be typing at once.
    pub(in crate::hub) max_typists: usize,
    /// What events about users may cost, over all rooms.
    pub(in crate::hub) fan_out: Arc<FanOutBudget>,
    /// What may be done in which rooms.
    pub(in crate::hub) policies: CurrentPolicies,
}

/// A room with its members.
pub(in crate::hub) struct Room {
    /// Completes when everything stored from then on is delivered to the room; `None` if it is already.
    subscribed: Option<Box<Shared<Subscribing>>>,
    members: Broadcaster,
    presence: PresenceEvents,
    typing: TypingEvents,
    reads: ReadEvents,
    /// Clients that poll, without being members.
    pollers: Option<Box<Pollers>>,
    /// Back ends and operators that read along, without being members.
    tails: Option<Box<Tails>>,
    event_rate: EventRate,
    pub(super) registry_state: RegistryState,
}

/// What the registry keeps about a room.
#[derive(Debug, Default)]
pub(super) struct RegistryState {
    /// The earliest time for which the room is scheduled.
    pub(super) scheduled: Option<Instant>,
    /// What the gauges count of it.
    pub(super) counted: GaugeCounts,
    /// The room was empty and has been removed: it must not be used any more.
    pub(super) removed: bool,
}

/// The users of a room on this node, for the gauges.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GaugeCounts {
    pub(super) present: usize,
    pub(super) typing: usize,
}

impl Room {
    /// A room without members. With `has_other_nodes` more members may be on other nodes.
    pub(in crate::hub) fn new(
        name: RoomName,
        policy: Arc<RoomSettings>,
        mut subscribed: Subscribing,
        has_other_nodes: bool,
    ) -> Self {
        let roster_pending = has_other_nodes && !name.is_personal();
        let presence = Presence::new(policy.grace, policy.max_announced_users);
        Self {
            // At once where there is one node.
            subscribed: match (&mut subscribed).now_or_never() {
                Some(Ok(())) => None,
                Some(failed) => Some(ready(failed).boxed().shared().into()),
                None => Some(subscribed.shared().into()),
            },
            members: Broadcaster::new(name, policy),
            presence: PresenceEvents::new(presence, roster_pending),
            typing: TypingEvents::default(),
            reads: ReadEvents::default(),
            pollers: None,
            tails: None,
            event_rate: EventRate::default(),
            registry_state: RegistryState::default(),
        }
    }

    /// Completes when everything stored from then on is delivered to the room; fails if that takes too long. `None` if it has
    /// completed. After a failure the next call subscribes again by `resubscribe`.
    pub(in crate::hub) fn subscribed(
        &mut self,
        resubscribe: impl FnOnce() -> Subscribing,
    ) -> Option<Shared<Subscribing>> {
        let peeked = self.subscribed.as_ref().map(|subscribed| subscribed.peek());
        match peeked {
            Some(Some(Ok(()))) => self.subscribed = None,
            Some(Some(Err(_))) => self.subscribed = Some(resubscribe().shared().into()),
            Some(None) | None => {}
        }
        self.subscribed.as_deref().cloned()
    }

    /// Adds a member. A connection that takes the place of another with the same id continues as that member.
    pub(in crate::hub) fn add_member(&mut self, connection: &Connection) -> Membership {
        self.members.add(connection)
    }

    /// Removes a member; true if it was one, and no other connection has taken its place.
    pub(in crate::hub) fn remove_member(
        &mut self,
        connection: &Connection,
        now: Instant,
        ts: Timestamp,
    ) -> bool {
        let Some(user) = self.members.remove(connection) else {
            return false;
        };
        let id = connection.id();
        self.presence.leave(&mut self.members, (id, &user), now, ts);
        self.typing.stop(&mut self.members, id, &user, now);
        true
    }

    /// Does not send a member messages up to `offset` again: they are in the reply to its join.
    pub(in crate::hub) fn skip_until(&mut self, connection: ConnectionId, offset: Offset) {
        self.members.skip_until(connection, offset);
    }

    /// Updates what a member may see after its identity was replaced.
    pub(in crate::hub) fn update_permissions(&mut self, connection: &Connection) {
        self.members.update_permissions(connection);
    }

    /// Shows a member's user to the others. Returns the status that the user has set on another node, if that was later than the one
    /// it comes with.
    pub(in crate::hub) fn show_user(
        &mut self,
        connection: ConnectionId,
        user: UserId,
        status: UserStatus,
        now: Instant,
        ts: Timestamp,
    ) -> Option<UserStatus> {
        self.presence
            .enter(&mut self.members, (connection, user, status), now, ts)
    }

    /// Updates what a user shows. All members but `except` are told, not before `not_before`.
    pub(in crate::hub) fn update_status(
        &mut self,
        user: &UserId,
        status: UserStatus,
        except: Option<ConnectionId>,
        (now, not_before): (Instant, Option<Instant>),
        ts: Timestamp,
    ) {
        let time = (now, not_before);
        self.presence
            .update(&mut self.members, (user, status), except, time, ts);
    }

    /// Ends the grace time of a user without a connection.
    pub(in crate::hub) fn end_grace(&mut self, user: &UserId, ts: Timestamp) {
        self.presence.end_grace(&mut self.members, user, ts);
    }

    /// A member starts or continues typing, after its last message, or stops.
    pub(in crate::hub) fn set_typing(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        name: Option<Arc<str>>,
        (typing, after): (bool, Option<Seq>),
        now: Instant,
    ) {
        let members = &mut self.members;
        match typing {
            true => self
                .typing
                .start(members, (connection, user), name, after, now),
            false => self.typing.stop(members, connection, user, now),
        }
    }

    /// Whether so many users are typing that this one would not be announced.
    pub(in crate::hub) fn rejects_typist(&self, user: &UserId) -> bool {
        self.typing.rejects(user)
    }

    /// Sends a member who is typing.
    pub(in crate::hub) fn send_typists(&mut self, connection: ConnectionId, now: Instant) {
        self.typing.send_current(&mut self.members, connection, now);
    }

    /// Announces how far a user has read, as one of its connections said; `None`: one of another node.
    pub(in crate::hub) fn record_read(
        &mut self,
        user: &UserId,
        seq: Seq,
        connection: Option<ConnectionId>,
        now: Instant,
    ) {
        let update = ReadUpdate {
            user: user.clone(),
            seq,
            connection,
        };
        self.reads
            .record(&mut self.members, self.presence.presence(), update, now);
    }

    /// Closes when the roster, the users on all nodes, is loaded; `None` if it is.
    pub(super) fn roster_pending(&self) -> Option<watch::Receiver<()>> {
        self.presence.roster_pending()
    }

    /// Whether the users on all nodes are known.
    pub(in crate::hub) fn is_roster_loaded(&self) -> bool {
        self.presence.is_roster_loaded()
    }

    /// Continues without the roster: users that turn out to be on other nodes are announced from now on.
    pub(super) fn stop_waiting_for_roster(&mut self, now: Instant, ts: Timestamp) {
        self.presence
            .stop_waiting_for_roster(&mut self.members, now, ts);
    }

    /// Adds a poller and returns the messages that all pollers share.
    pub(super) fn add_poller(&mut self) -> Arc<PollBuffer> {
        self.pollers.get_or_insert_default().add()
    }

    pub(super) fn remove_poller(&mut self, now: Instant) {
        if let Some(pollers) = &mut self.pollers {
            pollers.remove(now);
        }
    }

    /// Adds a reader that is no member.
    pub(super) fn add_tail(&mut self) -> TailReceiver {
        self.tails.get_or_insert_default().add()
    }

    /// Removes the readers that are gone.
    pub(super) fn remove_closed_tails(&mut self) {
        self.tails.take_if(|tails| {
            tails.retain_open();
            tails.is_empty()
        });
    }

    /// Events per second of the last seconds.
    pub(super) fn events_per_second(&self, now: Instant) -> f64 {
        self.event_rate.per_second(now)
    }

    /// Delivers an event to every member but `except`, and messages to pollers. A message ends its sender's typing.
    pub(in crate::hub) fn deliver(
        &mut self,
        event: &Arc<OutgoingEvent>,
        except: Option<ConnectionId>,
        now: Instant,
    ) {
        self.event_rate.record(now);
        self.members.send(event, |id, _| Some(id) != except);
        self.push_to_tails(event);
        let Event::Message(message) = event.event() else {
            return;
        };
        if let Some(pollers) = &self.pollers {
            pollers.push(message);
        }
        if let Some(from) = &message.from {
            self.typing
                .finish(&mut self.members, (from, message.seq), now);
        }
    }

    /// Sends an event to every member for which `includes` returns true.
    pub(in crate::hub) fn send(
        &mut self,
        event: &Arc<OutgoingEvent>,
        includes: impl Fn(ConnectionId) -> bool,
        now: Instant,
    ) {
        self.event_rate.record(now);
        self.members.send(event, |id, _| includes(id));
        self.push_to_tails(event);
    }

    fn push_to_tails(&self, event: &Arc<OutgoingEvent>) {
        if let Some(tails) = &self.tails {
            tails.push(event);
        }
    }

    /// The connections in it.
    pub(in crate::hub) fn members(&self) -> Vec<ConnectionId> {
        self.members.ids().collect()
    }

    /// Does what is due: ends grace times and typing, sends what was deferred, drops the messages kept for pollers.
    pub(super) fn run_due(&mut self, now: Instant, ts: Timestamp) {
        let members = &mut self.members;
        self.presence.run_due(members, now, ts);
        self.reads.run_due(members, self.presence.presence(), now);
        self.typing.run_due(members, now);
        if self.pollers_end().is_some_and(|end| end <= now) {
            self.pollers = None;
        }
    }

    /// When [`run_due`](Self::run_due) has something to do next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.presence.next_deadline(),
            self.typing.next_deadline(),
            self.reads.next_deadline(),
            self.pollers_end(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn pollers_end(&self) -> Option<Instant> {
        self.pollers.as_ref()?.expires()
    }

    /// Whether the room can be removed; who is in it on other nodes can be loaded again.
    pub(super) fn is_unused(&self) -> bool {
        self.members.is_empty()
            && self.presence.presence().local_user_count() == 0
            && self.pollers.is_none()
            && self.tails.is_none()
    }

    /// Whether a user is in the room, on any node, its grace time included. A poller is not.
    pub(in crate::hub) fn is_occupied(&self) -> bool {
        !self.members.is_empty() || self.presence.presence().user_count() > 0
    }

    /// The users of this node; none if the room has been removed.
    pub(super) fn gauge_counts(&self) -> GaugeCounts {
        if self.registry_state.removed {
            return GaugeCounts::default();
        }
        GaugeCounts {
            present: self.presence.presence().local_user_count(),
            typing: self.typing.user_count(),
        }
    }

    /// What members were sent since the last call.
    pub(super) fn take_counters(&mut self) -> SendCounters {
        self.members.take_counters()
    }

    /// Users that are shown in the room.
    pub(in crate::hub) fn shown_user_count(&self) -> usize {
        self.presence.presence().user_count()
    }

    /// Users in the room. A personal room shows nobody, and has one user.
    pub(in crate::hub) fn user_count(&self) -> usize {
        let is_personal = self.members.room().is_personal() && !self.members.is_empty();
        self.shown_user_count().max(usize::from(is_personal))
    }

    /// Connections in the room, on all nodes.
    pub(in crate::hub) fn connection_count(&self) -> usize {
        let remote = self.presence.presence().remote_connection_count();
        remote.saturating_add(self.members.len())
    }

    /// Whether there are so many users that single users are not announced.
    pub(in crate::hub) fn is_crowded(&self) -> bool {
        self.presence.presence().is_crowded()
    }

    /// The first `limit` users after `after`, in the order of their ids.
    pub(in crate::hub) fn user_page(&self, after: Option<&UserId>, limit: usize) -> UserPage {
        self.presence.page(after, limit)
    }

    /// Records that a member is sent a list of the users now.
    pub(in crate::hub) fn record_list(&mut self, connection: ConnectionId, now: Instant) {
        self.presence
            .record_list(&mut self.members, connection, now);
    }
}

#[cfg(test)]
mod tests;
