//! The SQL of the log: one module per table with its statements and its row decoder.
//!
//! Knows no threads, queues or caches. Every function runs inside whatever transaction the caller has begun.

use rusqlite::types::Type;

pub(super) mod documents;
pub(super) mod endpoints;
pub(super) mod idempotency;
pub(super) mod log_state;
pub(super) mod members;
pub(super) mod messages;
pub(super) mod namespaces;
pub(super) mod outbox;
pub(super) mod probe;
pub(super) mod read_markers;
pub(super) mod rooms;
pub(super) mod sessions;

/// SQLite's integers are signed. Our numbers never come near the limit.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The error for a column that holds something this program never writes there.
fn corrupt_column(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
