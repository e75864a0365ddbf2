//! The `marks` table: how far each user has read each room.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{from_sql, to_sql};
use crate::{
    backend::{ReadMarker, read_markers::StoredMarker},
    model::{RoomKey, RoomName, Seq, Timestamp, UserId},
};

/// Which row: the room's id and the user.
pub(in crate::backend::sqlite) type MarkerKey = (i64, String);

fn decode(row: &Row<'_>) -> rusqlite::Result<StoredMarker> {
    Ok(StoredMarker {
        seq: Seq(from_sql(row.get(0)?)),
        ts: Timestamp(from_sql(row.get(1)?)),
    })
}

/// The user's marker in a room.
pub(in crate::backend::sqlite) fn find(
    db: &Connection,
    room: i64,
    user: &UserId,
) -> rusqlite::Result<Option<StoredMarker>> {
    db.prepare_cached("SELECT seq, ts FROM marks WHERE room = ?1 AND user = ?2")?
        .query_row(params![room, user.as_str()], decode)
        .optional()
}

/// The user's marker and how far the room is beyond it, as of the last commit.
pub(in crate::backend::sqlite) fn position(
    db: &Connection,
    room: &RoomKey,
    user: &UserId,
) -> rusqlite::Result<ReadMarker> {
    let marker = db
        .prepare_cached(
            "SELECT coalesce(marks.seq, 0), head
             FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
             LEFT JOIN marks ON marks.room = rooms.id AND marks.user = ?3
             WHERE namespaces.name = ?1 AND rooms.name = ?2",
        )?
        .query_row(
            [room.namespace.as_str(), room.room.as_str(), user.as_str()],
            |row| {
                let (seq, head) = (from_sql(row.get(0)?), from_sql(row.get(1)?));
                Ok(ReadMarker::at(Seq(seq), Seq(head), false))
            },
        )
        .optional()?;
    Ok(marker.unwrap_or_default())
}

pub(in crate::backend::sqlite) fn upsert(
    db: &Connection,
    room: i64,
    user: &UserId,
    marker: StoredMarker,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO marks (room, user, seq, ts) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (room, user) DO UPDATE SET seq = excluded.seq, ts = excluded.ts",
    )?
    .execute(params![
        room,
        user.as_str(),
        to_sql(marker.seq.0),
        to_sql(marker.ts.0)
    ])
    .map(|_| ())
}

/// The next `limit` markers after a key, each with the name of its room and when it was set. Reads no more than trimming needs.
pub(in crate::backend::sqlite) fn list_after(
    db: &Connection,
    (room, user): &MarkerKey,
    limit: usize,
) -> rusqlite::Result<Vec<(MarkerKey, RoomName, Timestamp)>> {
    // CROSS JOIN keeps `marks` outermost, in the order of its key, so that a step reads no more than `limit` rows.
    db.prepare_cached(
        "SELECT marks.ts, marks.room, user, rooms.name
         FROM marks CROSS JOIN rooms ON rooms.id = marks.room
         WHERE (marks.room, user) > (?1, ?2) ORDER BY marks.room, user LIMIT ?3",
    )?
    .query_map(params![room, user, to_sql(limit as u64)], |row| {
        let name = RoomName::from_log(row.get_ref(3)?.as_str()?);
        let ts = Timestamp(from_sql(row.get(0)?));
        Ok(((row.get(1)?, row.get(2)?), name, ts))
    })?
    .collect()
}

pub(in crate::backend::sqlite) fn delete(
    db: &Connection,
    (room, user): &MarkerKey,
) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM marks WHERE room = ?1 AND user = ?2")?
        .execute(params![room, user])
        .map(|_| ())
}
