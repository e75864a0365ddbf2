//! Compaction: gives back to the file system what deleted messages leave free in the log's file.
//!
//! SQLite reuses the pages of deleted messages and never returns them by itself. Compaction deletes what retention no longer
//! keeps, writes what is left into a new file beside the old one, and renames that: until then the old file is complete and
//! unchanged, and from then on the new one is, whatever ends the process. `VACUUM` in place would write everything twice,
//! need twice the space while it runs, and could neither be observed nor stopped while it copies back.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, ErrorCode};

use super::{
    BUSY_TIMEOUT, FILE, SqliteConfig,
    schema::{self, OpenError},
    tables::log_state,
    trim,
};
use crate::{
    backend::{LogTime, Synchronous, clock},
    progress::{Progress, bytes},
};

mod owner;
mod replacement;
mod trimming;

use replacement::Replacement;
pub(super) use replacement::remove_leftover;

/// Why a log was not compacted. Unless it says otherwise, the log is complete, and nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// There is no log in the folder.
    #[error("there is no log in {}: `data` has to name its folder", .folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// A server has the log open.
    #[error(
        "a server uses the log in {}: stop it, compact the log, and start it again; --dry-run says what that would gain, also while it \
         runs", .folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// Another program has the database open.
    #[error(
        "another program has {} open, such as sqlite3 or a backup: wait until it has ended, and try again", .path.display()
    )]
    OpenElsewhere {
        /// The database.
        path: PathBuf,
    },
    /// The disk has too little free space for the new file.
    #[error(
        "compacting needs {} of free disk space in {}, and {} are free: free some, and try again", bytes(*.needed),
        .folder.display(), bytes(*.free)
    )]
    TooLittleSpace {
        /// The folder.
        folder: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The disk became full meanwhile.
    #[error(
        "the disk became full while the log in {} was compacted: free some space, and try again; the log is complete", .folder.display()
    )]
    DiskFull {
        /// The folder.
        folder: PathBuf,
    },
    /// It was asked to stop.
    #[error("stopped; the log in {} is complete, and as large as before", .folder.display())]
    Cancelled {
        /// The folder.
        folder: PathBuf,
    },
    /// The log cannot be opened.
    #[error("{0}")]
    Open(#[source] OpenError),
    /// A file cannot be written, or given to the owner of the log.
    #[error("{} cannot be written: {source}; run this as the user that the server runs as", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// SQLite failed in another way.
    #[error("{} cannot be compacted: {source}", .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
}

/// What compaction has done. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The database file.
    pub path: PathBuf,
    /// Its size before, with its write-ahead log.
    pub before: u64,
    /// Its size now.
    pub after: u64,
    /// How many messages were deleted because retention no longer keeps them.
    pub trimmed: u64,
}

/// What compaction would do. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionEstimate {
    /// The database file.
    pub path: PathBuf,
    /// Its size.
    pub size: u64,
    /// How much of it is free.
    pub unused: u64,
    /// How many messages retention no longer keeps.
    pub due: u64,
    /// How large the file would be at most; roughly, if messages are to be deleted first.
    pub after: u64,
    /// How much of the disk is free; as much as `after` is needed.
    pub disk_free: u64,
}

/// A log's database file, found and not yet opened.
struct Target<'a> {
    folder: &'a Path,
    /// The file itself, whatever symbolic links lead there.
    path: PathBuf,
    metadata: Metadata,
}

/// Compacts the log in `config.folder`. Blocks for as long as it takes to read and write the log.
///
/// # Errors
/// Fails if there is no log, a server or another program uses it, the disk has too little space, or the progress is cancelled.
pub fn compact(config: &SqliteConfig, progress: &Arc<Progress>) -> Result<Compacted, CompactError> {
    let target = Target::find(&config.folder)?;
    let _lock = target.lock()?;
    remove_leftover(&target.path);
    let before = target.size();
    let mut db = schema::open_writer(&target.path, Synchronous::Full, BUSY_TIMEOUT, progress)
        .map_err(|error| target.not_opened(error))?;
    let failed = |error| target.failed(error);
    let trimmed = trimming::trim_all(&mut db, config, progress).map_err(failed)?;
    target.lock_out_others(&db).map_err(failed)?;
    let needed = live_bytes(&db).map_err(failed)?;
    let free = target.disk_free()?;
    if free < needed {
        let folder = target.folder.to_owned();
        return Err(CompactError::TooLittleSpace {
            folder,
            needed,
            free,
        });
    }
    let replacement = Replacement::create(&target.path, &target.metadata)
        .map_err(|source| target.not_written(source))?;
    replacement
        .fill(&mut db, needed, progress)
        .map_err(failed)?;
    replacement
        .sync(progress)
        .map_err(|source| target.not_written(source))?;
    if progress.is_cancelled() {
        return Err(target.cancelled());
    }
    replacement
        .take_place()
        .map_err(|source| target.not_written(source))?;
    // Not earlier: it keeps other programs out of the file that has just been replaced.
    drop(db);
    Ok(Compacted {
        after: size_of(&target.path),
        path: target.path,
        before,
        trimmed,
    })
}

