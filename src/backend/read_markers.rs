//! Read markers: up to which number a user has read a room.
//!
//! Defines what a marker promises and the rule by which it advances; the implementation of the log stores the markers.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    backend::LogTime,
    error::Result,
    model::{RoomKey, Seq, Timestamp, UserId},
};

/// How often a marker that is set again without advancing is written, so that it does not expire.
pub(super) const MARKER_TOUCH_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// A user's read marker in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadMarker {
    /// The number up to which the user has read; 0 if it was never set.
    pub seq: Seq,
    /// How many messages were stored after it, whether or not they are still stored.
    pub unread: u64,
    /// This call advanced it.
    pub moved: bool,
}

/// Stores how far each user has read each room.
///
/// A marker only advances, and never beyond the room's last message. It belongs to the room's epoch: when a room is
/// forgotten, its markers are, too. A marker that was not set for 30 days, or for as long as the room keeps messages if
/// that is longer, may be forgotten.
#[async_trait]
pub trait ReadMarkers: Send + Sync + 'static {
    /// Advances the marker to `seq`, or to the room's last message if that comes first; a marker at or beyond it stays.
    /// Returns once it is stored as durably as a message, in order with the drafts that the log accepted before.
    /// Dropping the future does not cancel the change.
    ///
    /// In a room that was never written to the marker is 0, and nothing is stored.
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker>;

    /// Returns the marker, with `moved` false. Never waits for writes, and sees every change that has returned before.
    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker>;
}

impl ReadMarker {
    /// A marker at `seq` in a room whose last message is `head`.
    pub(super) fn at(seq: Seq, head: Seq, moved: bool) -> Self {
        Self {
            seq,
            unread: head.0.saturating_sub(seq.0),
            moved,
        }
    }
}

/// A marker as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredMarker {
    pub(super) seq: Seq,
    /// When it was last set.
    pub(super) ts: Timestamp,
}

impl StoredMarker {
    /// A marker that was never set.
    pub(super) const NEVER: Self = Self {
        seq: Seq(0),
        ts: Timestamp(0),
    };

    /// The marker to store when its user has read up to `seq`; `None` if nothing changes.
    pub(super) fn set(self, seq: Seq, head: Seq, now: LogTime) -> Option<Self> {
        let seq = self.seq.max(seq.min(head));
        let used = seq > Seq(0) && self.ts < now.retention_clock.before(MARKER_TOUCH_INTERVAL);
        (seq > self.seq || used).then_some(Self {
            seq,
            ts: now.retention_clock,
        })
    }
}

#[cfg(test)]
mod tests;
