//! The documents of the embedded log: changed by the writer together with what else is stored, read by the readers.

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    commands::WriteCommand,
    document_change::DocumentChange,
    log::{MAX_QUEUED_BYTES, SqliteLog},
};
use crate::{
    backend::{DocumentInfo, DocumentStore, StoredDocument, UpdateTerms, closed},
    error::Result,
    model::{RoomName, Timestamp},
};

impl SqliteLog {
    async fn change_document(&self, change: DocumentChange) -> Result<u64> {
        self.check_open()?;
        let bytes = u32::try_from(change.bytes()).unwrap_or(u32::MAX);
        let permit = self
            .queue_budget
            .clone()
            .acquire_many_owned(bytes.min(MAX_QUEUED_BYTES))
            .await
            .map_err(|_| closed())?;
        self.request(|reply| WriteCommand::ChangeDocument {
            change,
            reply,
            permit,
        })
        .await
    }
}

#[async_trait]
impl DocumentStore for SqliteLog {
    async fn append_update(
        &self,
        document: &RoomName,
        update: Bytes,
        terms: UpdateTerms,
    ) -> Result<u64> {
        self.change_document(DocumentChange::Append {
            document: document.clone(),
            update,
            terms,
        })
        .await
    }

    async fn tell_changes(&self, before: Timestamp) -> Result<()> {
        self.check_open()?;
        if self.readers.has_untold_documents(before).await? {
            let told = self.request(|reply| WriteCommand::TellDocuments { before, reply });
            told.await?;
        }
        Ok(())
    }

    async fn read_document(
        &self,
        document: &RoomName,
        after: u64,
    ) -> Result<Option<StoredDocument>> {
        self.check_open()?;
        self.readers.document(document.clone(), after).await
    }

    async fn compact_document(
        &self,
        document: &RoomName,
        through: u64,
        snapshot: Bytes,
    ) -> Result<bool> {
        let compacted = self.change_document(DocumentChange::Compact {
            document: document.clone(),
            through,
            snapshot,
        });
        Ok(compacted.await? > 0)
    }

    async fn delete_document(&self, document: &RoomName) -> Result<bool> {
        let deleted = self.change_document(DocumentChange::Delete(document.clone()));
        Ok(deleted.await? > 0)
    }

    async fn find_document(&self, document: &RoomName) -> Result<Option<DocumentInfo>> {
        self.check_open()?;
        self.readers.document_info(document.clone()).await
    }

    async fn list_documents(
        &self,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<DocumentInfo>> {
        self.check_open()?;
        let after = after.map_or(String::new(), ToString::to_string);
        self.readers
            .documents(prefix.to_owned(), after, limit)
            .await
    }
}
