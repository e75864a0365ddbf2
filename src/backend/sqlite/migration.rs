//! What the files of earlier versions lack, and the statements that add it.
//!
//! Runs in the transaction in which the file's version changes, so that a file is always of one version or the next.

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

#[cfg(test)]
pub(super) mod tests;
