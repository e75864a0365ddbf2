//! How often the members of a user's rooms are told its status, over all its connections: once a second after a burst.
//!
//! Pure state. Of changes that come faster the newest is sent: the status is read when the time has come.

use std::time::{Duration, Instant};

use crate::limits::{Bucket, Rate};

/// Changes that are announced per second in the long run.
const CHANGES_PER_SECOND: u32 = 1;
/// Changes that are announced at once after a rest.
const BURST: u32 = 10;

/// The pacing of one user's status changes.
#[derive(Debug, Default)]
pub(in crate::hub) struct StatusPacing {
    bucket: Bucket,
    /// When the last change is announced, if it was deferred.
    next: Option<Instant>,
}

impl StatusPacing {
    /// When a change made at `now` is announced; `None`: at once.
    pub(in crate::hub) fn schedule(&mut self, now: Instant) -> Option<Instant> {
        self.next = self.next.filter(|at| *at > now);
        if self.next.is_none() {
            let rate = Rate::new(CHANGES_PER_SECOND, BURST);
            let wait = self.bucket.reserve(rate, now, Duration::MAX);
            let wait = wait.ok().filter(|wait| !wait.is_zero());
            self.next = wait.map(|wait| now + wait);
        }
        self.next
    }
}

#[cfg(test)]
mod tests;
