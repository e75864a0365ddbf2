//! How often the members of a user's rooms are told what it is like, over all its connections: a second apart after a few at once.
//!
//! Pure state. Of changes that come faster the newest is told: what is told is read when its time has come.

use std::time::{Duration, Instant};

use crate::limits::{Bucket, Rate};

/// Changes told a second, for long.
const PER_SECOND: u32 = 1;
/// Changes told at once after a rest.
const BURST: u32 = 10;

/// The pace of one user.
#[derive(Debug, Default)]
pub(in crate::hub) struct Showing {
    bucket: Bucket,
    /// When the last change is told, if it was put off.
    next: Option<Instant>,
}

impl Showing {
    /// When a change of `now` is told; `None`: at once.
    pub(in crate::hub) fn when(&mut self, now: Instant) -> Option<Instant> {
        self.next = self.next.filter(|at| *at > now);
        if self.next.is_none() {
            let rate = Rate::new(PER_SECOND, BURST);
            let wait = self.bucket.reserve(rate, now, Duration::MAX);
            let wait = wait.ok().filter(|wait| !wait.is_zero());
            self.next = wait.map(|wait| now + wait);
        }
        self.next
    }
}

#[cfg(test)]
mod tests;
