//! The sessions in the database: changed by the writer among the messages, found by the readers, forgotten by the trimming.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{SqliteLog, reader::damaged, room_table::int, trim::STEP, writer::Command};
use crate::{
    backend::{LogTime, SessionStore, StoredSession},
    error::{Error, Result},
    model::{Namespace, Offset, Pid, RoomKey, RoomName, Timestamp, UserId},
};

/// What is to become of a session.
pub(super) enum Change {
    Save(StoredSession),
    End(Pid),
    Forget(Pid),
    ForgetUser(UserId),
    Expel(UserId, RoomKey, String),
}

#[async_trait]
impl SessionStore for SqliteLog {
    async fn save(&self, session: StoredSession) -> Result<()> {
        self.change(Change::Save(session)).await
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        self.change(Change::End(pid)).await
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.change(Change::Forget(pid)).await
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.change(Change::ForgetUser(user)).await
    }

    async fn expel(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        self.change(Change::Expel(user, room, reason)).await
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        self.check_open()?;
        let expired = (self.clock)().before(self.session_window);
        self.readers.session(pid, expired).await
    }
}

impl SqliteLog {
    async fn change(&self, change: Change) -> Result<()> {
        self.check_open()?;
        self.ask(|done| Command::Session { change, done }).await
    }
}

/// A room as a session's list has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Joined(RoomName, u64),
    /// It was taken out of this one, for this reason.
    Lost(RoomName, u64, String),
}

/// Makes a change; whether something was written.
pub(super) fn apply(db: &Connection, change: &Change, now: LogTime) -> rusqlite::Result<bool> {
    let rows = match change {
        Change::Save(session) => save(db, session)?,
        Change::End(pid) => db
            .prepare_cached("UPDATE sessions SET ended = ?2 WHERE pid = ?1 AND ended IS NULL")?
            .execute(params![pid.reveal(), int(now.now.0)])?,
        Change::Forget(pid) => db
            .prepare_cached("DELETE FROM sessions WHERE pid = ?1")?
            .execute([pid.reveal()])?,
        // Without an index, which every join would have to keep: an operator asks for this now and then.
        Change::ForgetUser(user) => db
            .prepare_cached("DELETE FROM sessions WHERE user = ?1")?
            .execute([user.as_str()])?,
        Change::Expel(user, room, reason) => expel(db, user, room, reason)?,
    };
    Ok(rows > 0)
}

fn save(db: &Connection, session: &StoredSession) -> rusqlite::Result<usize> {
    let joined = session.rooms.iter();
    let joined = joined.map(|(room, Offset(offset))| Written::Joined(room.clone(), *offset));
    let lost = session.lost.iter();
    let lost = lost.map(|(room, reason)| Written::Lost(room.clone(), 0, reason.clone()));
    let rooms: Vec<_> = joined.chain(lost).collect();
    let rooms = serde_json::to_string(&rooms)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO sessions (pid, namespace, user, connection, rooms, application, ended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)",
    )?
    .execute(params![
        session.pid.reveal(),
        session.namespace.as_str(),
        session.user.as_str(),
        session.connection.to_string(),
        rooms,
        session.application,
    ])
}

/// The room stays in the list, with the reason why the session is in it no more.
fn expel(db: &Connection, user: &UserId, room: &RoomKey, reason: &str) -> rusqlite::Result<usize> {
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

/// The session as of the last commit, unless it ended before `expired`.
pub(super) fn find(
    db: &Connection,
    pid: Pid,
    expired: Timestamp,
) -> rusqlite::Result<Option<StoredSession>> {
    db.prepare_cached(
        "SELECT namespace, user, connection, rooms, application FROM sessions
         WHERE pid = ?1 AND (ended IS NULL OR ended >= ?2)",
    )?
    .query_row(params![pid.reveal(), int(expired.0)], |row| {
        session(pid, row)
    })
    .optional()
}

fn session(pid: Pid, row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    let connection = row.get_ref(2)?.as_str()?.parse();
    let written: serde_json::Result<Vec<Written>> = serde_json::from_str(row.get_ref(3)?.as_str()?);
    let (mut rooms, mut lost) = (Vec::new(), Vec::new());
    for written in written.map_err(|error| damaged(3, error))? {
        match written {
            Written::Joined(room, offset) => rooms.push((room, Offset(offset))),
            Written::Lost(room, _, reason) => lost.push((room, reason)),
        }
    }
    Ok(StoredSession {
        pid,
        namespace: Namespace::from_log(row.get_ref(0)?.as_str()?),
        user: UserId::from_log(row.get_ref(1)?.as_str()?),
        connection: connection.map_err(|error: Error| damaged(2, error))?,
        rooms,
        lost,
        application: row.get(4)?,
        claims: 0,
    })
}

/// Ends those that went on when the process before this one was killed.
pub(super) fn end_all(db: &Connection, now: LogTime) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE sessions SET ended = ?1 WHERE ended IS NULL",
        [int(now.now.0)],
    )
}

/// Forgets the next few that ended before `expired`; how many.
pub(super) fn forget_ended(db: &Connection, expired: Timestamp) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM sessions WHERE pid IN
         (SELECT pid FROM sessions WHERE ended < ?1 ORDER BY ended LIMIT ?2)",
    )?
    .execute(params![int(expired.0), int(STEP as u64)])
}

#[cfg(test)]
mod tests;
