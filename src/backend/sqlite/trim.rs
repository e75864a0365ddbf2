//! Takes away what is no longer kept, in steps small enough to share a transaction with waiting appends.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    read_markers::Sweep,
    reader::first_since,
    room_table::{RoomTable, int, nat},
    sessions,
};
use crate::{
    backend::{LogTime, RetentionPolicy, epoch},
    model::{Namespace, Offset, RoomKey, RoomName, Seq, Timestamp},
};

/// How many rows one step deletes at most, and how many rooms or marks it looks at.
pub(super) const STEP: usize = 256;

/// What a step took away, for the tail to follow once it is committed.
pub(super) enum Taken {
    /// The room's messages before this one, which are those up to an offset.
    Messages(RoomKey, Seq, Offset),
    /// The room.
    Room(RoomKey),
}

/// Where a pass over all rooms and the sweep over their marks stand.
pub(super) struct Pass {
    /// How long a session that has ended can be resumed.
    session_window: Duration,
    /// The last room that was done.
    after: i64,
    marks: Sweep,
}

struct Candidate {
    id: i64,
    key: RoomKey,
    head: Seq,
    oldest: Seq,
    ts: Timestamp,
}

/// Trims rooms that are far over their count. `appends` is how many drafts the transaction holds: as many rows are
/// deleted at least, or a busy room would grow without end.
pub(super) fn overfull(
    db: &Connection,
    rooms: &mut RoomTable,
    appends: usize,
    taken: &mut Vec<Taken>,
) -> rusqlite::Result<()> {
    let mut budget = STEP.max(appends) as u64;
    while budget > 0
        && let Some(key) = rooms.overfull.first().cloned()
    {
        // Whatever fails here fails a transaction; it should not fail the next one, too.
        rooms.overfull.swap_remove(&key);
        let Some(row) = rooms.find(db, &key)? else {
            continue;
        };
        let target = row.keep.first_by_count(row.head);
        let end = target.min(Seq(row.oldest.0 + budget));
        if end > row.oldest {
            budget -= end.0 - row.oldest.0;
            let id = row.id;
            taken.push(delete(db, rooms, id, &key, end)?);
        }
        if end < target {
            rooms.overfull.insert(key);
        }
    }
    Ok(())
}

impl Pass {
    pub(super) fn new(session_window: Duration) -> Self {
        Self {
            session_window,
            after: 0,
            marks: Sweep::default(),
        }
    }

    /// One step; whether there is more to do.
    pub(super) fn step(
        &mut self,
        db: &Connection,
        rooms: &mut RoomTable,
        now: LogTime,
        taken: &mut Vec<Taken>,
    ) -> rusqlite::Result<bool> {
        // A sweep is short and seldom: rooms wait until it is done, lest each of its steps look at them again.
        if self.marks.step(db, &rooms.retention, now)? {
            return Ok(true);
        }
        let ids = forget_ids(db, rooms.ids_expired(now))?;
        let sessions = sessions::forget_ended(db, now.before(self.session_window))?;
        let candidates = candidates(db, self.after)?;
        let mut more = candidates.len() == STEP;
        let mut budget = STEP as u64;
        for room in candidates {
            if budget == 0 {
                more = true;
                break;
            }
            let keep = rooms.retention.policy(&room.key.room);
            let deleted = sweep(db, rooms, &room, keep, budget, now, taken);
            if deleted.is_err() {
                // The next pass goes on behind it: one room that is damaged is not to keep all others from being trimmed.
                self.after = room.id;
            }
            let deleted = deleted?;
            budget -= deleted;
            if budget > 0 {
                self.after = room.id;
            }
        }
        if !more && budget > 0 {
            self.after = 0;
        }
        Ok(more || budget == 0 || ids == STEP || sessions == STEP)
    }
}

