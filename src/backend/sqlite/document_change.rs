//! A change of a document, as the writer makes it together with what else is stored.

use bytes::Bytes;
use rusqlite::Connection;

use super::tables::documents;
use crate::{
    backend::{LogTime, UpdateTerms, documents::document_full, first_number},
    error::Result,
    model::RoomName,
};

/// A change of a document.
pub(super) enum DocumentChange {
    Append {
        document: RoomName,
        update: Bytes,
        terms: UpdateTerms,
    },
    Compact {
        document: RoomName,
        through: u64,
        snapshot: Bytes,
    },
    Delete(RoomName),
}

impl DocumentChange {
    /// Makes the change. Returns the number of the appended update, or otherwise whether anything was changed.
    pub(super) fn apply(&self, db: &Connection, now: LogTime) -> rusqlite::Result<Result<u64>> {
        let found = documents::find_row(db, self.document())?;
        Ok(match (self, found) {
            (
                Self::Append {
                    document,
                    update,
                    terms,
                },
                found,
            ) => {
                let bytes = found.as_ref().map_or(0, |row| row.bytes) + update.len() as u64;
                if bytes > terms.max_bytes {
                    return Ok(Err(document_full(document, terms.max_bytes)));
                }
                let row = match found {
                    Some(row) => row,
                    None => documents::insert(db, document, first_number(now.now), now.now)?,
                };
                let update = (&update[..], terms.is_told);
                Ok(documents::append(db, &row, update, now.now)?)
            }
            (_, None) => Ok(0),
            (
                Self::Compact {
                    through, snapshot, ..
                },
                Some(row),
            ) => Ok(documents::compact(db, &row, *through, snapshot)?.into()),
            (Self::Delete(_), Some(row)) => {
                documents::delete(db, &row)?;
                Ok(1)
            }
        })
    }

    fn document(&self) -> &RoomName {
        match self {
            Self::Append { document, .. }
            | Self::Compact { document, .. }
            | Self::Delete(document) => document,
        }
    }

    /// Bytes that it writes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append { update: bytes, .. }
            | Self::Compact {
                snapshot: bytes, ..
            } => bytes.len(),
            Self::Delete(_) => 0,
        }
    }
}
