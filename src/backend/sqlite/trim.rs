//! Trimming: deletes what retention no longer keeps, in steps small enough to share a transaction with waiting appends.
//!
//! Runs inside the writer's transaction and knows no thread.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    room_table::RoomTable,
    tables::{
        idempotency, messages,
        rooms::{self, RoomExtent},
        sessions,
    },
};
use crate::{
    backend::{LogTime, RetentionPolicy},
    model::{Offset, RoomKey, Seq},
};

mod due;
mod read_markers;

pub(super) use due::count_due;
use read_markers::MarkerPass;

/// How many rows one step deletes at most, and how many rooms or read markers it looks at.
const STEP: usize = 256;

/// What a step deleted, for the hot cache to follow once it is committed.
pub(super) enum Trimmed {
    /// The room's messages before this number, which are those up to an offset.
    Messages(RoomKey, Seq, Offset),
    /// The room.
    Room(RoomKey),
}

/// The position of the pass over all rooms, and of the pass over their read markers.
pub(super) struct TrimPass {
    /// How long a session that has ended can be resumed.
    session_window: Duration,
    /// The id of the last room that was trimmed.
    after: i64,
    markers: MarkerPass,
}

/// Trims rooms that are far over their limit. `appends` is how many drafts the transaction holds: at least as many rows
/// are deleted, or a busy room would grow without bound.
pub(super) fn trim_over_limit(
    db: &Connection,
    rooms: &mut RoomTable,
    appends: usize,
    trimmed: &mut Vec<Trimmed>,
) -> rusqlite::Result<()> {
    let mut budget = STEP.max(appends) as u64;
    while budget > 0
        && let Some(key) = rooms.over_limit.first().cloned()
    {
        // A failure here fails this transaction; it should not fail the next one, too.
        rooms.over_limit.swap_remove(&key);
        let Some(room) = rooms.find(db, &key)? else {
            continue;
        };
        let row = &room.row;
        let target = room.policy.first_by_count(row.head);
        let end = target.min(Seq(row.oldest.0 + budget));
        if end > row.oldest {
            budget -= end.0 - row.oldest.0;
            let id = row.id;
            trimmed.push(delete_messages(db, rooms, id, &key, end)?);
        }
        if end < target {
            rooms.over_limit.insert(key);
        }
    }
    Ok(())
}

impl TrimPass {
    pub(super) fn new(session_window: Duration) -> Self {
        Self {
            session_window,
            after: 0,
            markers: MarkerPass::default(),
        }
    }

    /// Takes one step, and returns whether there is more to do.
    pub(super) fn step(
        &mut self,
        db: &Connection,
        rooms: &mut RoomTable,
        now: LogTime,
        trimmed: &mut Vec<Trimmed>,
    ) -> rusqlite::Result<bool> {
        // A pass over the markers is short and rare: rooms wait until it is done, lest each of its steps scan them again.
        if self.markers.step(db, &rooms.retention, now)? {
            return Ok(true);
        }
        let ids = idempotency::delete_expired(db, rooms.ids_expired(now), STEP)?;
        let sessions = sessions::delete_expired(db, now.before(self.session_window), STEP)?;
        let candidates = rooms::list_after(db, self.after, STEP)?;
        let mut more = candidates.len() == STEP;
        let mut budget = STEP as u64;
        for (key, row) in candidates {
            if budget == 0 {
                more = true;
                break;
            }
            let deleted = trim_room(db, rooms, &key, &row, budget, now, trimmed);
            if deleted.is_err() {
                // The next step continues behind this room: a damaged one must not keep all others from being trimmed.
                self.after = row.id;
            }
            budget -= deleted?;
            if budget > 0 {
                self.after = row.id;
            }
        }
        if !more && budget > 0 {
            self.after = 0;
        }
        Ok(more || budget == 0 || ids == STEP || sessions == STEP)
    }
}

/// Deletes expired messages of a room, or the room, and returns how many messages were deleted, at most `budget`; if as
/// many, the room may not be done.
fn trim_room(
    db: &Connection,
    rooms: &mut RoomTable,
    key: &RoomKey,
    row: &RoomExtent,
    budget: u64,
    now: LogTime,
    trimmed: &mut Vec<Trimmed>,
) -> rusqlite::Result<u64> {
    let policy = rooms.retention.policy(&key.room);
    let (first, target) = expired_span(db, policy, row, now)?;
    let end = target.min(Seq(first.0 + budget));
    if end > row.head && policy.room_expired(row.ts, now) {
        rooms::delete(db, key, row)?;
        rooms.remove(key);
        trimmed.push(Trimmed::Room(key.clone()));
    } else if end > first {
        trimmed.push(delete_messages(db, rooms, row.id, key, end)?);
    }
    Ok(end.0.saturating_sub(first.0))
}

/// The first message that is stored of a room, and the first one that is kept.
fn expired_span(
    db: &Connection,
    policy: RetentionPolicy,
    row: &RoomExtent,
    now: LogTime,
) -> rusqlite::Result<(Seq, Seq)> {
    let first = messages::first(db, row.id)?.unwrap_or(row.head.next());
    let first_unexpired = messages::first_since(db, row.id, first, row.head, policy.cutoff(now))?;
    // Messages before `oldest` are left from a time when the room's policy was another one.
    let target = first_unexpired
        .max(policy.first_by_count(row.head))
        .max(row.oldest);
    Ok((first, target))
}

/// Deletes the room's messages before `end`, and updates its row and the room table.
fn delete_messages(
    db: &Connection,
    rooms: &mut RoomTable,
    id: i64,
    key: &RoomKey,
    end: Seq,
) -> rusqlite::Result<Trimmed> {
    let trimmed = messages::delete_before(db, id, end)?;
    rooms::raise_oldest(db, id, end, trimmed)?;
    rooms.raise_oldest(key, end, trimmed);
    Ok(Trimmed::Messages(key.clone(), end, trimmed))
}
