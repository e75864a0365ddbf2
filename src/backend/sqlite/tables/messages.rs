//! The `messages` table, in the order in which it is read: by room, then by number.

use std::{ops::Range, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::value::RawValue;

use super::{corrupt_column, from_sql, to_sql};
use crate::{
    backend::{PageSize, recent::PageBudget},
    error::Error,
    model::{EventName, Message, MessageId, Offset, RoomKey, Sender, Seq, Timestamp, UserId},
};

/// From which end of a span messages are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::sqlite) enum Direction {
    Forward,
    Backward,
}

impl Direction {
    fn query(self) -> &'static str {
        match self {
            Self::Forward => {
                r#"SELECT seq, "offset", ts, id, event, user, name, data, "except" FROM messages
                   WHERE room = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq LIMIT ?4"#
            }
            Self::Backward => {
                r#"SELECT seq, "offset", ts, id, event, user, name, data, "except" FROM messages
                   WHERE room = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"#
            }
        }
    }
}

pub(in crate::backend::sqlite) fn insert(
    db: &Connection,
    room: i64,
    message: &Message,
) -> rusqlite::Result<()> {
    let from = message.from.as_ref();
    db.prepare_cached(
        r#"INSERT INTO messages (room, seq, "offset", ts, id, event, user, name, data, "except")
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"#,
    )?
    .execute(params![
        room,
        to_sql(message.seq.0),
        to_sql(message.offset.0),
        to_sql(message.ts.0),
        message.id.as_str(),
        message.event.as_str(),
        from.map(|from| from.user.as_str()),
        from.and_then(|from| from.name.as_deref()),
        message.data.get(),
        message.except.map(|connection| connection.to_string()),
    ])
    .map(|_| ())
}

/// Returns the messages of a span that fit into a page, oldest first, and whether the span has more.
pub(in crate::backend::sqlite) fn page(
    db: &Connection,
    id: i64,
    room: &RoomKey,
    span: Range<Seq>,
    direction: Direction,
    size: PageSize,
) -> rusqlite::Result<(Vec<Arc<Message>>, bool)> {
    let Range { start, end } = span;
    if start >= end || size.messages == 0 {
        return Ok((Vec::new(), start < end));
    }
    let mut statement = db.prepare_cached(direction.query())?;
    let limit = to_sql(u64::try_from(size.messages).unwrap_or(u64::MAX));
    let mut rows = statement.query(params![id, to_sql(start.0), to_sql(end.0), limit])?;
    let mut budget = PageBudget::new(size);
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        if !budget.admits(row.get_ref(7)?.as_str()?.len()) {
            break;
        }
        messages.push(Arc::new(decode(room, row)?));
    }
    if direction == Direction::Backward {
        messages.reverse();
    }
    let more = (messages.len() as u64) < end.0 - start.0;
    Ok((messages, more))
}

/// A message, if it is stored.
pub(in crate::backend::sqlite) fn find(
    db: &Connection,
    id: i64,
    room: &RoomKey,
    seq: Seq,
) -> rusqlite::Result<Option<Arc<Message>>> {
    db.prepare_cached(
        r#"SELECT seq, "offset", ts, id, event, user, name, data, "except" FROM messages
           WHERE room = ?1 AND seq = ?2"#,
    )?
    .query_row(params![id, to_sql(seq.0)], |row| decode(room, row))
    .optional()
    .map(|message| message.map(Arc::new))
}

fn decode(room: &RoomKey, row: &Row<'_>) -> rusqlite::Result<Message> {
    let user = row.get_ref(5)?.as_str_or_null()?;
    let name = row.get_ref(6)?.as_str_or_null()?;
    let data = RawValue::from_string(row.get(7)?).map_err(|error| corrupt_column(7, error))?;
    let except = row.get_ref(8)?.as_str_or_null()?.map(str::parse);
    Ok(Message {
        room: room.clone(),
        seq: Seq(from_sql(row.get(0)?)),
        offset: Offset(from_sql(row.get(1)?)),
        ts: Timestamp(from_sql(row.get(2)?)),
        id: MessageId::from_log(row.get_ref(3)?.as_str()?),
        event: EventName::from_log(row.get_ref(4)?.as_str()?),
        from: user.map(|user| Sender {
            user: UserId::from_log(user),
            name: name.map(Into::into),
        }),
        data: data.into(),
        except: except
            .transpose()
            .map_err(|error: Error| corrupt_column(8, error))?,
    })
}