/// Says what [`compact`] would do, and changes nothing. A server may use the log meanwhile.
///
/// # Errors
/// Fails if there is no log, or it cannot be read.
pub fn estimate(config: &SqliteConfig) -> Result<CompactionEstimate, CompactError> {
    let target = Target::find(&config.folder)?;
    let failed = |error| target.failed(error);
    let mut db = schema::open_reader(&target.path, BUSY_TIMEOUT)
        .map_err(|error| target.not_opened(error))?;
    schema::check(&db, &target.path).map_err(|error| target.not_opened(error))?;
    // One transaction, so that all numbers are of the same moment.
    let db = db.transaction().map_err(failed)?;
    let live = live_bytes(&db).map_err(failed)?;
    let size = pages(&db, "page_count").map_err(failed)?;
    let now = log_time(&db).map_err(failed)?;
    let messages = trim::count_due(&db, &config.retention, now).map_err(failed)?;
    let kept = messages.count - messages.due;
    let after = u128::from(live) * u128::from(kept) / u128::from(messages.count.max(1));
    Ok(CompactionEstimate {
        size,
        unused: size - live,
        due: messages.due,
        after: match messages.due {
            0 => live,
            _ => u64::try_from(after).unwrap_or(live),
        },
        disk_free: target.disk_free()?,
        path: target.path.clone(),
    })
}

/// The log's time, by which messages are expired.
fn log_time(db: &Connection) -> rusqlite::Result<LogTime> {
    let retention_clock = match schema::lacks_clock(db)? {
        false => log_state::retention_clock(db)?,
        true => log_state::first_retention_clock(db)?,
    };
    Ok(clock::system_clock(retention_clock)())
}

/// How many bytes of the file are in use.
fn live_bytes(db: &Connection) -> rusqlite::Result<u64> {
    Ok(pages(db, "page_count")? - pages(db, "freelist_count")?)
}

/// A number of pages, in bytes.
fn pages(db: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    let value = |name: &str| -> rusqlite::Result<u64> {
        let value: i64 = db.pragma_query_value(None, name, |row| row.get(0))?;
        Ok(value.unsigned_abs())
    };
    Ok(value(pragma)? * value("page_size")?)
}

/// The size of a file; 0 if there is none.
fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

impl<'a> Target<'a> {
    fn find(folder: &'a Path) -> Result<Self, CompactError> {
        let named = folder.join(FILE);
        let found = fs::canonicalize(&named).and_then(|path| Ok((fs::metadata(&path)?, path)));
        match found {
            Ok((metadata, path)) => Ok(Self {
                folder,
                path,
                metadata,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CompactError::Missing {
                folder: folder.to_owned(),
            }),
            Err(source) => Err(CompactError::File {
                path: named,
                source,
            }),
        }
    }

    /// Locks the folder as a server does.
    fn lock(&self) -> Result<fs::File, CompactError> {
        let path = self.folder.join(schema::LOCK_FILE);
        let is_new = !path.exists();
        let lock = schema::lock_folder(self.folder).map_err(|error| match error {
            OpenError::InUse { path: folder } => CompactError::InUse { folder },
            other => self.not_opened(other),
        })?;
        if is_new {
            owner::give_to_owner(&path, &self.metadata)
                .map_err(|source| CompactError::File { path, source })?;
        }
        Ok(lock)
    }

    /// Empties the write-ahead log, which must not stay beside another file, and locks the file itself until the connection is
    /// closed: a program that has it open would go on in a file that nobody else sees, with the write-ahead log of the new one.
    fn lock_out_others(&self, db: &Connection) -> rusqlite::Result<()> {
        // Succeeds only if nobody else has the file open.
        db.pragma_update(None, "journal_mode", "DELETE")?;
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        db.execute_batch("BEGIN EXCLUSIVE; COMMIT;")
    }

    /// The size of the database with its write-ahead log.
    fn size(&self) -> u64 {
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        self.metadata.len() + size_of(Path::new(&wal))
    }

    /// The space on the disk that is free for this user.
    fn disk_free(&self) -> Result<u64, CompactError> {
        let disk =
            rustix::fs::statvfs(&self.path).map_err(|error| self.not_written(error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn cancelled(&self) -> CompactError {
        CompactError::Cancelled {
            folder: self.folder.to_owned(),
        }
    }

    fn not_opened(&self, error: OpenError) -> CompactError {
        match error {
            OpenError::Database { source, .. } => self.failed(source),
            OpenError::Interrupted { .. } => self.cancelled(),
            other => CompactError::Open(other),
        }
    }

    fn not_written(&self, source: io::Error) -> CompactError {
        if source.kind() == io::ErrorKind::StorageFull {
            let folder = self.folder.to_owned();
            return CompactError::DiskFull { folder };
        }
        CompactError::File {
            path: replacement::path(&self.path),
            source,
        }
    }

    fn failed(&self, source: rusqlite::Error) -> CompactError {
        let folder = self.folder.to_owned();
        let path = self.path.clone();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => CompactError::DiskFull { folder },
            Some(ErrorCode::OperationInterrupted) => CompactError::Cancelled { folder },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                CompactError::OpenElsewhere { path }
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                CompactError::Open(OpenError::NotALog { path })
            }
            _ => CompactError::Database { path, source },
        }
    }
}

#[cfg(test)]
mod tests;
