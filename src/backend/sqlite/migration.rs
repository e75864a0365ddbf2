//! What the files of earlier versions lack, and the statements that add it.
//!
//! Runs in the transaction in which the file's version changes, so that a file is always of one version or the next. Most of it
//! takes no time; but SQLite reads every row of a strict table that a column is added to.

use rusqlite::Connection;

/// The sessions, which files of version 1 lack. `rooms` is `[["room", offset], ...]` in JSON, with a reason as the third
/// element for a room that the session was removed from. `application` is what an embedding application keeps. `ended` is
/// NULL while the session is active.
pub(super) const SESSIONS: &str = "
CREATE TABLE sessions (
    pid        TEXT NOT NULL PRIMARY KEY,
    namespace  TEXT NOT NULL,
    user       TEXT NOT NULL,
    connection TEXT NOT NULL,
    rooms      TEXT NOT NULL,
    application TEXT,
    ended      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_end ON sessions (ended) WHERE ended IS NOT NULL;
";

/// The column that the sessions of version 2 and 3 lack.
pub(super) const APPLICATION: &str = "ALTER TABLE sessions ADD COLUMN application TEXT;";

/// One row: the name of the log's incarnation, within which offsets are comparable. Files of version 1 and 2 have none.
pub(super) const LIFE: &str = "CREATE TABLE life (epoch TEXT NOT NULL) STRICT;";

/// How many rooms were deleted, by the counter that they share. Files before version 5 have none, and have rows of rooms
/// that were only read: those stay until they are deleted, which is not counted.
pub(super) const FORGOTTEN: &str = "
CREATE TABLE forgotten (
    slot  INTEGER PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;
";

/// At most one row: the time of retention, with which the age of messages is compared. Files before version 6 have none;
/// theirs begins at the last use of any room.
pub(super) const CLOCK: &str = "
CREATE TABLE clock (
    id   INTEGER PRIMARY KEY CHECK (id = 0),
    aged INTEGER NOT NULL
) STRICT;
INSERT INTO clock SELECT 0, max(ts) FROM rooms HAVING max(ts) IS NOT NULL;
";

/// What back ends are told, who is in which room and which process has set that, and how far each back end was told. Files before
/// version 7 have none of it. `numbering` has the number behind which those of the outbox began. An event of a message has its `seq` and `offset`, all others a time and those of users a `user`.
pub(super) const OUTBOX: &str = r#"
CREATE TABLE outbox (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT NOT NULL,
    namespace TEXT NOT NULL,
    room      TEXT NOT NULL,
    seq       INTEGER,
    "offset"  INTEGER,
    user      TEXT,
    ts        INTEGER
) STRICT;
CREATE TABLE numbering (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    began INTEGER NOT NULL
) STRICT;
CREATE TABLE members (
    namespace TEXT NOT NULL,
    room      TEXT NOT NULL,
    user      TEXT NOT NULL,
    process   INTEGER NOT NULL,
    PRIMARY KEY (namespace, room, user)
) STRICT, WITHOUT ROWID;
CREATE TABLE endpoints (
    name  TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"#;

/// The documents, which files before version 8 lack: a row for each, its updates by their numbers, and everything up to `through`
/// merged. `bytes` are those of both.
pub(super) const DOCUMENTS: &str = "
CREATE TABLE documents (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    last    INTEGER NOT NULL,
    updates INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    ts      INTEGER NOT NULL,
    untold  INTEGER
) STRICT;
CREATE INDEX documents_untold ON documents (untold) WHERE untold IS NOT NULL;
CREATE TABLE document_updates (
    document INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    bytes    BLOB NOT NULL,
    PRIMARY KEY (document, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE document_snapshots (
    document INTEGER PRIMARY KEY,
    through  INTEGER NOT NULL,
    bytes    BLOB NOT NULL
) STRICT;
";

/// The columns that tables of version 1 lack.
///
/// The offsets of deleted messages are unknown, so `trimmed` is set to the highest that is possible: clients
/// are told that messages may be missing, which is safe.
pub(super) const FROM_1: &str = r#"
ALTER TABLE messages ADD COLUMN "except" TEXT;
ALTER TABLE rooms ADD COLUMN "offset" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN trimmed INTEGER NOT NULL DEFAULT 0;
UPDATE rooms SET "offset" = coalesce(
    (SELECT "offset" FROM messages WHERE room = rooms.id AND seq = head),
    (SELECT "offset" FROM namespaces WHERE id = rooms.namespace))
    WHERE head > 0;
UPDATE rooms SET trimmed = coalesce(
    (SELECT "offset" - 1 FROM messages WHERE room = rooms.id AND seq = oldest),
    "offset")
    WHERE oldest > 1;
"#;

/// How many operations of its virtual machine SQLite needs to check a row of a strict table that a column is added to, and for
/// everything that [`FROM_1`] does to a room. Measured; a test fails if they are no longer right. Before it checks the rows it
/// checks the pages of the table, and counts each as one operation.
const OPERATIONS_OF_CHECK: u64 = 20;
const OPERATIONS_OF_ROOM: u64 = 73;

/// How many other operations checking a page takes as long as. It depends on the disk.
const OPERATIONS_AS_LONG_AS_PAGE: u64 = 256;

/// How much a migration has to do.
pub(super) struct MigrationWork {
    /// How many rows it reads or writes.
    pub(super) rows: u64,
    /// How many pages are checked first.
    pages: u64,
    /// How many operations the rest takes, roughly.
    operations: u64,
}

impl MigrationWork {
    /// How many rows are done after this many operations.
    pub(super) fn rows_after(&self, operations: u64) -> u64 {
        let cost = |pages, others| u128::from(pages * OPERATIONS_AS_LONG_AS_PAGE + others);
        let pages = operations.min(self.pages);
        let done = cost(pages, operations - pages);
        let all = cost(self.pages, self.operations).max(1);
        let rows = u128::from(self.rows) * done / all;
        u64::try_from(rows).unwrap_or(self.rows).min(self.rows)
    }
}

/// How much it takes to migrate a file of version `found`; no rows for what takes no time.
pub(super) fn work(db: &Connection, found: i64) -> rusqlite::Result<MigrationWork> {
    let count = |query: &str| -> rusqlite::Result<u64> {
        let count: i64 = db.query_row(query, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let (rows, pages, operations) = match found {
        1 => {
            // Counting the messages themselves would take as long as the migration.
            let messages = count("SELECT coalesce(sum(head + 1 - oldest), 0) FROM rooms")?;
            let rooms = count("SELECT count(*) FROM rooms")?;
            let operations = messages * OPERATIONS_OF_CHECK + rooms * OPERATIONS_OF_ROOM;
            // Nearly all pages are those of the messages.
            (messages + rooms, count("PRAGMA page_count")?, operations)
        }
        2 | 3 => {
            let sessions = count("SELECT count(*) FROM sessions")?;
            (sessions, 0, sessions * OPERATIONS_OF_CHECK)
        }
        _ => (0, 0, 0),
    };
    Ok(MigrationWork {
        rows,
        pages,
        operations,
    })
}

#[cfg(test)]
pub(super) mod tests;
