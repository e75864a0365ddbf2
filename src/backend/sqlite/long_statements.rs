//! SQL that takes long: how far it is, and how it is interrupted.

use std::sync::Arc;

use rusqlite::Connection;

use crate::progress::Progress;

/// After how many operations of SQLite's virtual machine progress is reported: a fraction of a millisecond.
const OPERATIONS: u32 = 4000;

/// Runs statements, and reports `done` of the operations that SQLite has executed, roughly. Once the progress is cancelled,
/// they fail with `OperationInterrupted`, and SQLite rolls their transaction back.
pub(super) fn run<T>(
    db: &mut Connection,
    progress: &Arc<Progress>,
    done: impl Fn(u64) -> u64 + Send + 'static,
    statements: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let reported = progress.clone();
    let mut operations = 0;
    let report = move || {
        operations += u64::from(OPERATIONS);
        reported.set(done(operations));
        reported.is_cancelled()
    };
    db.progress_handler(OPERATIONS.cast_signed(), Some(report))?;
    let result = statements(db);
    db.progress_handler(0, None::<fn() -> bool>)?;
    result
}