/// The first stored message of a room.
pub(in crate::backend::sqlite) fn first(
    db: &Connection,
    room: i64,
) -> rusqlite::Result<Option<Seq>> {
    db.prepare_cached("SELECT seq FROM messages WHERE room = ?1 ORDER BY seq LIMIT 1")?
        .query_row([room], |row| Ok(Seq(from_sql(row.get(0)?))))
        .optional()
}

pub(in crate::backend::sqlite) fn timestamp_of(
    db: &Connection,
    room: i64,
    seq: Seq,
) -> rusqlite::Result<Option<Timestamp>> {
    db.prepare_cached("SELECT ts FROM messages WHERE room = ?1 AND seq = ?2")?
        .query_row(params![room, to_sql(seq.0)], |row| {
            Ok(Timestamp(from_sql(row.get(0)?)))
        })
        .optional()
}

fn offset_of(db: &Connection, room: i64, seq: Seq) -> rusqlite::Result<Option<Offset>> {
    db.prepare_cached(r#"SELECT "offset" FROM messages WHERE room = ?1 AND seq = ?2"#)?
        .query_row(params![room, to_sql(seq.0)], |row| {
            Ok(Offset(from_sql(row.get(0)?)))
        })
        .optional()
}

/// The first of `oldest..=head` that is not older than `cutoff`, or `head + 1`. Timestamps never decrease within a
/// room, so the expired messages come first.
pub(in crate::backend::sqlite) fn first_since(
    db: &Connection,
    room: i64,
    oldest: Seq,
    head: Seq,
    cutoff: Timestamp,
) -> rusqlite::Result<Seq> {
    partition_point(oldest, head, |seq| {
        Ok(timestamp_of(db, room, seq)?.is_none_or(|ts| ts < cutoff))
    })
}

/// The first of `oldest..=head` with an offset greater than `after`, or `head + 1`. Offsets increase within a room.
pub(in crate::backend::sqlite) fn first_beyond(
    db: &Connection,
    room: i64,
    oldest: Seq,
    head: Seq,
    after: Offset,
) -> rusqlite::Result<Seq> {
    partition_point(oldest, head, |seq| {
        Ok(offset_of(db, room, seq)?.is_none_or(|offset| offset <= after))
    })
}

/// Binary search: the first of `oldest..=head` that `is_before` is false for, or `head + 1`.
fn partition_point(
    oldest: Seq,
    head: Seq,
    is_before: impl Fn(Seq) -> rusqlite::Result<bool>,
) -> rusqlite::Result<Seq> {
    // The common case: it is false for all of them.
    if oldest > head || !is_before(oldest)? {
        return Ok(oldest);
    }
    let (mut low, mut high) = (oldest.next(), head.next());
    while low < high {
        let middle = Seq(low.0.midpoint(high.0));
        if is_before(middle)? {
            low = middle.next();
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Deletes the room's messages before `end`, and returns the offset of the newest of them; 0 if there were none.
pub(in crate::backend::sqlite) fn delete_before(
    db: &Connection,
    room: i64,
    end: Seq,
) -> rusqlite::Result<Offset> {
    let newest = db
        .prepare_cached(
            r#"SELECT "offset" FROM messages WHERE room = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1"#,
        )?
        .query_row(params![room, to_sql(end.0)], |row| {
            Ok(Offset(from_sql(row.get(0)?)))
        })
        .optional()?;
    db.prepare_cached("DELETE FROM messages WHERE room = ?1 AND seq < ?2")?
        .execute(params![room, to_sql(end.0)])?;
    Ok(newest.unwrap_or_default())
}
