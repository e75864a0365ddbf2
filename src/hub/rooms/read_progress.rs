//! How far the members of one room were told that users have read, and updates that are deferred because a user is over its
//! budget ([`fan_out`](super::fan_out)).
//!
//! Pure state. Only the latest position counts, so a deferred update is replaced by later ones.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use crate::model::{ConnectionId, Seq, UserId};

/// A user has read up to a sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hub) struct ReadUpdate {
    pub(in crate::hub) user: UserId,
    pub(in crate::hub) seq: Seq,
    /// The connection that said so, if it is of this node.
    pub(in crate::hub) connection: Option<ConnectionId>,
}

/// How far the users of one room have read.
#[derive(Debug, Default)]
pub(in crate::hub) struct ReadProgress {
    users: HashMap<UserId, UserProgress>,
    due: BTreeSet<(Instant, UserId)>,
}

#[derive(Debug, Default)]
struct UserProgress {
    announced: Seq,
    deferred: Option<ReadUpdate>,
}

impl ReadProgress {
    /// Records how far a user has read. Returns the update if it is to be announced or deferred: no update of the user is deferred
    /// already, and it is further than members know. Updates of several connections can arrive in any order.
    pub(in crate::hub) fn record(&mut self, update: ReadUpdate) -> Option<ReadUpdate> {
        let progress = self.users.entry(update.user.clone()).or_default();
        if progress.announced >= update.seq {
            return None;
        }
        let Some(deferred) = &mut progress.deferred else {
            progress.announced = update.seq;
            return Some(update);
        };
        if deferred.seq < update.seq {
            *deferred = update;
        }
        None
    }

    /// Defers an update that [`record`](Self::record) returned until `at`.
    pub(in crate::hub) fn defer(&mut self, update: ReadUpdate, at: Instant) {
        let progress = self.users.entry(update.user.clone()).or_default();
        self.due.insert((at, update.user.clone()));
        progress.deferred = Some(update);
    }

    /// Takes the first update that is due by `now`.
    pub(in crate::hub) fn take_due(&mut self, now: Instant) -> Option<ReadUpdate> {
        self.next_deadline().filter(|at| *at <= now)?;
        let (_, user) = self.due.pop_first()?;
        let progress = self.users.get_mut(&user)?;
        let update = progress.deferred.take()?;
        progress.announced = progress.announced.max(update.seq);
        Some(update)
    }

    /// When the next update is due.
    pub(in crate::hub) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Users that are remembered.
    pub(in crate::hub) fn len(&self) -> usize {
        self.users.len()
    }

    /// Forgets users for which `is_present` returns false, unless an update of them is deferred.
    pub(in crate::hub) fn retain(&mut self, is_present: impl Fn(&UserId) -> bool) {
        self.users
            .retain(|user, progress| progress.deferred.is_some() || is_present(user));
    }
}

#[cfg(test)]
mod tests;
