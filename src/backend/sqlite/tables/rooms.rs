//! The `rooms` table, and the `forgotten` counters of rooms that were deleted.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{from_sql, to_sql};
use crate::{
    backend::epoch,
    model::{Epoch, Namespace, Offset, RoomKey, RoomName, Seq, Timestamp},
};

/// A room's row.
#[derive(Clone)]
pub(in crate::backend::sqlite) struct RoomRow {
    pub(in crate::backend::sqlite) id: i64,
    pub(in crate::backend::sqlite) epoch: Epoch,
    pub(in crate::backend::sqlite) head: Seq,
    pub(in crate::backend::sqlite) oldest: Seq,
    /// When the room was last written, or read after that.
    pub(in crate::backend::sqlite) ts: Timestamp,
    /// The offset of its last message; 0 before the first.
    pub(in crate::backend::sqlite) offset: Offset,
    /// The offset of the newest message that was deleted; 0 if none was.
    pub(in crate::backend::sqlite) trimmed: Offset,
}

/// The part of a room's row that retention depends on.
pub(in crate::backend::sqlite) struct RoomExtent {
    pub(in crate::backend::sqlite) id: i64,
    pub(in crate::backend::sqlite) head: Seq,
    pub(in crate::backend::sqlite) oldest: Seq,
    pub(in crate::backend::sqlite) ts: Timestamp,
}

/// The columns come first in every query that decodes a row.
fn decode(row: &Row<'_>) -> rusqlite::Result<RoomRow> {
    Ok(RoomRow {
        id: row.get(0)?,
        epoch: Epoch::from_text(row.get_ref(1)?.as_str()?),
        head: Seq(from_sql(row.get(2)?)),
        oldest: Seq(from_sql(row.get(3)?)),
        ts: Timestamp(from_sql(row.get(4)?)),
        offset: Offset(from_sql(row.get(5)?)),
        trimmed: Offset(from_sql(row.get(6)?)),
    })
}

/// The room's row, if it was ever written to.
pub(in crate::backend::sqlite) fn find(
    db: &Connection,
    room: &RoomKey,
) -> rusqlite::Result<Option<RoomRow>> {
    db.prepare_cached(
        r#"SELECT rooms.id, epoch, head, oldest, ts, rooms."offset", trimmed
           FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
           WHERE namespaces.name = ?1 AND rooms.name = ?2"#,
    )?
    .query_row([room.namespace.as_str(), room.room.as_str()], decode)
    .optional()
}

/// The id of a room, without decoding the rest of its row.
pub(in crate::backend::sqlite) fn find_id(
    db: &Connection,
    room: &RoomKey,
) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached(
        "SELECT rooms.id FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
         WHERE namespaces.name = ?1 AND rooms.name = ?2",
    )?
    .query_row([room.namespace.as_str(), room.room.as_str()], |row| {
        row.get(0)
    })
    .optional()
}

/// The next `limit` rooms after the id `after`, in the order of their ids. Reads no more than trimming needs: damage elsewhere in a row
/// must not stop it.
pub(in crate::backend::sqlite) fn list_after(
    db: &Connection,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<(RoomKey, RoomExtent)>> {
    db.prepare_cached(
        "SELECT rooms.id, head, oldest, ts, namespaces.name, rooms.name
         FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
         WHERE rooms.id > ?1 ORDER BY rooms.id LIMIT ?2",
    )?
    .query_map(params![after, to_sql(limit as u64)], |row| {
        let key = RoomKey {
            namespace: Namespace::from_log(row.get_ref(4)?.as_str()?),
            room: RoomName::from_log(row.get_ref(5)?.as_str()?),
        };
        let extent = RoomExtent {
            id: row.get(0)?,
            head: Seq(from_sql(row.get(1)?)),
            oldest: Seq(from_sql(row.get(2)?)),
            ts: Timestamp(from_sql(row.get(3)?)),
        };
        Ok((key, extent))
    })?
    .collect()
}

/// Creates the room, before its first message.
pub(in crate::backend::sqlite) fn insert(
    db: &Connection,
    namespace: i64,
    name: &RoomName,
    epoch: Epoch,
    ts: Timestamp,
) -> rusqlite::Result<RoomRow> {
    db.prepare_cached(
        r#"INSERT INTO rooms (namespace, name, epoch, head, oldest, ts, "offset", trimmed)
           VALUES (?1, ?2, ?3, 0, 1, ?4, 0, 0)"#,
    )?
    .execute(params![
        namespace,
        name.as_str(),
        epoch.as_str(),
        to_sql(ts.0)
    ])?;
    Ok(RoomRow {
        id: db.last_insert_rowid(),
        epoch,
        head: Seq(0),
        oldest: Seq(1),
        ts,
        offset: Offset(0),
        trimmed: Offset(0),
    })
}

/// Writes everything of the row that can change.
pub(in crate::backend::sqlite) fn update(db: &Connection, row: &RoomRow) -> rusqlite::Result<()> {
    db.prepare_cached(
        r#"UPDATE rooms SET head = ?2, oldest = ?3, ts = ?4, "offset" = ?5, trimmed = ?6 WHERE id = ?1"#,
    )?
    .execute(params![
        row.id,
        to_sql(row.head.0),
        to_sql(row.oldest.0),
        to_sql(row.ts.0),
        to_sql(row.offset.0),
        to_sql(row.trimmed.0),
    ])
    .map(|_| ())
}

/// Records that the messages before `oldest`, which are those up to the offset `trimmed`, were deleted.
pub(in crate::backend::sqlite) fn raise_oldest(
    db: &Connection,
    id: i64,
    oldest: Seq,
    trimmed: Offset,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE rooms SET oldest = max(oldest, ?2), trimmed = max(trimmed, ?3) WHERE id = ?1",
    )?
    .execute(params![id, to_sql(oldest.0), to_sql(trimmed.0)])
    .map(|_| ())
}

/// Deletes the room with everything that belongs to it: a later room may be given the same id. If it ever had a
/// message, its counter is incremented, so that a later room of this name gets another epoch.
pub(in crate::backend::sqlite) fn delete(
    db: &Connection,
    key: &RoomKey,
    row: &RoomExtent,
) -> rusqlite::Result<()> {
    for table in ["messages", "ids", "marks"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE room = ?1"))?
            .execute([row.id])?;
    }
    db.prepare_cached("DELETE FROM rooms WHERE id = ?1")?
        .execute([row.id])?;
    if row.head > Seq(0) {
        db.prepare_cached(
            "INSERT INTO forgotten (slot, count) VALUES (?1, 1)
             ON CONFLICT (slot) DO UPDATE SET count = count + 1",
        )?
        .execute([epoch::slot(key)])?;
    }
    Ok(())
}

/// How many rooms that share this room's counter were deleted.
pub(in crate::backend::sqlite) fn forgotten(
    db: &Connection,
    room: &RoomKey,
) -> rusqlite::Result<u64> {
    let count = db
        .prepare_cached("SELECT count FROM forgotten WHERE slot = ?1")?
        .query_row([epoch::slot(room)], |row| Ok(from_sql(row.get(0)?)))
        .optional()?;
    Ok(count.unwrap_or(0))
}
