//! How writing and reading go, and what tells trouble with one room from trouble with the file.
//!
//! A full disk, a file that cannot be written and the like refuse everybody. A damaged page refuses whoever needs it: that may
//! be all, or the messages of one room. So after such an error it is looked whether the rest works: what storing a message
//! does is done and taken back, and the ends of other rooms are read.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::schema;
use crate::{
    backend::{
        LogTime,
        health::{Health as Checks, HealthCheck},
    },
    model::RoomKey,
    repeat::log_rarely,
};

/// How often it is looked at most what else fails.
const LOOK: Duration = Duration::from_secs(1);

/// How many other rooms are looked at.
const ROOMS: i64 = 8;

/// What the file's state is known to be.
pub(super) struct Health {
    /// Whether messages can be stored.
    pub(super) write: Arc<HealthCheck>,
    /// Whether they can be read.
    pub(super) read: Arc<HealthCheck>,
    commits: AtomicU64,
    // A std mutex: it is held for a look, and never across an await.
    suspect: Mutex<Suspect>,
}

/// Where something failed last, and when it was looked what else does.
#[derive(Default)]
struct Suspect {
    room: Option<RoomKey>,
    looked: Option<Instant>,
}

impl Health {
    pub(super) fn new(checks: &mut Checks) -> Self {
        Self {
            write: checks.watch("write", None),
            read: checks.watch("read", None),
            commits: AtomicU64::new(0),
            suspect: Mutex::default(),
        }
    }

    /// How many transactions were committed.
    #[cfg(test)]
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// A transaction was committed; `wrote`: it surely wrote something, as an empty one succeeds on a full disk too.
    pub(super) fn committed(&self, wrote: bool) {
        self.commits.fetch_add(1, Ordering::AcqRel);
        if wrote {
            self.write.record_success();
        }
    }

    /// Something could not be written, for a room if it was about one.
    pub(super) fn not_written(
        &self,
        db: &Connection,
        room: Option<&RoomKey>,
        error: &rusqlite::Error,
    ) {
        let room_name = room.map(|key| tracing::field::display(&key.room));
        log_rarely!(error, %error, room = room_name, "cannot write to the log");
        if may_be_of_one_room(error) {
            if self.may_look() {
                let others = attempt(db).and_then(|()| ends_of_rooms(db, room));
                self.note(&self.write, others);
            }
        } else {
            self.write.record_failure(error.to_string());
        }
    }

    /// Something could not be read.
    pub(super) fn not_read(
        &self,
        db: &Connection,
        room: Option<&RoomKey>,
        error: &rusqlite::Error,
    ) {
        let room_name = room.map(|key| tracing::field::display(&key.room));
        log_rarely!(error, %error, room = room_name, "cannot read the log");
        if !may_be_of_one_room(error) {
            self.read.record_failure(error.to_string());
        } else if self.may_look() {
            self.lock().room = room.cloned();
            self.note(&self.read, ends_of_rooms(db, room));
        }
    }

    /// Looks whether reading works again.
    pub(super) fn look_again(&self, db: &Connection) {
        let room = self.lock().room.clone();
        match ends_of_rooms(db, room.as_ref()) {
            Ok(()) => self.read.record_success(),
            Err(error) => self.read.record_failure(error.to_string()),
        }
    }

    fn note(&self, watch: &HealthCheck, others: rusqlite::Result<()>) {
        if let Err(error) = others {
            watch.record_failure(error.to_string());
        }
    }

    fn may_look(&self) -> bool {
        let mut suspect = self.lock();
        let may = suspect.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if may {
            suspect.looked = Some(Instant::now());
        }
        may
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Suspect> {
        self.suspect.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error may be about a page, or a row, that others do not need.
pub(super) fn may_be_of_one_room(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::SystemIoFailure
                | ErrorCode::ConstraintViolation
        ),
        // What is stored there is not as it was written.
        None => true,
    }
}

/// Does in every table what storing does, for a room that there never is, and takes it back.
pub(super) fn attempt(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("SAVEPOINT probe")?;
    let done = store(db);
    // Where the attempt has ended the transaction, there is nothing to take back.
    let back = match db.is_autocommit() {
        true => Ok(()),
        false => db.execute_batch("ROLLBACK TO probe; RELEASE probe"),
    };
    done.and(back)
}

fn store(db: &Connection) -> rusqlite::Result<()> {
    // More than a page, so that the file has to be able to grow.
    let data = "x".repeat(8192);
    db.prepare_cached(
        r#"INSERT INTO messages (room, seq, "offset", ts, id, event, data) VALUES (-1, 1, 0, 0, '', '', ?1)"#,
    )?
    .execute([&data])?;
    db.prepare_cached("INSERT INTO ids (room, id, seq, sent, ts) VALUES (-1, '', 1, 0, 0)")?
        .execute([])?;
    db.prepare_cached("INSERT INTO marks (room, user, seq, ts) VALUES (-1, '', 1, 0)")?
        .execute([])?;
    db.prepare_cached(
        "INSERT INTO sessions (pid, namespace, user, connection, rooms, ended) VALUES ('', '', '', '', '[]', 0)",
    )?
    .execute([])?;
    db.prepare_cached("UPDATE rooms SET ts = ts WHERE id = (SELECT max(id) FROM rooms)")?
        .execute([])?;
    db.prepare_cached(
        r#"UPDATE namespaces SET "offset" = "offset" WHERE id = (SELECT max(id) FROM namespaces)"#,
    )?
    .execute([])?;
    Ok(())
}

/// Writes what storing a message would, and how late it is, for the disk to accept or refuse.
pub(super) fn probe(db: &Connection, now: LogTime) -> rusqlite::Result<()> {
    attempt(db)?;
    schema::keep_aged(db, now.retention_clock)
}

/// Reads the ends of the newest rooms but one. Fails if most of them cannot be read; without any, if that one cannot.
fn ends_of_rooms(db: &Connection, but: Option<&RoomKey>) -> rusqlite::Result<()> {
    let suspect: Option<i64> = match but {
        Some(key) => db
            .prepare_cached(
                "SELECT rooms.id FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
                 WHERE namespaces.name = ?1 AND rooms.name = ?2",
            )?
            .query_row([key.namespace.as_str(), key.room.as_str()], |row| {
                row.get(0)
            })
            .optional()?,
        None => None,
    };
    let others: Vec<(i64, i64)> = db
        .prepare_cached("SELECT id, head FROM rooms WHERE id IS NOT ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![suspect, ROOMS], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let count = others.len();
    let ends = others.into_iter().map(|(room, head)| {
        db.prepare_cached("SELECT length(data) FROM messages WHERE room = ?1 AND seq = ?2")?
            .query_row([room, head], |row| row.get::<_, i64>(0))
            .optional()
    });
    let mut failed: Vec<_> = ends.filter_map(Result::err).collect();
    match (count, suspect, failed.pop()) {
        (0, Some(room), _) => db
            .prepare_cached("SELECT count(seq) FROM messages WHERE room = ?1")?
            .query_row([room], |_| Ok(())),
        (_, _, Some(error)) if 2 * (failed.len() + 1) > count => Err(error),
        _ => Ok(()),
    }
}
