//! Who is in a room, and the `presence` events that its members are sent.
//!
//! Two things delay an event. Until the roster of other nodes is loaded it is not known whether a user that enters is new to the
//! room. And a user over its budget ([`fan_out`](crate::hub::rooms::fan_out)) is announced later ([`PendingUpdates`]).

use std::{collections::HashSet, time::Instant};

use tokio::sync::watch;

use super::broadcaster::Broadcaster;
use crate::{
    backend::PresenceEntry,
    hub::{
        event::OutgoingEvent,
        rooms::{
            pending_updates::{PendingUpdate, PendingUpdates},
            presence::{ChangeKind, Presence, PresenceChange, UserPage},
            user_status::UserStatus,
        },
    },
    model::{ConnectionId, NodeId, Timestamp, UserId},
};

/// Announces who is in the room.
pub(super) struct PresenceEvents {
    presence: Presence,
    /// Only while updates are pending.
    pending: Option<Box<PendingUpdates>>,
    /// Until the users on other nodes are known. `None` where there are no other nodes.
    loading: Option<Box<LoadingRoster>>,
}

/// A roster that is not loaded yet.
struct LoadingRoster {
    /// Dropped when it is loaded.
    loaded: watch::Sender<()>,
    /// The joins of resumed sessions meanwhile: a user that turns out to be in the room on another node is not new.
    held_joins: Vec<(ConnectionId, PresenceChange)>,
}

/// Which members are sent an event.
#[derive(Clone, Copy, Debug)]
enum Recipients {
    All,
    /// Those that were sent a list of users at this time or later.
    ListedSince(Instant),
    /// The others.
    NotListedSince(Instant),
}

impl PresenceEvents {
    /// Nobody in the room; with `roster_pending` the users on other nodes have yet to be loaded.
    pub(super) fn new(presence: Presence, roster_pending: bool) -> Self {
        Self {
            presence,
            pending: None,
            loading: roster_pending.then(|| {
                let loaded = watch::Sender::new(());
                Box::new(LoadingRoster {
                    loaded,
                    held_joins: Vec::new(),
                })
            }),
        }
    }

    pub(super) fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Adds a member's user, and announces it to the others if it was not in the room. Returns the status that the user has set on
    /// another node, if that was later than the one it comes with.
    pub(super) fn enter(
        &mut self,
        members: &mut Broadcaster,
        (connection, user, status): (ConnectionId, UserId, UserStatus),
        now: Instant,
        ts: Timestamp,
    ) -> Option<UserStatus> {
        // A connection that was removed meanwhile would stay for ever: it is not removed twice.
        if !members.contains(connection) {
            return None;
        }
        let changed = status.changed;
        if let Some(change) = self.presence.enter(connection, user.clone(), status, ts) {
            match &mut self.loading {
                Some(loading) if change.kind == ChangeKind::Join => {
                    loading.held_joins.push((connection, change));
                }
                _ => self.announce(members, change, Some(connection), now, ts),
            }
        }
        let entry = self.presence.local_entry(&user)?;
        (entry.changed > changed).then(|| UserStatus::from(entry))
    }

    /// Removes a connection.
    pub(super) fn leave(
        &mut self,
        members: &mut Broadcaster,
        (connection, user): (ConnectionId, &UserId),
        now: Instant,
        ts: Timestamp,
    ) {
        if let Some(change) = self.presence.leave(connection, user, now) {
            self.announce(members, change, None, now, ts);
        }
    }

    /// Updates what a user shows. All members but `except` are told, not before `not_before`.
    pub(super) fn update(
        &mut self,
        members: &mut Broadcaster,
        (user, status): (&UserId, UserStatus),
        except: Option<ConnectionId>,
        (now, not_before): (Instant, Option<Instant>),
        ts: Timestamp,
    ) {
        if let Some(change) = self.presence.update(user, status) {
            self.announce_at(members, change, except, (now, not_before), ts);
        }
    }

