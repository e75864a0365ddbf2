//! The `outbox` table: what back ends are told, in order. The number of its last row ever is kept by SQLite (`AUTOINCREMENT`),
//! also when the rows are deleted.

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::{from_sql, to_sql};
use crate::{
    backend::{OutboxKind, first_number},
    model::{Message, Namespace, Offset, RoomKey, RoomName, Seq, Timestamp, UserId},
    retry::log_rarely,
};

/// What an event is about.
pub(in crate::backend::sqlite) enum Subject {
    /// The message with this number and offset, if it is still that.
    Message(Seq, Offset),
    /// A room, or a user in it, at this time.
    Member(Option<UserId>, Timestamp),
}

/// A row.
pub(in crate::backend::sqlite) struct StoredEvent {
    pub(in crate::backend::sqlite) number: u64,
    pub(in crate::backend::sqlite) kind: OutboxKind,
    pub(in crate::backend::sqlite) room: RoomKey,
    pub(in crate::backend::sqlite) subject: Subject,
}

/// Sets the number of the first row, unless there ever was one.
pub(in crate::backend::sqlite) fn begin(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO sqlite_sequence (name, seq)
         SELECT 'outbox', ?1 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'outbox')",
        [to_sql(first_number(now))],
    )?;
    db.execute(
        "INSERT OR IGNORE INTO numbering VALUES (0, ?1)",
        [to_sql(last(db)?)],
    )
    .map(|_| ())
}

/// Deletes all rows, and goes on with numbers that were not given before: those after the last one may have been.
pub(in crate::backend::sqlite) fn restart(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    db.execute("DELETE FROM outbox", [])?;
    db.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'outbox'",
        [to_sql(first_number(now))],
    )?;
    db.execute("UPDATE numbering SET began = ?1", [to_sql(last(db)?)])
        .map(|_| ())
}

/// The number behind which this numbering began.
pub(in crate::backend::sqlite) fn began(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT began FROM numbering")?
        .query_row([], |row| Ok(from_sql(row.get(0)?)))
}

/// The number of the last row, deleted or not.
pub(in crate::backend::sqlite) fn last(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")?
        .query_row([], |row| Ok(from_sql(row.get(0)?)))
}

/// The number of the first row, if there are any.
pub(in crate::backend::sqlite) fn first(db: &Connection) -> rusqlite::Result<Option<u64>> {
    db.prepare_cached("SELECT number FROM outbox ORDER BY number LIMIT 1")?
        .query_row([], |row| Ok(from_sql(row.get(0)?)))
        .optional()
}

pub(in crate::backend::sqlite) fn insert_message(
    db: &Connection,
    number: u64,
    kind: OutboxKind,
    message: &Message,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        r#"INSERT INTO outbox (number, kind, namespace, room, seq, "offset") VALUES (?1, ?2, ?3, ?4, ?5, ?6)"#,
    )?
    .execute(params![
        to_sql(number),
        kind.as_str(),
        message.room.namespace.as_str(),
        message.room.room.as_str(),
        to_sql(message.seq.0),
        to_sql(message.offset.0),
    ])
    .map(|_| ())
}

pub(in crate::backend::sqlite) fn insert_event(
    db: &Connection,
    number: u64,
    kind: OutboxKind,
    room: &RoomKey,
    user: Option<&UserId>,
    ts: Timestamp,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO outbox (number, kind, namespace, room, user, ts) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        to_sql(number),
        kind.as_str(),
        room.namespace.as_str(),
        room.room.as_str(),
        user.map(UserId::as_str),
        to_sql(ts.0),
    ])
    .map(|_| ())
}

/// Deletes the rows before a number.
pub(in crate::backend::sqlite) fn delete_before(
    db: &Connection,
    number: u64,
) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM outbox WHERE number < ?1")?
        .execute([to_sql(number)])
        .map(|_| ())
}

/// Passes at most `limit` rows after a number to `each`, in order, until it returns false. Rows that cannot be read count as deleted:
/// those at the beginning are left out, and it ends before one between others.
pub(in crate::backend::sqlite) fn visit_after(
    db: &Connection,
    after: u64,
    limit: usize,
    mut each: impl FnMut(StoredEvent) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        r#"SELECT number, kind, namespace, room, seq, "offset", user, ts FROM outbox
           WHERE number > ?1 ORDER BY number LIMIT ?2"#,
    )?;
    let mut rows = statement.query(params![to_sql(after), to_sql(limit as u64)])?;
    let mut is_first = true;
    while let Some(row) = rows.next()? {
        match decode(row) {
            Ok(event) => {
                if !each(event)? {
                    break;
                }
                is_first = false;
            }
            Err(error) if is_first => {
                log_rarely!(error, %error, "an event of the outbox cannot be read; it counts as deleted");
            }
            Err(_) => break,
        }
    }
    Ok(())
}

fn decode(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let kind = row.get_ref(1)?.as_str()?;
    let unknown = || rusqlite::Error::InvalidColumnType(1, kind.to_owned(), Type::Text);
    let subject = match row.get(4)? {
        Some(seq) => Subject::Message(Seq(from_sql(seq)), Offset(from_sql(row.get(5)?))),
        None => {
            let user = row.get_ref(6)?.as_str_or_null()?.map(UserId::from_log);
            Subject::Member(user, Timestamp(from_sql(row.get(7)?)))
        }
    };
    Ok(StoredEvent {
        number: from_sql(row.get(0)?),
        kind: OutboxKind::parse(kind).ok_or_else(unknown)?,
        room: RoomKey {
            namespace: Namespace::from_log(row.get_ref(2)?.as_str()?),
            room: RoomName::from_log(row.get_ref(3)?.as_str()?),
        },
        subject,
    })
}
