//! Read marks: up to which number a user has read a room.
//!
//! Says what a mark promises and by which rule it moves; whoever keeps the log keeps the marks beside it.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    backend::LogTime,
    error::Result,
    model::{RoomKey, Seq, Timestamp, UserId},
};

/// A mark that is set again where it stands counts as used, lest it be swept; noting that once a day will do.
pub(super) const MARKER_TOUCH_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Where a user's mark in a room stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadMarker {
    /// The number up to which the user has read; 0 when nothing was ever marked.
    pub seq: Seq,
    /// How many numbers the room has gone beyond it, whether or not those messages are still kept.
    pub unread: u64,
    /// This call moved it forward.
    pub moved: bool,
}

/// Keeps how far each user has read each room.
///
/// A mark only moves forward, and never beyond the room's last message. It belongs to the room's epoch: a room that is
/// forgotten takes its marks along. A mark nobody has set for 30 days, or for as long as the room keeps messages if
/// that is longer, may be forgotten too.
#[async_trait]
pub trait ReadMarkers: Send + Sync + 'static {
    /// Moves the mark to `seq`, or to the room's last message if that comes first; a mark already there or further on
    /// stays. Answers once it is stored as safely as a message, in order with the drafts that the log accepted before.
    /// Dropping the future does not take back what was asked.
    ///
    /// In a room that was never written the mark is 0, and nothing is stored.
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker>;

    /// Where the mark stands, `moved` being false. Never waits for whoever writes, and sees every mark that was
    /// answered before.
    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker>;
}

impl ReadMarker {
    /// A mark at `seq` in a room whose last message is `head`.
    pub(super) fn at(seq: Seq, head: Seq, moved: bool) -> Self {
        Self {
            seq,
            unread: head.0.saturating_sub(seq.0),
            moved,
        }
    }
}

/// A mark as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredMarker {
    pub(super) seq: Seq,
    /// When it was last set.
    pub(super) ts: Timestamp,
}

impl StoredMarker {
    /// One that was never set.
    pub(super) const NEVER: Self = Self {
        seq: Seq(0),
        ts: Timestamp(0),
    };

    /// What is to be kept from now on when its user has read up to `seq`; `None` if nothing is to change.
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
