//! Finds what was lost between Redis and this node without a trace: no lost connection, no missing number. No I/O.
//!
//! Now and then the ends of the followed rooms in the log are compared with what was delivered. What is missing may be in
//! flight. So a barrier is published: what is still missing when it comes back was lost.

use std::time::Duration;

use tokio::time::Instant;

use super::rooms::FollowedRooms;
use crate::model::Offset;

/// How often the followed rooms are compared with the log.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);

pub(super) struct GapDetector {
    checked_at: Instant,
    /// Rooms that had more than was delivered, and where they ended.
    rooms: Vec<(String, Offset)>,
    /// Rooms whose roster had another version than the one that was delivered, which is this.
    rosters: Vec<(String, Option<u64>)>,
    /// The barrier that decides.
    barrier: u64,
}

impl GapDetector {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            checked_at: now,
            rooms: Vec::new(),
            rosters: Vec::new(),
            barrier: 0,
        }
    }

    /// Whether it is time to compare the rooms with the log.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.checked_at) > CHECK_INTERVAL
    }

    /// The rooms were compared.
    pub(super) fn checked(&mut self, now: Instant) {
        self.checked_at = now;
    }

    /// Records what was missing at a comparison, and returns whether anything was.
    pub(super) fn record_missing(
        &mut self,
        rooms: Vec<(String, Offset)>,
        rosters: Vec<(String, Option<u64>)>,
    ) -> bool {
        (self.rooms, self.rosters) = (rooms, rosters);
        !self.rooms.is_empty() || !self.rosters.is_empty()
    }

    /// The barrier of this number was published after the comparison.
    pub(super) fn decide_at(&mut self, barrier: u64) {
        self.barrier = barrier;
    }

    /// A barrier came back. Returns whether anything that was missing still is, if this is the barrier that decides or a later
    /// one.
    pub(super) fn confirm(&mut self, barrier: u64, followed: &FollowedRooms) -> bool {
        if barrier < self.barrier {
            return false;
        }
        let rooms = std::mem::take(&mut self.rooms);
        let rosters = std::mem::take(&mut self.rosters);
        rooms.iter().any(|(channel, end)| {
            let room = followed.get(channel);
            room.is_some_and(|room| room.offset < *end)
        }) || rosters.iter().any(|(channel, known)| {
            let room = followed.get(channel);
            room.is_some_and(|room| room.roster_version == *known)
        })
    }

    /// Forgets what was missing: everything is read from the log now.
    pub(super) fn clear(&mut self) {
        self.rooms.clear();
        self.rosters.clear();
    }
}

#[cfg(test)]
mod tests;
