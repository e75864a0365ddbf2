//! What it costs others that a user shows itself: each event is delivered to all members of a room, and there may be many rooms.
//!
//! Status changes, joins and leaves, read markers and typing are paid for in deliveries, from one budget a user over all its
//! connections. What is over the budget is told later, and of several things the newest: nothing is refused or lost.

use std::time::Instant;

use crate::{
    limits::{Buckets, Rate},
    model::UserId,
};

/// The budgets of all users.
#[derive(Debug)]
pub(in crate::hub) struct FanOut(Buckets<UserId>);

impl FanOut {
    /// Full budgets of so many deliveries a second.
    pub(in crate::hub) fn new(rate: Rate) -> Self {
        Self(Buckets::new(rate))
    }

    /// Takes what it costs to tell so many members something of `user`, and says when they may be told; `None`: at once.
    pub(in crate::hub) fn take(
        &self,
        user: &UserId,
        members: usize,
        now: Instant,
    ) -> Option<Instant> {
        let permits = u32::try_from(members).unwrap_or(u32::MAX);
        let wait = self.0.spend(user, permits, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// When members may be told something of `user` next; `None`: now.
    pub(in crate::hub) fn when(&self, user: &UserId, now: Instant) -> Option<Instant> {
        let wait = self.0.wait(user, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Takes what it has cost to tell so many members something of `user`.
    pub(in crate::hub) fn charge(&self, user: &UserId, members: usize, now: Instant) {
        self.take(user, members, now);
    }

    /// Forgets budgets that are full again.
    pub(in crate::hub) fn sweep(&self, now: Instant) {
        self.0.sweep(now);
    }
}

#[cfg(test)]
mod tests;
