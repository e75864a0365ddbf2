//! What a room keeps: how many messages and for how long, by the room's name; and how fast the rest is taken away.
//!
//! Pure: the time comes in as an argument, and nothing here knows how messages are stored.

use std::time::Duration;

use crate::{
    backend::LogTime,
    model::{RoomName, Seq, Timestamp},
    pattern::Pattern,
};

/// Using an empty room is noted once in so long.
pub(super) const ROOM_TOUCH_INTERVAL: Duration = DAY;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An empty room is remembered at least this long, so that positions in it stay valid.
const LINGER: Duration = Duration::from_secs(7 * 24 * 3600);

/// For so long it is known of every room whether something is gone from it; a day less, since clocks differ.
pub const GAP_DETECTION_WINDOW: Duration = Duration::from_secs(6 * 24 * 3600);

/// A read mark is remembered at least this long.
const MARK: Duration = Duration::from_secs(30 * 24 * 3600);

/// A room may hold this many messages more than its limit, or a tenth more, before trimming starts: deleting in
/// batches costs far less than deleting one message for each that comes.
const SLACK: u64 = 64;

/// The limits of one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How many messages are kept; 0 keeps none, and numbering goes on all the same.
    pub messages: u64,
    /// How long a message is kept.
    pub age: Duration,
}

impl RetentionPolicy {
    /// The number of the oldest message that the count allows in a room whose last is `head`.
    pub(super) fn first_by_count(self, head: Seq) -> Seq {
        Seq(head.0.saturating_sub(self.messages) + 1)
    }

    /// Messages from before this time are not shown.
    pub(super) fn cutoff(self, now: LogTime) -> Timestamp {
        now.retention_clock.before(self.age)
    }

    /// Whether a room that holds `oldest..=head` is far enough over its count to be trimmed.
    pub(super) fn overfull(self, oldest: Seq, head: Seq) -> bool {
        let held = (head.0 + 1).saturating_sub(oldest.0);
        held > self.messages.saturating_add(SLACK.max(self.messages / 10))
    }

    /// Whether an empty room last written at `ts` may be forgotten, epoch and all.
    pub(super) fn room_expired(self, ts: Timestamp, now: LogTime) -> bool {
        ts < now.retention_clock.before(self.room_ttl())
    }

    /// How long an empty room is remembered when nobody uses it.
    pub(super) fn room_ttl(self) -> Duration {
        self.age.max(LINGER)
    }

    /// Whether a read mark last set at `ts` may be forgotten.
    pub(super) fn marker_expired(self, ts: Timestamp, now: LogTime) -> bool {
        ts < now.retention_clock.before(self.marker_ttl())
    }

    /// How long a read mark is remembered when nobody sets it.
    pub(super) fn marker_ttl(self) -> Duration {
        self.age.max(MARK)
    }

    /// Whether reading an empty room last written at `ts` should count as use, lest it be forgotten.
    pub(super) fn needs_touch(self, ts: Timestamp, now: LogTime) -> bool {
        ts < now.retention_clock.before(DAY)
    }
}

/// The limits of every room: the first rule whose pattern matches the room's name, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For rooms that no rule names.
    pub default: RetentionPolicy,
    /// Patterns on the room's name, in which `*` matches any run of characters, and their limits.
    pub rules: Vec<(Pattern, RetentionPolicy)>,
}

impl Default for Retention {
    /// 10,000 messages or 7 days, whichever ends first.
    fn default() -> Self {
        Self {
            default: RetentionPolicy {
                messages: 10_000,
                age: 7 * DAY,
            },
            rules: Vec::new(),
        }
    }
}

impl Retention {
    /// The limits of `room`.
    pub fn policy(&self, room: &RoomName) -> RetentionPolicy {
        self.rules
            .iter()
            .find(|(pattern, _)| pattern.matches(room.as_str()))
            .map_or(self.default, |(_, keep)| *keep)
    }
}

/// How long to wait between two passes over all rooms.
const PASS: Duration = Duration::from_secs(60);

/// How long trimming rests after a step that took `took`: a tenth of the time at most is spent on it, and a log that
/// is busy with appends, whose queue a step waits in, is asked less often.
pub(super) fn trim_delay(more: bool, took: Duration) -> Duration {
    if more {
        (took * 9).clamp(Duration::from_millis(10), Duration::from_secs(1))
    } else {
        PASS
    }
}

#[cfg(test)]
mod tests;
