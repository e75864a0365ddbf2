//! Retention: how many messages a room keeps and for how long, by the room's name, and how fast the rest is deleted.
//!
//! Pure: the time is an argument, and nothing here knows how messages are stored.

use std::time::Duration;

use crate::{
    backend::LogTime,
    model::{RoomName, Seq, Timestamp},
    pattern::Pattern,
};

/// How often reading an empty room is recorded as use.
pub(super) const ROOM_TOUCH_INTERVAL: Duration = DAY;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The shortest time for which an empty room is remembered, so that positions in it stay valid.
const MIN_ROOM_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long it is known of every room whether messages were deleted: a day less than rooms are remembered, since clocks
/// differ.
pub const GAP_DETECTION_WINDOW: Duration = Duration::from_secs(6 * 24 * 3600);

/// The shortest time for which a read marker is remembered.
const MIN_MARKER_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// A room may exceed its limit by this many messages, or by a tenth, before trimming starts: deleting in batches costs
/// far less than deleting one message for each append.
const SLACK: u64 = 64;

/// The retention policy of one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How many messages are kept; 0 keeps none, and numbering continues all the same.
    pub messages: u64,
    /// How long a message is kept.
    pub age: Duration,
}

impl RetentionPolicy {
    /// The number of the oldest message that the count allows in a room whose last is `head`.
    pub(super) fn first_by_count(self, head: Seq) -> Seq {
        Seq(head.0.saturating_sub(self.messages) + 1)
    }

    /// Messages from before this time are expired, and not returned.
    pub(super) fn cutoff(self, now: LogTime) -> Timestamp {
        now.retention_clock.before(self.age)
    }

    /// Whether a room that holds `oldest..=head` exceeds its limit far enough to be trimmed.
    pub(super) fn exceeds_limit(self, oldest: Seq, head: Seq) -> bool {
        let held = (head.0 + 1).saturating_sub(oldest.0);
        held > self.messages.saturating_add(SLACK.max(self.messages / 10))
    }

    /// Whether an empty room last used at `ts` may be forgotten, with its epoch.
    pub(super) fn room_expired(self, ts: Timestamp, now: LogTime) -> bool {
        ts < now.retention_clock.before(self.room_ttl())
    }

    /// How long an empty, unused room is remembered.
    pub(super) fn room_ttl(self) -> Duration {
        self.age.max(MIN_ROOM_TTL)
    }

    /// Whether a read marker last set at `ts` may be forgotten.
    pub(super) fn marker_expired(self, ts: Timestamp, now: LogTime) -> bool {
        ts < now.retention_clock.before(self.marker_ttl())
    }

    /// How long a read marker is remembered after it was last set.
    pub(super) fn marker_ttl(self) -> Duration {
        self.age.max(MIN_MARKER_TTL)
    }

    /// Whether reading an empty room last used at `ts` is to be recorded as use, so that it is not forgotten.
    pub(super) fn needs_touch(self, ts: Timestamp, now: LogTime) -> bool {
        ts < now.retention_clock.before(DAY)
    }
}

/// The policies of all rooms: the first rule whose pattern matches the room's name, else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For rooms that no rule matches.
    pub default: RetentionPolicy,
    /// Room policies: patterns on the room's name, of which the first that matches decides; with `None` what follows does.
    pub policies: Vec<(Pattern, Option<RetentionPolicy>)>,
    /// Patterns on the room's name, in which `*` matches any run of characters, and their policies.
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
            policies: Vec::new(),
            rules: Vec::new(),
        }
    }
}

impl Retention {
    /// The policy of `room`.
    pub fn policy(&self, room: &RoomName) -> RetentionPolicy {
        let matches = |pattern: &Pattern| pattern.matches(room.as_str());
        let mut policies = self.policies.iter();
        let by_policy = policies.find(|(pattern, _)| room.is_matched_by(pattern));
        if let Some((_, Some(policy))) = by_policy {
            return *policy;
        }
        let mut rules = self.rules.iter();
        let by_rule = rules.find(|(pattern, _)| matches(pattern));
        by_rule.map_or(self.default, |(_, policy)| *policy)
    }
}

/// The time between two passes over all rooms.
const PASS_INTERVAL: Duration = Duration::from_secs(60);

/// The delay after a trim step that took `took`: trimming takes at most a tenth of the time, and backs off while the log
/// is busy with appends, since a step waits in the same queue.
pub(super) fn trim_delay(more: bool, took: Duration) -> Duration {
    if more {
        (took * 9).clamp(Duration::from_millis(10), Duration::from_secs(1))
    } else {
        PASS_INTERVAL
    }
}

#[cfg(test)]
mod tests;
