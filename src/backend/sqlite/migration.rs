//! What a file of an earlier version lacks, and how it gets it.
//!
//! Runs in the transaction in which the file's version changes, so that a file is of one version or the next.

/// The sessions, which no file of version 1 has. `rooms` is `[["room", offset], ...]` in JSON, with a reason as the third of
/// a room that the session was taken out of, `application` what an embedding application keeps; `ended` is NULL for as long
/// as a session goes on.
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

/// One row: what names the incarnation of this log, within which offsets compare. Files of version 1 and 2 have none.
pub(super) const LIFE: &str = "CREATE TABLE life (epoch TEXT NOT NULL) STRICT;";

/// How many rooms were forgotten, by the counter that they share. Files before version 5 have none, and have rows of rooms that were
/// only read: those stay until they are forgotten, which is not counted.
pub(super) const FORGOTTEN: &str = "
CREATE TABLE forgotten (
    slot  INTEGER PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;
";

/// One row, if any: how late it is by the time that what is kept by age is compared with. Files before version 6 have none; theirs begins
/// when they were last used.
pub(super) const CLOCK: &str = "
CREATE TABLE clock (
    id   INTEGER PRIMARY KEY CHECK (id = 0),
    aged INTEGER NOT NULL
) STRICT;
INSERT INTO clock SELECT 0, max(ts) FROM rooms HAVING max(ts) IS NOT NULL;
";

/// The columns that tables of version 1 lack.
///
/// Which offsets the messages had that are gone is not known any more, so `trimmed` is the highest that is possible:
/// sooner is one told that something may be missing than that nothing is.
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
