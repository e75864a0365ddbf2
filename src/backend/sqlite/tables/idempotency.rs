//! The `ids` table: message ids that senders chose, for as long as they can be repeated.

use rusqlite::{Connection, OptionalExtension, params};

use super::{from_sql, to_sql};
use crate::model::{Message, MessageId, Seq, Timestamp};

/// The message that was first stored under `id` in this room, unless that was before `expired`.
pub(in crate::backend::sqlite) fn find(
    db: &Connection,
    room: i64,
    id: &MessageId,
    expired: Timestamp,
) -> rusqlite::Result<Option<(Seq, Timestamp)>> {
    db.prepare_cached("SELECT seq, sent FROM ids WHERE room = ?1 AND id = ?2 AND ts >= ?3")?
        .query_row(params![room, id.as_str(), to_sql(expired.0)], |row| {
            Ok((Seq(from_sql(row.get(0)?)), Timestamp(from_sql(row.get(1)?))))
        })
        .optional()
}

/// Stores the id of a message, in place of the same id if its window has passed.
pub(in crate::backend::sqlite) fn insert(
    db: &Connection,
    room: i64,
    message: &Message,
    now: Timestamp,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO ids (room, id, seq, sent, ts) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        room,
        message.id.as_str(),
        to_sql(message.seq.0),
        to_sql(message.ts.0),
        to_sql(now.0)
    ])
    .map(|_| ())
}

/// How many ids are from before `expired`.
pub(in crate::backend::sqlite) fn count_expired(
    db: &Connection,
    expired: Timestamp,
) -> rusqlite::Result<u64> {
    let query = "SELECT count(*) FROM ids WHERE ts < ?1";
    db.query_row(query, [to_sql(expired.0)], |row| Ok(from_sql(row.get(0)?)))
}

/// Deletes up to `limit` ids from before `expired`, and returns how many it deleted.
pub(in crate::backend::sqlite) fn delete_expired(
    db: &Connection,
    expired: Timestamp,
    limit: usize,
) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM ids WHERE (room, id) IN
         (SELECT room, id FROM ids WHERE ts < ?1 ORDER BY ts LIMIT ?2)",
    )?
    .execute(params![to_sql(expired.0), to_sql(limit as u64)])
}
