//! The database file: how connections to it are set up, its schema, and which files are refused.
//!
//! Meant to be read by people, too: data is text, and the view `log` shows every message with names and times.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::{long_statements, migration, tables::log_state};
use crate::{
    backend::Synchronous,
    model::Incarnation,
    progress::{Progress, Unit},
};

/// The version that this code writes, in `PRAGMA user_version`.
const VERSION: i64 = 8;

/// The file in the folder that is locked while a process uses the log.
pub(super) const LOCK_FILE: &str = "switchboard.lock";

/// Rooms and namespaces have one row each, which outlives their messages, since numbering continues. A room's `offset` is
/// that of its last message, `trimmed` that of the newest deleted one. `messages` is stored in the order in which it is
/// read; `except` is the connection that a message is not delivered to. `ids` has only ids that senders chose: `sent` is
/// the message's timestamp, and `ts` the clock's, by which the idempotency window is measured. `marks` has the read
/// markers, and when each was last set. Tables that files of earlier versions lack are in `migration`.
const TABLES: &str = r#"
CREATE TABLE namespaces (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    "offset" INTEGER NOT NULL
) STRICT;
CREATE TABLE rooms (
    id        INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    name      TEXT NOT NULL,
    epoch     TEXT NOT NULL,
    head      INTEGER NOT NULL,
    oldest    INTEGER NOT NULL,
    ts        INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    trimmed   INTEGER NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE TABLE messages (
    room     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    ts       INTEGER NOT NULL,
    id       TEXT NOT NULL,
    event    TEXT NOT NULL,
    user     TEXT,
    name     TEXT,
    data     TEXT NOT NULL,
    "except" TEXT,
    PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE ids (
    room INTEGER NOT NULL,
    id   TEXT NOT NULL,
    seq  INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    ts   INTEGER NOT NULL,
    PRIMARY KEY (room, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ids_by_time ON ids (ts);
CREATE TABLE marks (
    room INTEGER NOT NULL,
    user TEXT NOT NULL,
    seq  INTEGER NOT NULL,
    ts   INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE VIEW log AS
    SELECT namespaces.name AS namespace, rooms.name AS room, messages.seq, messages."offset",
           datetime(messages.ts / 1000, 'unixepoch') AS time, messages.id, event, user, data
    FROM messages JOIN rooms ON rooms.id = messages.room JOIN namespaces ON namespaces.id = rooms.namespace;
"#;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("the folder {} cannot be used for the log; make it writable or choose another", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process has the log open.
    #[error("the log in {} is in use by another process; stop that one, or give this one its own folder", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A later version of the program wrote it.
    #[error("{} was written by a newer version (schema {found}, this one knows {VERSION}); upgrade, or choose another folder", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The file there is not a log, or is corrupt.
    #[error("{} is not a log, or is damaged; move it away or restore it from a backup, or choose another folder", .path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// It was asked to stop while it migrated a file of an earlier version.
    #[error("stopped while migrating {}: it is as it was before, and the next start migrates it", .path.display())]
    Interrupted {
        /// The file.
        path: PathBuf,
    },
    /// SQLite failed in another way.
    #[error("{} cannot be opened", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
    /// The log's threads could not be started.
    #[error("the log's threads cannot be started")]
    Threads(#[source] io::Error),
}

impl OpenError {
    pub(super) fn database(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::NotALog { path },
            Some(ErrorCode::OperationInterrupted) => Self::Interrupted { path },
            _ => Self::Database { path, source },
        }
    }
}

/// Creates the folder if there is none, and locks it for this process until the returned file is closed.
pub(super) fn lock_folder(folder: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Folder {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(folder.join(LOCK_FILE))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Opens the connection that writes. Creates the tables in a new file, and migrates those of an earlier version, which can take
/// long.
pub(super) fn open_writer(
    path: &Path,
    synchronous: Synchronous,
    busy_timeout: Duration,
    progress: &Arc<Progress>,
) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::database(path, source);
    let mut db = Connection::open(path).map_err(failed)?;
    db.busy_timeout(busy_timeout).map_err(failed)?;
    check(&db, path)?;
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {};
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -32000;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;",
        setting(synchronous)
    ))
    .and_then(|()| migrate(&mut db, progress))
    .and_then(|()| prepare_once(&db))
    .map_err(failed)?;
    Ok(db)
}

fn setting(synchronous: Synchronous) -> &'static str {
    match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
        Synchronous::Off => "OFF",
    }
}

/// Opens a connection that only copies the write-ahead log into the database. It syncs the log before, and the database after
/// that, unless nothing is synced.
pub(super) fn open_checkpointer(
    path: &Path,
    synchronous: Synchronous,
    busy_timeout: Duration,
) -> Result<Connection, OpenError> {
    let open = || {
        let db = Connection::open(path)?;
        db.busy_timeout(busy_timeout)?;
        db.execute_batch(&format!(
            "PRAGMA synchronous = {}; PRAGMA journal_size_limit = 67108864;",
            setting(synchronous)
        ))?;
        Ok(db)
    };
    open().map_err(|source| OpenError::database(path, source))
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::database(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(busy_timeout).map_err(failed)?;
    db.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000;")
        .and_then(|()| prepare_once(&db))
        .map_err(failed)?;
    Ok(db)
}

/// Has every statement prepared once: all of them are kept, and none is prepared again for the values that are bound to it, which
/// SQLite would do to choose an index by its statistics. There are none.
fn prepare_once(db: &Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(128);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(|_| ())
}

/// Refuses files of other programs and of later versions, before anything is written to them.
pub(super) fn check(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::database(path, source);
    let found = version(db).map_err(failed)?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let path = path.to_owned();
    match found {
        0 if tables > 0 => Err(OpenError::NotALog { path }),
        0..=VERSION => Ok(()),
        _ => Err(OpenError::Newer { path, found }),
    }
}

/// Whether a file is of a version that has saved no time of retention.
pub(super) fn lacks_clock(db: &Connection) -> rusqlite::Result<bool> {
    Ok((1..6).contains(&version(db)?))
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Creates the tables, or those that are missing. How long that takes depends on the rows that SQLite has to read for it.
fn migrate(db: &mut Connection, progress: &Arc<Progress>) -> rusqlite::Result<()> {
    let found = version(db)?;
    if found == VERSION {
        return Ok(());
    }
    let work = migration::work(db, found)?;
    if work.rows == 0 {
        return migrate_from(db, found);
    }
    progress.begin(
        format!("migrating the log to version {VERSION}"),
        Unit::Rows,
        Some(work.rows),
    );
    long_statements::run(
        db,
        progress,
        move |operations| work.rows_after(operations),
        |db| migrate_from(db, found),
    )?;
    progress.end();
    Ok(())
}

pub(super) fn migrate_from(db: &Connection, found: i64) -> rusqlite::Result<()> {
    // One transaction, so that a process killed here leaves the file as it was and not half of a schema.
    let transaction = db.unchecked_transaction()?;
    match found {
        0 => transaction.execute_batch(TABLES)?,
        1 => transaction.execute_batch(migration::FROM_1)?,
        _ => {}
    }
    match found {
        0 | 1 => transaction.execute_batch(migration::SESSIONS)?,
        2 | 3 => transaction.execute_batch(migration::APPLICATION)?,
        _ => {}
    }
    if found < 3 {
        transaction.execute_batch(migration::LIFE)?;
        log_state::insert_incarnation(&transaction, &Incarnation::generate())?;
    }
    if found < 5 {
        transaction.execute_batch(migration::FORGOTTEN)?;
    }
    if found < 6 {
        transaction.execute_batch(migration::CLOCK)?;
    }
    if found < 7 {
        transaction.execute_batch(migration::OUTBOX)?;
    }
    transaction.execute_batch(migration::DOCUMENTS)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
