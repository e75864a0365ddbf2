//! Whether writing and reading work, and whether a failure concerns one room or the whole file.
//!
//! A full disk or a file that is read-only fails everybody. A corrupt page fails those that need it: that may be all, or the
//! messages of one room. So after such an error the rest is probed: what storing a message does is done and rolled back, and
//! the last messages of other rooms are read.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};

use super::tables::{log_state, probe};
use crate::{
    backend::{
        LogTime,
        health::{Health, HealthCheck},
    },
    model::RoomKey,
    retry::log_rarely,
    sync::lock,
};

/// The shortest time between two probes that failures cause.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The health of the database file.
pub(super) struct FileHealth {
    /// Whether messages can be stored.
    pub(super) write: Arc<HealthCheck>,
    /// Whether they can be read.
    pub(super) read: Arc<HealthCheck>,
    commits: AtomicU64,
    // A std mutex: it is held for a few assignments, and never across an await.
    state: Mutex<ProbeState>,
}

#[derive(Default)]
struct ProbeState {
    /// The room whose read failed last; a probe reads other rooms.
    failed_room: Option<RoomKey>,
    probed_at: Option<Instant>,
}

impl FileHealth {
    pub(super) fn new(health: &mut Health) -> Self {
        Self {
            write: health.add_check("write", None),
            read: health.add_check("read", None),
            commits: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// How many transactions were committed.
    #[cfg(test)]
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Records a commit. `wrote`: it certainly wrote something, as an empty one succeeds on a full disk, too.
    pub(super) fn record_commit(&self, wrote: bool) {
        self.commits.fetch_add(1, Ordering::AcqRel);
        if wrote {
            self.write.record_success();
        }
    }

    /// Records that a write failed, for `room` if it was about one.
    pub(super) fn record_write_failure(
        &self,
        db: &Connection,
        room: Option<&RoomKey>,
        error: &rusqlite::Error,
    ) {
        let room_name = room.map(|key| tracing::field::display(&key.room));
        log_rarely!(error, %error, room = room_name, "writing to the log failed");
        if !may_concern_one_room(error) {
            self.write.record_failure(error.to_string());
        } else if self.may_probe() {
            let others = probe::write(db).and_then(|()| probe::read_rooms_except(db, room));
            record_failure(&self.write, others);
        }
    }

    /// Records that a read failed.
    pub(super) fn record_read_failure(
        &self,
        db: &Connection,
        room: Option<&RoomKey>,
        error: &rusqlite::Error,
    ) {
        let room_name = room.map(|key| tracing::field::display(&key.room));
        log_rarely!(error, %error, room = room_name, "reading the log failed");
        if !may_concern_one_room(error) {
            self.read.record_failure(error.to_string());
        } else if self.may_probe() {
            self.lock().failed_room = room.cloned();
            record_failure(&self.read, probe::read_rooms_except(db, room));
        }
    }

    /// Finds out whether reading works again.
    pub(super) fn probe_read(&self, db: &Connection) {
        let room = self.lock().failed_room.clone();
        match probe::read_rooms_except(db, room.as_ref()) {
            Ok(()) => self.read.record_success(),
            Err(error) => self.read.record_failure(error.to_string()),
        }
    }

    fn may_probe(&self) -> bool {
        let mut state = self.lock();
        let is_due = state
            .probed_at
            .is_none_or(|probed_at| probed_at.elapsed() >= PROBE_INTERVAL);
        if is_due {
            state.probed_at = Some(Instant::now());
        }
        is_due
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ProbeState> {
        lock(&self.state)
    }
}

fn record_failure(check: &HealthCheck, result: rusqlite::Result<()>) {
    if let Err(error) = result {
        check.record_failure(error.to_string());
    }
}

/// Whether an error may be about a page or a row that other rooms do not need.
pub(super) fn may_concern_one_room(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::SystemIoFailure
                | ErrorCode::ConstraintViolation
        ),
        // A row could not be decoded.
        None => true,
    }
}

/// Writes what storing a message would, and the time of retention, for the disk to accept or refuse.
pub(super) fn probe_write(db: &Connection, now: LogTime) -> rusqlite::Result<()> {
    probe::write(db)?;
    log_state::save_retention_clock(db, now.retention_clock)
}
