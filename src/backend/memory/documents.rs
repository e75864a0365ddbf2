//! The documents in memory; they are lost with the process.

use std::{collections::BTreeMap, ops::Bound};

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryLog;
use crate::{
    backend::{
        DocumentInfo, DocumentStore, DocumentUpdate, StoredDocument, UpdateTerms, closed,
        documents::document_full, first_number,
    },
    error::Result,
    model::{RoomName, Timestamp},
};

/// All documents.
pub(super) type StoredDocuments = BTreeMap<RoomName, MemoryDocument>;

pub(super) struct MemoryDocument {
    stored: StoredDocument,
    last: u64,
    bytes: u64,
    changed: Timestamp,
    /// When the first change was stored that is to be told of.
    untold: Option<Timestamp>,
}

impl MemoryLog {
    fn with_documents<T>(&self, act: impl FnOnce(&mut StoredDocuments) -> T) -> Result<T> {
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        Ok(act(&mut rooms.documents))
    }
}

#[async_trait]
impl DocumentStore for MemoryLog {
    async fn append_update(
        &self,
        document: &RoomName,
        update: Bytes,
        terms: UpdateTerms,
    ) -> Result<u64> {
        let now = (self.clock)().now;
        let added = update.len() as u64;
        self.with_documents(|documents| {
            let bytes = documents.get(document).map_or(0, |stored| stored.bytes);
            if bytes + added > terms.max_bytes {
                return Err(document_full(document, terms.max_bytes));
            }
            let stored = documents
                .entry(document.clone())
                .or_insert_with(|| MemoryDocument {
                    stored: StoredDocument::default(),
                    last: first_number(now),
                    bytes: 0,
                    changed: now,
                    untold: None,
                });
            stored.last += 1;
            stored.bytes += added;
            stored.changed = now;
            if terms.is_told {
                stored.untold.get_or_insert(now);
            }
            stored.stored.updates.push(DocumentUpdate {
                number: stored.last,
                bytes: update,
            });
            Ok(stored.last)
        })?
    }

    async fn tell_changes(&self, before: Timestamp) -> Result<()> {
        let now = (self.clock)().now;
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        for (name, document) in &mut rooms.documents {
            if document.untold.is_some_and(|since| since < before) {
                document.untold = None;
                rooms.outbox.push_document(name, now);
                self.outbox_added.notify_one();
            }
        }
        Ok(())
    }

    async fn read_document(
        &self,
        document: &RoomName,
        after: u64,
    ) -> Result<Option<StoredDocument>> {
        self.with_documents(|documents| {
            documents.get(document).map(|document| {
                let StoredDocument { snapshot, updates } = &document.stored;
                let is_new = |update: &&DocumentUpdate| update.number > after;
                StoredDocument {
                    snapshot: snapshot.as_ref().filter(is_new).cloned(),
                    updates: updates.iter().filter(is_new).cloned().collect(),
                }
            })
        })
    }

    async fn compact_document(
        &self,
        document: &RoomName,
        through: u64,
        snapshot: Bytes,
    ) -> Result<bool> {
        self.with_documents(|documents| {
            let Some(document) = documents.get_mut(document) else {
                return false;
            };
            let stored = &mut document.stored;
            let has_it = stored.updates.iter().any(|it| it.number == through);
            if has_it {
                stored.updates.retain(|update| update.number > through);
                stored.snapshot = Some(DocumentUpdate {
                    number: through,
                    bytes: snapshot,
                });
                document.bytes = stored.parts().map(|part| part.bytes.len() as u64).sum();
            }
            has_it
        })
    }

    async fn delete_document(&self, document: &RoomName) -> Result<bool> {
        self.with_documents(|documents| documents.remove(document).is_some())
    }

    async fn find_document(&self, document: &RoomName) -> Result<Option<DocumentInfo>> {
        self.with_documents(|documents| {
            let stored = documents.get(document);
            stored.map(|stored| stored.info(document))
        })
    }

    async fn list_documents(
        &self,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<DocumentInfo>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with_documents(|documents| {
            let range = documents.range::<RoomName, _>((start, Bound::Unbounded));
            let matching = range.filter(|(name, _)| name.as_str().starts_with(prefix));
            let matching = matching.take(limit);
            matching.map(|(name, stored)| stored.info(name)).collect()
        })
    }
}

impl MemoryDocument {
    fn info(&self, name: &RoomName) -> DocumentInfo {
        DocumentInfo {
            name: name.clone(),
            last: self.last,
            updates: self.stored.updates.len() as u64,
            bytes: self.bytes,
            changed: self.changed,
        }
    }
}