    /// Ends the grace time of a user without a connection. Members are told at once, whatever its budget: the user does not
    /// cause this.
    pub(super) fn end_grace(&mut self, members: &mut Broadcaster, user: &UserId, ts: Timestamp) {
        if let Some(change) = self.presence.end_grace(user) {
            let pending = self.pending.as_mut();
            match pending.and_then(|pending| pending.take(user)) {
                Some(update) => self.send_outcome(members, user, &update, ts),
                None => send(members, &change, None, Recipients::All, ts),
            }
        }
    }

    /// Replaces what other nodes have in the room. The first time this loads the roster: who is in it is not new to members, whose
    /// joins wait for it.
    pub(super) fn apply_snapshot(
        &mut self,
        members: &mut Broadcaster,
        entries: Vec<(NodeId, UserId, PresenceEntry)>,
        now: Instant,
        ts: Timestamp,
    ) {
        let loading = self.loading.take();
        let before: HashSet<_> = entries.iter().map(|(_, user, _)| user.clone()).collect();
        let changes = self.presence.replace_remote(entries);
        match loading {
            Some(loading) => {
                let is_new = |user: &UserId| !before.contains(user);
                self.announce_held_joins(members, *loading, is_new, (now, ts));
            }
            None => {
                for change in changes {
                    self.announce(members, change, None, now, ts);
                }
            }
        }
    }

    /// Sets what another node has of a user.
    pub(super) fn apply_remote_user(
        &mut self,
        members: &mut Broadcaster,
        (node, user, entry): (NodeId, UserId, Option<PresenceEntry>),
        now: Instant,
        ts: Timestamp,
    ) {
        let change = self.presence.set_remote(node, &user, entry);
        if let Some(change) = change.filter(|_| self.is_roster_loaded()) {
            self.announce(members, change, None, now, ts);
        }
    }

    /// Removes what another node has.
    pub(super) fn remove_node(
        &mut self,
        members: &mut Broadcaster,
        node: NodeId,
        now: Instant,
        ts: Timestamp,
    ) {
        let changes = self.presence.remove_node(node);
        if self.is_roster_loaded() {
            for change in changes {
                self.announce(members, change, None, now, ts);
            }
        }
    }

    pub(super) fn is_roster_loaded(&self) -> bool {
        self.loading.is_none()
    }

    /// Closes when the roster is loaded; `None` if it is.
    pub(super) fn roster_pending(&self) -> Option<watch::Receiver<()>> {
        let loading = self.loading.as_ref();
        loading.map(|loading| loading.loaded.subscribe())
    }

    /// Continues without the roster: users that turn out to be on other nodes are announced from now on.
    pub(super) fn stop_waiting_for_roster(
        &mut self,
        members: &mut Broadcaster,
        now: Instant,
        ts: Timestamp,
    ) {
        if let Some(loading) = self.loading.take() {
            self.announce_held_joins(members, *loading, |_| true, (now, ts));
        }
    }

    fn announce_held_joins(
        &mut self,
        members: &mut Broadcaster,
        loading: LoadingRoster,
        is_new: impl Fn(&UserId) -> bool,
        (now, ts): (Instant, Timestamp),
    ) {
        for (connection, mut change) in loading.held_joins {
            let user = &change.user;
            if self.presence.contains(user) && is_new(user) && !self.presence.is_crowded() {
                change.count = self.presence.user_count();
                self.announce(members, change, Some(connection), now, ts);
            }
        }
    }

    /// The first `limit` users after `after`.
    pub(super) fn page(&self, after: Option<&UserId>, limit: usize) -> UserPage {
        self.presence.page(after, limit)
    }

    /// Records that a member is sent a list of the users now.
    pub(super) fn record_list(
        &mut self,
        members: &mut Broadcaster,
        connection: ConnectionId,
        now: Instant,
    ) {
        if members.record_listed(connection, now)
            && let Some(pending) = &mut self.pending
        {
            pending.record_list(|user| self.presence.status(user).is_some());
        }
    }

