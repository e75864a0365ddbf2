//! Statements that find out whether tables can be written and read, and leave nothing behind.

use rusqlite::{Connection, OptionalExtension, params};

use super::rooms;
use crate::model::RoomKey;

/// How many other rooms a read probe checks.
const PROBED_ROOMS: i64 = 8;

/// Writes to every table what storing does, for a room that can never exist, and rolls it back.
pub(in crate::backend::sqlite) fn write(db: &Connection) -> rusqlite::Result<()> {
    let is_alone = db.is_autocommit();
    db.execute_batch("SAVEPOINT probe")?;
    let written = write_all_tables(db);
    // If the failure has ended the transaction, there is nothing to roll back.
    let rolled_back = match db.is_autocommit() {
        true => Ok(()),
        // After it has met a corrupt page, SQLite fails every statement until the whole transaction is rolled back.
        false if is_alone => db.execute_batch("ROLLBACK"),
        false => db.execute_batch("ROLLBACK TO probe; RELEASE probe"),
    };
    written.and(rolled_back)
}

fn write_all_tables(db: &Connection) -> rusqlite::Result<()> {
    // More than a page, so that the file has to be able to grow.
    let data = "x".repeat(8192);
    db.prepare_cached(
        r#"INSERT INTO messages (room, seq, "offset", ts, id, event, data) VALUES (-1, 1, 0, 0, '', '', ?1)"#,
    )?
    .execute([&data])?;
    for statement in [
        "INSERT INTO ids (room, id, seq, sent, ts) VALUES (-1, '', 1, 0, 0)",
        "INSERT INTO marks (room, user, seq, ts) VALUES (-1, '', 1, 0)",
        "INSERT INTO sessions (pid, namespace, user, connection, rooms, ended) VALUES ('', '', '', '', '[]', 0)",
        "INSERT INTO outbox (number, kind, namespace, room) VALUES (-1, '', '', '')",
        "INSERT INTO members (namespace, room, user, process) VALUES ('', '', '', 0)",
        "INSERT INTO endpoints (name, state) VALUES ('', '')",
        "UPDATE rooms SET ts = ts WHERE id = (SELECT max(id) FROM rooms)",
        r#"UPDATE namespaces SET "offset" = "offset" WHERE id = (SELECT max(id) FROM namespaces)"#,
    ] {
        db.prepare_cached(statement)?.execute([])?;
    }
    Ok(())
}

/// Reads the last message of the newest rooms except one. Fails if most of them cannot be read or, if there are no
/// others, if that one cannot.
pub(in crate::backend::sqlite) fn read_rooms_except(
    db: &Connection,
    except: Option<&RoomKey>,
) -> rusqlite::Result<()> {
    let except = match except {
        Some(key) => rooms::find_id(db, key)?,
        None => None,
    };
    let others: Vec<(i64, i64)> = db
        .prepare_cached("SELECT id, head FROM rooms WHERE id IS NOT ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![except, PROBED_ROOMS], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let count = others.len();
    let reads = others.into_iter().map(|(room, head)| {
        db.prepare_cached("SELECT length(data) FROM messages WHERE room = ?1 AND seq = ?2")?
            .query_row([room, head], |row| row.get::<_, i64>(0))
            .optional()
    });
    let mut failures: Vec<_> = reads.filter_map(Result::err).collect();
    match (count, except, failures.pop()) {
        (0, Some(room), _) => db
            .prepare_cached("SELECT count(seq) FROM messages WHERE room = ?1")?
            .query_row([room], |_| Ok(())),
        (_, _, Some(error)) if 2 * (failures.len() + 1) > count => Err(error),
        _ => Ok(()),
    }
}
