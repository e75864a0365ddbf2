//! Documents: updates of collaborative editing, stored beside the log.
//!
//! A document has a name like a room and nothing else in common with it. Its updates are numbered without gaps, in whatever order they
//! come: updates commute, so no order is wrong. Compaction replaces the oldest of them by one snapshot. What is in an update is
//! not the store's business.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    error::{Code, Error, Result},
    model::{RoomName, Timestamp},
};

/// What is stored of a document behind a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredDocument {
    /// Everything up to a number, merged; `None` if none of what was asked for has been merged.
    pub snapshot: Option<DocumentUpdate>,
    /// The updates behind that, by number.
    pub updates: Vec<DocumentUpdate>,
}

/// An update, or everything up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentUpdate {
    /// Its number in the document.
    pub number: u64,
    /// Its bytes.
    pub bytes: Bytes,
}

/// How large a document is, and when it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentInfo {
    /// Its name.
    pub name: RoomName,
    /// The number of its last update.
    pub last: u64,
    /// How many updates are not merged into its snapshot.
    pub updates: u64,
    /// Bytes of its snapshot and these updates.
    pub bytes: u64,
    /// When its last update was stored.
    pub changed: Timestamp,
}

/// How an update is stored.
#[derive(Clone, Copy, Debug)]
pub struct UpdateTerms {
    /// The most bytes that the document may have with it.
    pub max_bytes: u64,
    /// Whether back ends are told that the document has changed.
    pub is_told: bool,
}

/// Documents that one call of [`DocumentStore::tell_changes`] tells of at most, in each part of the store.
pub(super) const TOLD_AT_ONCE: usize = 256;

/// Stores documents.
#[async_trait]
pub trait DocumentStore: Send + Sync + 'static {
    /// Appends an update, and creates the document with its first one. Returns the update's number once it is stored as durably as
    /// a message. A document that was deleted and is created again continues with higher numbers. An update that is the last one already may
    /// be given that one's number again.
    ///
    /// # Errors
    /// `too_large` if the document would have more than `terms.max_bytes`, `unavailable` if it cannot be stored now.
    async fn append_update(
        &self,
        document: &RoomName,
        update: Bytes,
        terms: UpdateTerms,
    ) -> Result<u64>;

    /// Adds [`DocumentChanged`](super::OutboxKind::DocumentChanged) to the outbox for each document that has changed since that was last
    /// told of, by updates of which the first came before `before`. It may leave some for the next call.
    ///
    /// So a document that changes all the time is told of now and then, and its last change always is, even if the process that has
    /// stored it ends at once.
    async fn tell_changes(&self, before: Timestamp) -> Result<()>;

    /// Reads what has a number greater than `after`; `None` if there is no such document.
    async fn read_document(
        &self,
        document: &RoomName,
        after: u64,
    ) -> Result<Option<StoredDocument>>;

    /// Puts a snapshot in place of all updates up to `through`, in one step. Returns false, and changes nothing, if there is no such
    /// update, or a snapshot that has it already.
    async fn compact_document(
        &self,
        document: &RoomName,
        through: u64,
        snapshot: Bytes,
    ) -> Result<bool>;

    /// Deletes a document; false if there is none.
    async fn delete_document(&self, document: &RoomName) -> Result<bool>;

    /// How a document is; `None` if there is none.
    async fn find_document(&self, document: &RoomName) -> Result<Option<DocumentInfo>>;

    /// Documents whose names begin with `prefix` and come after `after`, by name, at most `limit`.
    async fn list_documents(
        &self,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<DocumentInfo>>;
}

impl StoredDocument {
    /// The number of the last update; `None` if there is nothing.
    pub fn last(&self) -> Option<u64> {
        let last = self.updates.last().or(self.snapshot.as_ref());
        last.map(|update| update.number)
    }

    /// Everything, in the order of the numbers.
    pub fn parts(&self) -> impl Iterator<Item = &DocumentUpdate> {
        self.snapshot.iter().chain(&self.updates)
    }
}

/// The error of an update for which a document has no room.
pub(super) fn document_full(document: &RoomName, max_bytes: u64) -> Error {
    Error::new(
        Code::TooLarge,
        format!("document {document} would have more than {max_bytes} bytes (documents.bytes)"),
    )
}
