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
pub(super) struct FanOut(Buckets<UserId>);

impl FanOut {
    /// Full budgets of so many deliveries a second.
    pub(super) fn new(rate: Rate) -> Self {
        Self(Buckets::new(rate))
    }

    /// Takes what it costs to tell so many members something of `user`, and says when they may be told; `None`: at once.
    pub(super) fn take(&self, user: &UserId, members: usize, now: Instant) -> Option<Instant> {
        let permits = u32::try_from(members).unwrap_or(u32::MAX);
        let wait = self.0.spend(user, permits, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// When members may be told something of `user` next; `None`: now.
    pub(super) fn when(&self, user: &UserId, now: Instant) -> Option<Instant> {
        let wait = self.0.wait(user, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Takes what it has cost to tell so many members something of `user`.
    pub(super) fn charge(&self, user: &UserId, members: usize, now: Instant) {
        self.take(user, members, now);
    }

    /// Forgets budgets that are full again.
    pub(super) fn sweep(&self, now: Instant) {
        self.0.sweep(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_over_the_budget_is_told_when_it_has_come_back_one_after_another() {
        let fan_out = FanOut::new(Rate::new(100, 200));
        let [alice, bob] = ["alice", "bob"].map(|user| UserId::parse(user).unwrap());
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..5 {
            let at = fan_out.take(&alice, 100, now);
            waits.push(at.map_or(0, |at| (at - now).as_millis()));
        }
        // The last permit of a burst is there at once: 199 permits may be owed.
        assert_eq!(waits, [0, 0, 10, 1010, 2010]);
        assert_eq!(fan_out.take(&bob, 100, now), None);
        let later = now + Duration::from_secs(6);
        assert_eq!(fan_out.take(&alice, 100, later), None);
    }

    #[test]
    fn a_budget_of_zero_is_none() {
        let fan_out = FanOut::new(Rate::new(0, 0));
        let (user, now) = (UserId::parse("alice").unwrap(), Instant::now());
        assert!((0..1000).all(|_| fan_out.take(&user, usize::MAX, now).is_none()));
    }
}
