//! Deletes what retention no longer keeps while no server runs: all of it at once, in large transactions.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi};

use super::log_time;
use crate::{
    backend::{
        LogTime,
        sqlite::{
            SqliteConfig,
            room_table::RoomTable,
            tables::{idempotency, log_state, sessions},
            trim::{self, TrimPass},
        },
    },
    progress::{Progress, Unit},
};

/// How many steps share a transaction: some ten thousand rows, a fraction of a second.
const STEPS: usize = 64;

/// Deletes everything that is due, and returns how many messages that were. What was deleted stays deleted if it is
/// interrupted: it was due.
pub(super) fn trim_all(
    db: &mut Connection,
    config: &SqliteConfig,
    progress: &Arc<Progress>,
) -> rusqlite::Result<u64> {
    let now = log_time(db)?;
    let messages = trim::count_due(db, &config.retention, now)?.due;
    let others = idempotency::count_expired(db, now.before(config.idempotency))?
        + sessions::count_expired(db, now.before(config.session_window))?;
    let due = Some(messages + others).filter(|rows| *rows > 0);
    progress.begin("trimming the log", Unit::Rows, due);
    let mut trimming = Trimming {
        rooms: RoomTable::new(
            config.retention.clone(),
            config.idempotency,
            log_state::incarnation(db)?,
        ),
        pass: TrimPass::new(config.session_window),
        now,
        changes_before: db.total_changes(),
    };
    while trimming.run_transaction(db, progress)? {}
    progress.end();
    Ok(messages)
}

struct Trimming {
    rooms: RoomTable,
    pass: TrimPass,
    now: LogTime,
    /// How many rows the connection had changed before.
    changes_before: u64,
}

impl Trimming {
    /// Takes a few steps in one transaction, and returns whether there are more.
    fn run_transaction(
        &mut self,
        db: &mut Connection,
        progress: &Progress,
    ) -> rusqlite::Result<bool> {
        if progress.is_cancelled() {
            return Err(interrupted());
        }
        let db = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        log_state::save_retention_clock(&db, self.now.retention_clock)?;
        let mut more = true;
        for _ in 0..STEPS {
            // There is no hot cache to follow.
            more = self
                .pass
                .step(&db, &mut self.rooms, self.now, &mut Vec::new())?;
            progress.set(db.total_changes() - self.changes_before);
            if !more {
                break;
            }
        }
        db.commit()?;
        Ok(more)
    }
}

/// The error of a statement that was interrupted.
fn interrupted() -> rusqlite::Error {
    let error = ffi::Error {
        code: ErrorCode::OperationInterrupted,
        extended_code: ffi::SQLITE_INTERRUPT,
    };
    rusqlite::Error::SqliteFailure(error, None)
}
