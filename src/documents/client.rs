//! A client's hold on a document that it has open.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Documents,
    open_document::OpenDocument,
    state::{self, CheckedUpdate},
};
use crate::{backend::DocumentNotice, error::Result, model::RoomName};

/// A document as one client has it open. It leaves when this is dropped: what it has shown of itself is taken back.
pub(crate) struct DocumentClient {
    documents: Documents,
    document: Arc<OpenDocument>,
    member: u64,
}

impl DocumentClient {
    pub(super) fn new(documents: Documents, document: Arc<OpenDocument>, member: u64) -> Self {
        Self {
            documents,
            document,
            member,
        }
    }

    /// The document's name.
    pub(crate) fn name(&self) -> &RoomName {
        self.document.name()
    }

    pub(super) fn document(&self) -> &OpenDocument {
        &self.document
    }

    /// The document's state vector: what a client has to compare its own updates with.
    ///
    /// # Errors
    /// `unavailable` if the store is away.
    pub(crate) async fn state_vector(&self) -> Result<Bytes> {
        let _turn = self.documents.read_turn().await;
        let merged = self.documents.merged(self.name()).await?;
        state::state_vector(merged).await
    }

    /// The updates that a client with this state vector lacks, merged.
    ///
    /// # Errors
    /// `bad_request` if it is no state vector, `unavailable` if the store is away.
    pub(crate) async fn missing(&self, state_vector: Bytes) -> Result<Bytes> {
        state::check_state_vector(&state_vector)?;
        let _turn = self.documents.read_turn().await;
        let merged = self.documents.merged(self.name()).await?;
        state::diff(merged, state_vector).await
    }

    /// What an update of the client's would change; `None` if the document has all of it. Clients that come back send everything that they
    /// have deleted again.
    ///
    /// # Errors
    /// `bad_request` if it is no update, `too_large` if it is too large, `unavailable` if the store is away.
    pub(crate) async fn news(&self, update: Bytes) -> Result<Option<CheckedUpdate>> {
        let Some(update) = self.check(update)? else {
            return Ok(None);
        };
        let _turn = self.documents.read_turn().await;
        let merged = self.documents.merged(self.name()).await?;
        let is_known = state::contains(merged, update.0.clone()).await?;
        Ok((!is_known).then_some(update))
    }

    /// Checks an update of the client's; `None` if it changes nothing.
    ///
    /// # Errors
    /// `bad_request` if it is no update, `too_large` if it is too large.
    pub(crate) fn check(&self, update: Bytes) -> Result<Option<CheckedUpdate>> {
        state::check_update(update, self.documents.settings())
    }

    /// Stores an update of the client's and passes it on.
    ///
    /// # Errors
    /// `too_large` if the document would be too large, `unavailable` if it cannot be stored.
    pub(crate) async fn store(&self, update: CheckedUpdate) -> Result<()> {
        let member = Some(self.member);
        let stored = self.documents.store_checked(self.name(), update, member);
        stored.await.map(drop)
    }

    /// Passes on what is new in the client's awareness states, to itself as well.
    ///
    /// # Errors
    /// `bad_request` if they are none, or too large.
    pub(crate) async fn set_awareness(&self, states: &[u8]) -> Result<()> {
        if let Some(new) = self.document.apply_awareness(self.member, states)? {
            let notice = DocumentNotice::Awareness(new);
            self.documents.notify_nodes(self.name(), notice).await;
        }
        Ok(())
    }

    /// What all clients show of themselves; `None` if there is nothing.
    pub(crate) fn awareness(&self) -> Option<Bytes> {
        self.document.all_awareness()
    }

    /// Whether the client was not sent something, because it was behind.
    pub(crate) fn has_missed(&self) -> bool {
        self.document.has_missed(self.member)
    }

    /// What the client was not sent because it was behind: updates, merged, and awareness states.
    ///
    /// # Errors
    /// `unavailable` if the store is away; it is read the next time.
    pub(crate) async fn missed(&self) -> Result<(Option<Bytes>, Option<Bytes>)> {
        let missed = self.document.take_missed(self.member);
        let updates = match missed.updates_after {
            None => Ok(None),
            Some(after) => {
                let _turn = self.documents.read_turn().await;
                self.documents.merged_after(self.name(), after).await
            }
        };
        if updates.is_err() {
            self.document.put_missed(self.member, missed);
        }
        let states = missed.awareness.then(|| self.awareness());
        Ok((updates?, states.flatten()))
    }
}

impl Drop for DocumentClient {
    fn drop(&mut self) {
        self.documents.leave(&self.document, self.member);
    }
}