/// How many messages were deleted, at most `budget`; if as many, the room may not be done.
fn sweep(
    db: &Connection,
    rooms: &mut RoomTable,
    room: &Candidate,
    keep: RetentionPolicy,
    budget: u64,
    now: LogTime,
    taken: &mut Vec<Taken>,
) -> rusqlite::Result<u64> {
    let first = first_stored(db, room.id)?.unwrap_or(room.head.next());
    let young = first_since(db, room.id, first, room.head, keep.cutoff(now))?;
    // What lies before `oldest` is left from a time when the room's limits were others.
    let target = young.max(keep.first_by_count(room.head)).max(room.oldest);
    let end = target.min(Seq(first.0 + budget));
    if end > room.head && keep.room_expired(room.ts, now) {
        forget(db, room)?;
        rooms.forget(&room.key);
        taken.push(Taken::Room(room.key.clone()));
    } else if end > first {
        taken.push(delete(db, rooms, room.id, &room.key, end)?);
    }
    Ok(end.0.saturating_sub(first.0))
}

fn candidates(db: &Connection, after: i64) -> rusqlite::Result<Vec<Candidate>> {
    db.prepare_cached(
        "SELECT rooms.id, namespaces.name, rooms.name, head, oldest, ts
         FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
         WHERE rooms.id > ?1 ORDER BY rooms.id LIMIT ?2",
    )?
    .query_map(params![after, int(STEP as u64)], |row| {
        Ok(Candidate {
            id: row.get(0)?,
            key: RoomKey {
                namespace: Namespace::from_log(row.get_ref(1)?.as_str()?),
                room: RoomName::from_log(row.get_ref(2)?.as_str()?),
            },
            head: Seq(nat(row.get(3)?)),
            oldest: Seq(nat(row.get(4)?)),
            ts: Timestamp(nat(row.get(5)?)),
        })
    })?
    .collect()
}

fn first_stored(db: &Connection, room: i64) -> rusqlite::Result<Option<Seq>> {
    db.prepare_cached("SELECT seq FROM messages WHERE room = ?1 ORDER BY seq LIMIT 1")?
        .query_row([room], |row| Ok(Seq(nat(row.get(0)?))))
        .optional()
}

/// Deletes the room's messages before `end`; its row and the rooms follow.
fn delete(
    db: &Connection,
    rooms: &mut RoomTable,
    room: i64,
    key: &RoomKey,
    end: Seq,
) -> rusqlite::Result<Taken> {
    let trimmed = db
        .prepare_cached(
            r#"SELECT "offset" FROM messages WHERE room = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1"#,
        )?
        .query_row(params![room, int(end.0)], |row| Ok(Offset(nat(row.get(0)?))))
        .optional()?
        .unwrap_or_default();
    db.prepare_cached("DELETE FROM messages WHERE room = ?1 AND seq < ?2")?
        .execute(params![room, int(end.0)])?;
    db.prepare_cached(
        "UPDATE rooms SET oldest = max(oldest, ?2), trimmed = max(trimmed, ?3) WHERE id = ?1",
    )?
    .execute(params![room, int(end.0), int(trimmed.0)])?;
    rooms.trimmed(key, end, trimmed);
    Ok(Taken::Messages(key.clone(), end, trimmed))
}

/// A later room may be given the same id in this database, so nothing of this one may stay. If it was numbered, nor may the
/// epoch that it would be given again.
fn forget(db: &Connection, room: &Candidate) -> rusqlite::Result<()> {
    for table in ["messages", "ids", "marks"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE room = ?1"))?
            .execute([room.id])?;
    }
    db.prepare_cached("DELETE FROM rooms WHERE id = ?1")?
        .execute([room.id])?;
    if room.head > Seq(0) {
        db.prepare_cached(
            "INSERT INTO forgotten (slot, count) VALUES (?1, 1)
             ON CONFLICT (slot) DO UPDATE SET count = count + 1",
        )?
        .execute([epoch::slot(&room.key)])?;
    }
    Ok(())
}

fn forget_ids(db: &Connection, expired: Timestamp) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM ids WHERE (room, id) IN
         (SELECT room, id FROM ids WHERE ts < ?1 ORDER BY ts LIMIT ?2)",
    )?
    .execute(params![int(expired.0), int(STEP as u64)])
}
