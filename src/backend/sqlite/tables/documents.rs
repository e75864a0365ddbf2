//! The tables of documents: `documents`, with a row for each, and their updates and snapshots.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{corrupt_column, from_sql, to_sql};
use crate::{
    backend::{DocumentInfo, DocumentUpdate, StoredDocument},
    model::{RoomName, Timestamp},
};

/// A document's row.
pub(in crate::backend::sqlite) struct DocumentRow {
    id: i64,
    pub(in crate::backend::sqlite) last: u64,
    pub(in crate::backend::sqlite) bytes: u64,
}

pub(in crate::backend::sqlite) fn find_row(
    db: &Connection,
    name: &RoomName,
) -> rusqlite::Result<Option<DocumentRow>> {
    db.prepare_cached("SELECT id, last, bytes FROM documents WHERE name = ?1")?
        .query_row([name.as_str()], |row| {
            Ok(DocumentRow {
                id: row.get(0)?,
                last: from_sql(row.get(1)?),
                bytes: from_sql(row.get(2)?),
            })
        })
        .optional()
}

/// Creates a document whose first update gets the number behind `last`.
pub(in crate::backend::sqlite) fn insert(
    db: &Connection,
    name: &RoomName,
    last: u64,
    now: Timestamp,
) -> rusqlite::Result<DocumentRow> {
    db.prepare_cached(
        "INSERT INTO documents (name, last, updates, bytes, ts) VALUES (?1, ?2, 0, 0, ?3)",
    )?
    .execute(params![name.as_str(), to_sql(last), to_sql(now.0)])?;
    Ok(DocumentRow {
        id: db.last_insert_rowid(),
        last,
        bytes: 0,
    })
}

/// Appends an update, and returns its number. `is_told`: the change is to be told of, together with those before that are not told yet.
pub(in crate::backend::sqlite) fn append(
    db: &Connection,
    document: &DocumentRow,
    (update, is_told): (&[u8], bool),
    now: Timestamp,
) -> rusqlite::Result<u64> {
    let number = document.last + 1;
    db.prepare_cached(
        "INSERT INTO document_updates (document, number, bytes) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![document.id, to_sql(number), update])?;
    db.prepare_cached(
        "UPDATE documents SET last = ?2, updates = updates + 1, bytes = bytes + ?3, ts = ?4,
            untold = iif(?5, coalesce(untold, ?4), untold) WHERE id = ?1",
    )?
    .execute(params![
        document.id,
        to_sql(number),
        to_sql(update.len() as u64),
        to_sql(now.0),
        is_told,
    ])?;
    Ok(number)
}

/// Whether there are documents that changed before a time and are to be told of.
pub(in crate::backend::sqlite) fn has_untold(
    db: &Connection,
    before: Timestamp,
) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM documents WHERE untold < ?1")?
        .exists([to_sql(before.0)])
}

/// Takes such documents, as those that are told of now.
pub(in crate::backend::sqlite) fn take_untold(
    db: &Connection,
    before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<RoomName>> {
    let mut taken = db.prepare_cached(
        "UPDATE documents SET untold = NULL WHERE id IN (
            SELECT id FROM documents WHERE untold < ?1 ORDER BY untold LIMIT ?2)
         RETURNING name",
    )?;
    let taken = taken.query_map(params![to_sql(before.0), to_sql(limit as u64)], name)?;
    taken.collect()
}

fn name(row: &Row<'_>) -> rusqlite::Result<RoomName> {
    let name = row.get_ref(0)?.as_str()?;
    RoomName::parse(name).map_err(|error| corrupt_column(0, error))
}

/// Puts a snapshot in place of the updates up to `through`; false if that is none of the updates.
pub(in crate::backend::sqlite) fn compact(
    db: &Connection,
    document: &DocumentRow,
    through: u64,
    snapshot: &[u8],
) -> rusqlite::Result<bool> {
    let through = to_sql(through);
    let has_it = db
        .prepare_cached("SELECT 1 FROM document_updates WHERE document = ?1 AND number = ?2")?
        .exists(params![document.id, through])?;
    if !has_it {
        return Ok(false);
    }
    db.prepare_cached("DELETE FROM document_updates WHERE document = ?1 AND number <= ?2")?
        .execute(params![document.id, through])?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO document_snapshots (document, through, bytes) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![document.id, through, snapshot])?;
    db.prepare_cached(
        "UPDATE documents SET (updates, bytes) = (
            SELECT count(*), coalesce(sum(length(bytes)), 0) + ?2 FROM document_updates WHERE document = ?1)
         WHERE id = ?1",
    )?
    .execute(params![document.id, to_sql(snapshot.len() as u64)])?;
    Ok(true)
}

pub(in crate::backend::sqlite) fn delete(
    db: &Connection,
    document: &DocumentRow,
) -> rusqlite::Result<()> {
    for statement in [
        "DELETE FROM document_updates WHERE document = ?1",
        "DELETE FROM document_snapshots WHERE document = ?1",
        "DELETE FROM documents WHERE id = ?1",
    ] {
        db.prepare_cached(statement)?.execute([document.id])?;
    }
    Ok(())
}

/// What is stored of a document behind `after`.
pub(in crate::backend::sqlite) fn read(
    db: &Connection,
    name: &RoomName,
    after: u64,
) -> rusqlite::Result<Option<StoredDocument>> {
    let Some(document) = find_row(db, name)? else {
        return Ok(None);
    };
    let behind = params![document.id, to_sql(after)];
    let snapshot = db
        .prepare_cached(
            "SELECT through, bytes FROM document_snapshots WHERE document = ?1 AND through > ?2",
        )?
        .query_row(behind, update)
        .optional()?;
    let mut updates = db.prepare_cached(
        "SELECT number, bytes FROM document_updates WHERE document = ?1 AND number > ?2 ORDER BY number",
    )?;
    let updates = updates.query_map(behind, update)?;
    Ok(Some(StoredDocument {
        snapshot,
        updates: updates.collect::<rusqlite::Result<_>>()?,
    }))
}

fn update(row: &Row<'_>) -> rusqlite::Result<DocumentUpdate> {
    Ok(DocumentUpdate {
        number: from_sql(row.get(0)?),
        bytes: Bytes::from(row.get::<_, Vec<u8>>(1)?),
    })
}

pub(in crate::backend::sqlite) fn find(
    db: &Connection,
    name: &RoomName,
) -> rusqlite::Result<Option<DocumentInfo>> {
    db.prepare_cached("SELECT name, last, updates, bytes, ts FROM documents WHERE name = ?1")?
        .query_row([name.as_str()], info)
        .optional()
}

/// Documents whose names begin with `prefix` and come after `after`.
pub(in crate::backend::sqlite) fn list(
    db: &Connection,
    prefix: &str,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<DocumentInfo>> {
    let mut found = db.prepare_cached(
        "SELECT name, last, updates, bytes, ts FROM documents
         WHERE name >= ?1 AND name > ?2 AND substr(name, 1, length(?1)) = ?1 ORDER BY name LIMIT ?3",
    )?;
    let found = found.query_map(params![prefix, after, to_sql(limit as u64)], info)?;
    found.collect()
}

fn info(row: &Row<'_>) -> rusqlite::Result<DocumentInfo> {
    Ok(DocumentInfo {
        name: name(row)?,
        last: from_sql(row.get(1)?),
        updates: from_sql(row.get(2)?),
        bytes: from_sql(row.get(3)?),
        changed: Timestamp(from_sql(row.get(4)?)),
    })
}
