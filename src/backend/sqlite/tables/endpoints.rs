//! The `endpoints` table: how far each back end was told.

use rusqlite::{Connection, OptionalExtension};

/// What was saved for an endpoint.
pub(in crate::backend::sqlite) fn find(
    db: &Connection,
    name: &str,
) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT state FROM endpoints WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(in crate::backend::sqlite) fn upsert(
    db: &Connection,
    name: &str,
    state: &str,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO endpoints (name, state) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET state = excluded.state",
    )?
    .execute([name, state])
    .map(|_| ())
}
