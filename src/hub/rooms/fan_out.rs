//! What events about a user cost others: each is delivered to all members of a room, and there may be many rooms.
//!
//! Status changes, joins and leaves, read positions and typing are paid for in deliveries, from one budget per user over all its
//! connections. What is over the budget is deferred, and of several deferred events the newest is sent: nothing is refused
//! or lost.

use std::time::Instant;

use crate::{
    limits::{Buckets, Rate},
    model::UserId,
};

/// The budgets of all users.
#[derive(Debug)]
pub(in crate::hub) struct FanOutBudget(Buckets<UserId>);

impl FanOutBudget {
    /// Full budgets of so many deliveries a second.
    pub(in crate::hub) fn new(rate: Rate) -> Self {
        Self(Buckets::new(rate))
    }

    /// Charges `user` for so many deliveries; returns when they may be made, `None`: now.
    pub(in crate::hub) fn spend(
        &self,
        user: &UserId,
        deliveries: usize,
        now: Instant,
    ) -> Option<Instant> {
        let permits = u32::try_from(deliveries).unwrap_or(u32::MAX);
        let wait = self.0.spend(user, permits, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// When something about `user` may be delivered next; `None`: now.
    pub(in crate::hub) fn ready_at(&self, user: &UserId, now: Instant) -> Option<Instant> {
        let wait = self.0.wait(user, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Charges `user` for deliveries that are made whatever its budget.
    pub(in crate::hub) fn charge(&self, user: &UserId, deliveries: usize, now: Instant) {
        self.spend(user, deliveries, now);
    }

    /// Forgets budgets that are full again.
    pub(in crate::hub) fn sweep(&self, now: Instant) {
        self.0.remove_full(now);
    }
}

#[cfg(test)]
mod tests;
