//! Presence changes that the members of a room are told later, because the users that they are about are over their budget
//! ([`fan_out`](super::fan_out)).
//!
//! Pure state. While an update of a user is pending, its further changes are absorbed: when the time comes members are told the
//! outcome of all of them, which may be nothing.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use super::{
    presence::{ChangeKind, PresenceChange},
    user_status::UserStatus,
};
use crate::model::{ConnectionId, UserId};

/// The users of one room with a pending update.
#[derive(Debug, Default)]
pub(in crate::hub) struct PendingUpdates {
    users: HashMap<UserId, PendingUpdate>,
    due: BTreeSet<(Instant, UserId)>,
}

/// The pending update of one user.
#[derive(Debug)]
pub(in crate::hub) struct PendingUpdate {
    /// Members know that the user is in the room.
    was_present: bool,
    /// When it became pending. What members know that were sent a list of users after that is in `listings`.
    pub(in crate::hub) since: Instant,
    listings: Listings,
    /// The connection that is not told.
    pub(in crate::hub) except: Option<ConnectionId>,
    /// The latest status.
    status: UserStatus,
    at: Instant,
}

/// What lists of users, sent while an update was pending, said about the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Listings {
    /// A list contained the user.
    present: bool,
    /// A list did not.
    absent: bool,
    /// The user has changed after a list that contained it.
    outdated: bool,
}

/// What members are to be told of a user, if anything: those that were sent a list while the update was pending, and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct UpdateOutcome {
    pub(in crate::hub) listed: Option<ChangeKind>,
    pub(in crate::hub) others: Option<ChangeKind>,
}

impl PendingUpdates {
    /// Records that a member is sent a list of the users, those for which `is_listed` returns true.
    pub(in crate::hub) fn record_list(&mut self, is_listed: impl Fn(&UserId) -> bool) {
        for (user, update) in &mut self.users {
            match is_listed(user) {
                true => update.listings.present = true,
                false => update.listings.absent = true,
            }
        }
    }

    /// Adds a change to the pending update of its user; returns it if there is none.
    pub(in crate::hub) fn absorb(
        &mut self,
        change: PresenceChange,
        except: Option<ConnectionId>,
    ) -> Option<PresenceChange> {
        let Some(update) = self.users.get_mut(&change.user) else {
            return Some(change);
        };
        update.status = change.status;
        update.listings.outdated |= update.listings.present;
        // Of changes made by two connections, each has to be told the other's.
        if update.except != except {
            update.except = None;
        }
        None
    }

    /// Defers a change until `at`.
    pub(in crate::hub) fn defer(
        &mut self,
        change: PresenceChange,
        except: Option<ConnectionId>,
        now: Instant,
        at: Instant,
    ) {
        let update = PendingUpdate {
            was_present: change.kind != ChangeKind::Join,
            since: now,
            listings: Listings::default(),
            except,
            status: change.status,
            at,
        };
        self.due.insert((at, change.user.clone()));
        self.users.insert(change.user, update);
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether an update of a user is pending.
    pub(in crate::hub) fn contains(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Takes the pending update of a user.
    pub(in crate::hub) fn take(&mut self, user: &UserId) -> Option<PendingUpdate> {
        let (user, update) = self.users.remove_entry(user)?;
        self.due.remove(&(update.at, user));
        Some(update)
    }

    /// Takes the first update that is due by `now`.
    pub(in crate::hub) fn take_due(&mut self, now: Instant) -> Option<(UserId, PendingUpdate)> {
        self.next_deadline().filter(|at| *at <= now)?;
        let (_, user) = self.due.pop_first()?;
        self.users.remove_entry(&user)
    }

    /// When the next update is due.
    pub(in crate::hub) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

impl PendingUpdate {
    /// What members are to be told, now that the user is in the room or not.
    pub(in crate::hub) fn outcome(&self, is_present: bool) -> UpdateOutcome {
        let Listings {
            present,
            absent,
            outdated,
        } = self.listings;
        UpdateOutcome {
            listed: match is_present {
                true if absent => Some(ChangeKind::Join),
                true => outdated.then_some(ChangeKind::Update),
                false => present.then_some(ChangeKind::Leave),
            },
            others: match (self.was_present, is_present) {
                (false, true) => Some(ChangeKind::Join),
                (true, true) => Some(ChangeKind::Update),
                (true, false) => Some(ChangeKind::Leave),
                (false, false) => None,
            },
        }
    }

    /// The latest status of the user.
    pub(in crate::hub) fn status(&self) -> &UserStatus {
        &self.status
    }
}

#[cfg(test)]
mod tests;
