//! The `sessions` table: what clients can resume.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{corrupt_column, from_sql, to_sql};
use crate::{
    backend::StoredSession,
    error::Error,
    model::{Namespace, Offset, Pid, RoomKey, RoomName, Timestamp, UserId},
};

/// An element of the JSON array in the column `rooms`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RoomElement {
    Joined(RoomName, u64),
    /// The session was removed from this room, for this reason.
    Removed(RoomName, u64, String),
}

/// Stores the session as an active one, in place of what was stored under its `pid`.
pub(in crate::backend::sqlite) fn upsert(
    db: &Connection,
    session: &StoredSession,
) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO sessions (pid, namespace, user, connection, rooms, application, ended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)",
    )?
    .execute(params![
        session.pid.reveal(),
        session.namespace.as_str(),
        session.user.as_str(),
        session.connection.to_string(),
        encode_rooms(session)?,
        session.application,
    ])
}

fn encode_rooms(session: &StoredSession) -> rusqlite::Result<String> {
    let joined = session.rooms.iter();
    let joined = joined.map(|(room, Offset(offset))| RoomElement::Joined(room.clone(), *offset));
    let removals = session.removals.iter();
    let removals =
        removals.map(|(room, reason)| RoomElement::Removed(room.clone(), 0, reason.clone()));
    let rooms: Vec<_> = joined.chain(removals).collect();
    serde_json::to_string(&rooms)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The session as of the last commit, unless it ended before `expired`.
pub(in crate::backend::sqlite) fn find(
    db: &Connection,
    pid: Pid,
    expired: Timestamp,
) -> rusqlite::Result<Option<StoredSession>> {
    db.prepare_cached(
        "SELECT namespace, user, connection, rooms, application FROM sessions
         WHERE pid = ?1 AND (ended IS NULL OR ended >= ?2)",
    )?
    .query_row(params![pid.reveal(), to_sql(expired.0)], |row| {
        decode(pid, row)
    })
    .optional()
}

fn decode(pid: Pid, row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    let connection = row.get_ref(2)?.as_str()?.parse();
    let elements: serde_json::Result<Vec<RoomElement>> =
        serde_json::from_str(row.get_ref(3)?.as_str()?);
    let (mut rooms, mut removals) = (Vec::new(), Vec::new());
    for element in elements.map_err(|error| corrupt_column(3, error))? {
        match element {
            RoomElement::Joined(room, offset) => rooms.push((room, Offset(offset))),
            RoomElement::Removed(room, _, reason) => removals.push((room, reason)),
        }
    }
    Ok(StoredSession {
        pid,
        namespace: Namespace::from_log(row.get_ref(0)?.as_str()?),
        user: UserId::from_log(row.get_ref(1)?.as_str()?),
        connection: connection.map_err(|error: Error| corrupt_column(2, error))?,
        rooms,
        removals,
        application: row.get(4)?,
        claim_count: 0,
    })
}

/// Marks the session as ended, unless it has ended already.
pub(in crate::backend::sqlite) fn end(
    db: &Connection,
    pid: Pid,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    db.prepare_cached("UPDATE sessions SET ended = ?2 WHERE pid = ?1 AND ended IS NULL")?
        .execute(params![pid.reveal(), to_sql(now.0)])
}

/// Marks all active sessions as ended: the process that they belonged to is gone.
pub(in crate::backend::sqlite) fn end_all(
    db: &Connection,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE sessions SET ended = ?1 WHERE ended IS NULL",
        [to_sql(now.0)],
    )
}

/// Removes a room from a user's sessions. The room stays in the list, with the reason of the removal.
pub(in crate::backend::sqlite) fn remove_room(
    db: &Connection,
    user: &UserId,
    room: &RoomKey,
    reason: &str,
) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE sessions SET rooms =
         (SELECT json_group_array(json(
            CASE WHEN value ->> 0 = ?3 AND json_array_length(value) = 2
            THEN json_array(value ->> 0, value ->> 1, ?4) ELSE value END))
          FROM json_each(sessions.rooms))
         WHERE user = ?1 AND namespace = ?2",
    )?
    .execute([
        user.as_str(),
        room.namespace.as_str(),
        room.room.as_str(),
        reason,
    ])
}

pub(in crate::backend::sqlite) fn delete(db: &Connection, pid: Pid) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM sessions WHERE pid = ?1")?
        .execute([pid.reveal()])
}

/// Deletes all sessions of a user. Without an index, which every join would have to maintain: an operator does this
/// now and then.
pub(in crate::backend::sqlite) fn delete_of_user(
    db: &Connection,
    user: &UserId,
) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM sessions WHERE user = ?1")?
        .execute([user.as_str()])
}

/// How many sessions ended before `expired`.
pub(in crate::backend::sqlite) fn count_expired(
    db: &Connection,
    expired: Timestamp,
) -> rusqlite::Result<u64> {
    let query = "SELECT count(*) FROM sessions WHERE ended < ?1";
    db.query_row(query, [to_sql(expired.0)], |row| Ok(from_sql(row.get(0)?)))
}

/// Deletes up to `limit` sessions that ended before `expired`, and returns how many it deleted.
pub(in crate::backend::sqlite) fn delete_expired(
    db: &Connection,
    expired: Timestamp,
    limit: usize,
) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM sessions WHERE pid IN
         (SELECT pid FROM sessions WHERE ended < ?1 ORDER BY ended LIMIT ?2)",
    )?
    .execute(params![to_sql(expired.0), to_sql(limit as u64)])
}
