//! The tables with one row: `life`, which names the log's incarnation, and `clock`, the time of retention.

use rusqlite::{Connection, OptionalExtension};

use super::{from_sql, outbox, to_sql};
use crate::model::{Incarnation, Timestamp};

/// The name of the log's incarnation.
pub(in crate::backend::sqlite) fn incarnation(db: &Connection) -> rusqlite::Result<Incarnation> {
    db.query_row("SELECT epoch FROM life", [], |row| {
        Ok(Incarnation::from_text(row.get_ref(0)?.as_str()?))
    })
}

/// Names the first incarnation of a log.
pub(in crate::backend::sqlite) fn insert_incarnation(
    db: &Connection,
    name: &Incarnation,
) -> rusqlite::Result<()> {
    db.execute("INSERT INTO life VALUES (?1)", [name.as_str()])
        .map(|_| ())
}

/// Begins another incarnation of the log, with another epoch for every room: numbers that clients have already seen
/// are about to be used again.
pub(in crate::backend::sqlite) fn begin_incarnation(
    db: &Connection,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let transaction = db.unchecked_transaction()?;
    transaction.execute(
        "UPDATE life SET epoch = ?1",
        [Incarnation::generate().as_str()],
    )?;
    transaction.execute_batch(
        "UPDATE rooms SET epoch = lower(hex(randomblob(5)));
         DELETE FROM sessions;",
    )?;
    outbox::restart(&transaction, now)?;
    transaction.commit()
}

/// The time of retention when it was last saved.
pub(in crate::backend::sqlite) fn retention_clock(
    db: &Connection,
) -> rusqlite::Result<Option<Timestamp>> {
    db.query_row("SELECT aged FROM clock", [], |row| {
        Ok(Timestamp(from_sql(row.get(0)?)))
    })
    .optional()
}

/// The time of retention in a file that has none yet: the last use of any room.
pub(in crate::backend::sqlite) fn first_retention_clock(
    db: &Connection,
) -> rusqlite::Result<Option<Timestamp>> {
    db.query_row("SELECT max(ts) FROM rooms", [], |row| {
        let last: Option<i64> = row.get(0)?;
        Ok(last.map(|last| Timestamp(from_sql(last))))
    })
}

pub(in crate::backend::sqlite) fn save_retention_clock(
    db: &Connection,
    time: Timestamp,
) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO clock (id, aged) VALUES (0, ?1)")?
        .execute([to_sql(time.0)])
        .map(|_| ())
}
