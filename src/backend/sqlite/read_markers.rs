//! The read marks in the database: set by the writer among the messages, read by the readers, swept once a day.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    SqliteLog,
    room_table::{RoomTable, int, nat},
    trim::STEP,
    writer::Command,
};
use crate::{
    backend::{LogTime, ReadMarker, ReadMarkers, Retention, read_markers::StoredMarker},
    error::Result,
    model::{RoomKey, RoomName, Seq, Timestamp, UserId},
};

/// How long a sweep rests when it has looked at every mark. ReadMarkers live for weeks, so that looking more often, or an
/// index that every mark would have to pay for, would gain little.
const REST: Duration = Duration::from_secs(24 * 3600);

#[async_trait]
impl ReadMarkers for SqliteLog {
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker> {
        self.check_open()?;
        self.ask(|done| Command::Mark {
            room: room.clone(),
            user: user.clone(),
            seq,
            done,
        })
        .await
    }

    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker> {
        self.check_open()?;
        self.readers.marked(room.clone(), user.clone()).await
    }
}

/// Moves a mark forward as far as the room goes at this point of the transaction.
pub(super) fn set(
    db: &Connection,
    rooms: &mut RoomTable,
    room: &RoomKey,
    user: &UserId,
    seq: Seq,
    now: LogTime,
) -> rusqlite::Result<ReadMarker> {
    rooms.touch(db, room, now)?;
    let Some(row) = rooms.find(db, room)? else {
        return Ok(ReadMarker::default());
    };
    let (room, head) = (row.id, row.head);
    let old = kept(db, room, user)?;
    let Some(new) = old.set(seq, head, now) else {
        return Ok(ReadMarker::at(old.seq, head, false));
    };
    db.prepare_cached(
        "INSERT INTO marks (room, user, seq, ts) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (room, user) DO UPDATE SET seq = excluded.seq, ts = excluded.ts",
    )?
    .execute(params![room, user.as_str(), int(new.seq.0), int(new.ts.0)])?;
    Ok(ReadMarker::at(new.seq, head, new.seq > old.seq))
}

fn kept(db: &Connection, room: i64, user: &UserId) -> rusqlite::Result<StoredMarker> {
    let row = db
        .prepare_cached("SELECT seq, ts FROM marks WHERE room = ?1 AND user = ?2")?
        .query_row(params![room, user.as_str()], |row| {
            Ok(StoredMarker {
                seq: Seq(nat(row.get(0)?)),
                ts: Timestamp(nat(row.get(1)?)),
            })
        })
        .optional()?;
    Ok(row.unwrap_or(StoredMarker::NEVER))
}

/// Where a mark stands as of the last commit.
pub(super) fn find(db: &Connection, room: &RoomKey, user: &UserId) -> rusqlite::Result<ReadMarker> {
    let row = db
        .prepare_cached(
            "SELECT coalesce(marks.seq, 0), head
             FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
             LEFT JOIN marks ON marks.room = rooms.id AND marks.user = ?3
             WHERE namespaces.name = ?1 AND rooms.name = ?2",
        )?
        .query_row(
            params![room.namespace.as_str(), room.room.as_str(), user.as_str()],
            |row| {
                let (seq, head) = (nat(row.get(0)?), nat(row.get(1)?));
                Ok(ReadMarker::at(Seq(seq), Seq(head), false))
            },
        )
        .optional()?;
    Ok(row.unwrap_or_default())
}

/// Where the sweep over all marks stands.
#[derive(Default)]
pub(super) struct Sweep {
    /// The last mark that was looked at: its room and user.
    after: (i64, String),
    /// When the last one came to its end.
    ended: Option<Timestamp>,
}

struct Candidate {
    room: i64,
    user: String,
    stale: bool,
}

impl Sweep {
    /// Looks at the next few marks, if it is time to; whether there are more.
    pub(super) fn step(
        &mut self,
        db: &Connection,
        retention: &Retention,
        now: LogTime,
    ) -> rusqlite::Result<bool> {
        if self
            .ended
            .is_some_and(|ended| ended > now.retention_clock.before(REST))
        {
            return Ok(false);
        }
        let marks = candidates(db, &self.after, retention, now)?;
        let mut delete = db.prepare_cached("DELETE FROM marks WHERE room = ?1 AND user = ?2")?;
        for mark in marks.iter().filter(|mark| mark.stale) {
            delete.execute(params![mark.room, mark.user])?;
        }
        let more = marks.len() == STEP;
        match marks.into_iter().last() {
            Some(last) if more => self.after = (last.room, last.user),
            _ => {
                *self = Self {
                    ended: Some(now.retention_clock),
                    ..Self::default()
                }
            }
        }
        Ok(more)
    }
}

fn candidates(
    db: &Connection,
    (room, user): &(i64, String),
    retention: &Retention,
    now: LogTime,
) -> rusqlite::Result<Vec<Candidate>> {
    // CROSS JOIN keeps the marks outermost, in the order of their key, so that a step reads no more than its share.
    db.prepare_cached(
        "SELECT marks.room, user, marks.ts, rooms.name FROM marks CROSS JOIN rooms ON rooms.id = marks.room
         WHERE (marks.room, user) > (?1, ?2) ORDER BY marks.room, user LIMIT ?3",
    )?
    .query_map(params![room, user, int(STEP as u64)], |row| {
        let keep = retention.policy(&RoomName::from_log(row.get_ref(3)?.as_str()?));
        Ok(Candidate {
            room: row.get(0)?,
            user: row.get(1)?,
            stale: keep.marker_expired(Timestamp(nat(row.get(2)?)), now),
        })
    })?
    .collect()
}

#[cfg(test)]
mod tests;
