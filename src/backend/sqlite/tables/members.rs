//! The `members` table: which users are in which rooms, and which process has set that.

use rusqlite::{Connection, params};

use super::to_sql;
use crate::model::{Namespace, RoomKey, RoomName, UserId};

/// Which row: the room and the user.
pub(in crate::backend::sqlite) type MemberKey = (RoomKey, UserId);

/// A number for a process that begins now. Random: counting on from those that are stored would read every row.
pub(in crate::backend::sqlite) fn new_process(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("SELECT random()", [], |row| row.get(0))
}

/// Records that a process has a user in a room, and returns whether the user was not in it before.
pub(in crate::backend::sqlite) fn insert(
    db: &Connection,
    (room, user): &MemberKey,
    process: i64,
) -> rusqlite::Result<bool> {
    let row = params![
        room.namespace.as_str(),
        room.room.as_str(),
        user.as_str(),
        process
    ];
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO members (namespace, room, user, process) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(row)?;
    if inserted == 0 {
        db.prepare_cached(
            "UPDATE members SET process = ?4
             WHERE namespace = ?1 AND room = ?2 AND user = ?3 AND process <> ?4",
        )?
        .execute(row)?;
    }
    Ok(inserted > 0)
}

/// Deletes a row, and returns whether there was one.
pub(in crate::backend::sqlite) fn delete(
    db: &Connection,
    (room, user): &MemberKey,
) -> rusqlite::Result<bool> {
    let deleted = db
        .prepare_cached("DELETE FROM members WHERE namespace = ?1 AND room = ?2 AND user = ?3")?
        .execute([room.namespace.as_str(), room.room.as_str(), user.as_str()])?;
    Ok(deleted > 0)
}

/// Whether nobody but this user is in a room. Reads at most two rows.
pub(in crate::backend::sqlite) fn is_alone(
    db: &Connection,
    (room, user): &MemberKey,
) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM members WHERE namespace = ?1 AND room = ?2 AND user <> ?3)",
    )?
    .query_row(
        [room.namespace.as_str(), room.room.as_str(), user.as_str()],
        |row| row.get(0),
    )
}

/// The next `limit` rows, after a key if there is one, each with its process.
pub(in crate::backend::sqlite) fn list_after(
    db: &Connection,
    after: Option<&MemberKey>,
    limit: usize,
) -> rusqlite::Result<Vec<(MemberKey, i64)>> {
    let (namespace, room, user) = after.map_or(("", "", ""), |(room, user)| {
        let RoomKey { namespace, room } = room;
        (namespace.as_str(), room.as_str(), user.as_str())
    });
    db.prepare_cached(
        "SELECT namespace, room, user, process FROM members
         WHERE (namespace, room, user) > (?1, ?2, ?3) ORDER BY namespace, room, user LIMIT ?4",
    )?
    .query_map(
        params![namespace, room, user, to_sql(limit as u64)],
        |row| {
            let room = RoomKey {
                namespace: Namespace::from_log(row.get_ref(0)?.as_str()?),
                room: RoomName::from_log(row.get_ref(1)?.as_str()?),
            };
            let user = UserId::from_log(row.get_ref(2)?.as_str()?);
            Ok(((room, user), row.get(3)?))
        },
    )?
    .collect()
}