    /// The users whose entry other nodes are to be told. One whose change is pending is published when the members are told, at the
    /// latest when the room closes.
    pub(super) fn take_unpublished(
        &mut self,
        is_closing: bool,
    ) -> Vec<(UserId, Option<PresenceEntry>)> {
        let pending = self.pending.as_ref();
        let is_pending = |user: &UserId| pending.is_some_and(|pending| pending.contains(user));
        self.presence
            .take_unpublished(|user| is_closing || !is_pending(user))
    }

    /// Ends grace times that are over, and announces pending updates that are due.
    pub(super) fn run_due(&mut self, members: &mut Broadcaster, now: Instant, ts: Timestamp) {
        for change in self.presence.expire(now) {
            self.announce(members, change, None, now, ts);
        }
        while let Some(pending) = &mut self.pending
            && let Some((user, update)) = pending.take_due(now)
        {
            if !self.presence.is_crowded() {
                self.send_outcome(members, &user, &update, ts);
            }
        }
        self.pending.take_if(|pending| pending.is_empty());
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let pending = self.pending.as_ref();
        let pending = pending.and_then(|pending| pending.next_deadline());
        let deadlines = [self.presence.next_deadline(), pending];
        deadlines.into_iter().flatten().min()
    }

    /// Announces a change to the members that may see it, but not to `except`; later, if the user is over its budget.
    fn announce(
        &mut self,
        members: &mut Broadcaster,
        change: PresenceChange,
        except: Option<ConnectionId>,
        now: Instant,
        ts: Timestamp,
    ) {
        self.announce_at(members, change, except, (now, None), ts);
    }

    fn announce_at(
        &mut self,
        members: &mut Broadcaster,
        change: PresenceChange,
        except: Option<ConnectionId>,
        (now, not_before): (Instant, Option<Instant>),
        ts: Timestamp,
    ) {
        let change = match &mut self.pending {
            Some(pending) => pending.absorb(change, except),
            None => Some(change),
        };
        let Some(change) = change else { return };
        let affordable = members.spend(&change.user, now);
        match affordable.max(not_before) {
            None => send(members, &change, except, Recipients::All, ts),
            Some(at) => {
                members.count_deferred();
                let pending = self.pending.get_or_insert_default();
                pending.defer(change, except, now, at);
            }
        }
    }

    /// Announces what has become of a user whose update was pending.
    fn send_outcome(
        &self,
        members: &mut Broadcaster,
        user: &UserId,
        update: &PendingUpdate,
        ts: Timestamp,
    ) {
        let current = self.presence.status(user);
        let outcome = update.outcome(current.is_some());
        let status = current.unwrap_or_else(|| update.status().clone());
        let events = [
            (outcome.listed, Recipients::ListedSince(update.since)),
            (outcome.others, Recipients::NotListedSince(update.since)),
        ];
        for (kind, to) in events {
            if let Some(kind) = kind {
                let change = PresenceChange {
                    kind,
                    user: user.clone(),
                    status: status.clone(),
                    count: self.presence.user_count(),
                };
                send(members, &change, update.except, to, ts);
            }
        }
    }
}

/// Sends a change to the members that may see it.
fn send(
    members: &mut Broadcaster,
    change: &PresenceChange,
    except: Option<ConnectionId>,
    to: Recipients,
    ts: Timestamp,
) {
    let room = members.room().clone();
    let argument = change.event(&room, ts);
    let event = match change.kind {
        ChangeKind::Update => {
            OutgoingEvent::newest_notice("presence", &room, &change.user, &argument)
        }
        // Not superseded by newer ones: a member that misses a join or a leave would count wrong.
        ChangeKind::Join | ChangeKind::Leave => {
            OutgoingEvent::room_notice("presence", &room, &argument)
        }
    };
    members.send(&event, |connection, member| {
        let included = match to {
            Recipients::All => true,
            Recipients::ListedSince(time) => member.was_listed_since(time),
            Recipients::NotListedSince(time) => !member.was_listed_since(time),
        };
        included && member.sees_presence && Some(connection) != except
    });
}

#[cfg(test)]
mod tests;
