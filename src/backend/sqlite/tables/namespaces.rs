//! The `namespaces` table: the last offset of each.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};

use super::{from_sql, to_sql};
use crate::model::{Namespace, Offset};

/// A namespace's row.
pub(in crate::backend::sqlite) struct NamespaceRow {
    pub(in crate::backend::sqlite) id: i64,
    pub(in crate::backend::sqlite) offset: Offset,
}

fn decode(row: &Row<'_>) -> rusqlite::Result<NamespaceRow> {
    Ok(NamespaceRow {
        id: row.get(0)?,
        offset: Offset(from_sql(row.get(1)?)),
    })
}

/// The namespace's row, created if there is none.
pub(in crate::backend::sqlite) fn find_or_insert(
    db: &Connection,
    name: &Namespace,
) -> rusqlite::Result<NamespaceRow> {
    db.prepare_cached(
        r#"INSERT INTO namespaces (name, "offset") VALUES (?1, 0) ON CONFLICT (name) DO NOTHING"#,
    )?
    .execute([name.as_str()])?;
    db.prepare_cached(r#"SELECT id, "offset" FROM namespaces WHERE name = ?1"#)?
        .query_row([name.as_str()], decode)
}

/// The last offset of every namespace.
pub(in crate::backend::sqlite) fn offsets(
    db: &Connection,
) -> rusqlite::Result<HashMap<Namespace, Offset>> {
    db.prepare(r#"SELECT id, "offset", name FROM namespaces"#)?
        .query_map([], |row| {
            let name = Namespace::from_log(row.get_ref(2)?.as_str()?);
            Ok((name, decode(row)?.offset))
        })?
        .collect()
}

pub(in crate::backend::sqlite) fn update(
    db: &Connection,
    row: &NamespaceRow,
) -> rusqlite::Result<()> {
    db.prepare_cached(r#"UPDATE namespaces SET "offset" = ?2 WHERE id = ?1"#)?
        .execute(params![row.id, to_sql(row.offset.0)])
        .map(|_| ())
}
