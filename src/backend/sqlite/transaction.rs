//! Transactions whose `BEGIN` and `COMMIT` are prepared once for each connection, and not parsed again for each transaction.

use std::ops::Deref;

use rusqlite::Connection;

/// A transaction that writes. It is rolled back when it is dropped before it is committed.
pub(super) struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    /// Begins with the lock that writing needs.
    pub(super) fn begin(db: &'a Connection) -> rusqlite::Result<Self> {
        run(db, "BEGIN IMMEDIATE")?;
        Ok(Self(db))
    }

    pub(super) fn commit(self) -> rusqlite::Result<()> {
        // If this fails, dropping it rolls back.
        run(self.0, "COMMIT")
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // A failure may have rolled it back already; and if this fails, the next one cannot begin, and says so.
        if !self.0.is_autocommit() {
            let _ = run(self.0, "ROLLBACK");
        }
    }
}

/// Begins to read of one moment, unless that has begun already.
pub(super) fn begin_reading(db: &Connection) -> rusqlite::Result<&Connection> {
    if db.is_autocommit() {
        run(db, "BEGIN")?;
    }
    Ok(db)
}

/// Ends what [`begin_reading`] began.
pub(super) fn end_reading(db: &Connection) {
    // After a failure there may be nothing to end; and if this fails, the next read is of the same moment, and fails, too.
    if !db.is_autocommit() && run(db, "COMMIT").is_err() {
        let _ = run(db, "ROLLBACK");
    }
}

fn run(db: &Connection, statement: &str) -> rusqlite::Result<()> {
    db.prepare_cached(statement)?.execute([]).map(|_| ())
}
