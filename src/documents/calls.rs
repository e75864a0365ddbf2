//! What back ends do to documents without having them open.

use bytes::Bytes;

use super::{
    Documents,
    open_document::OpenDocument,
    state::{self, CheckedUpdate},
};
use crate::{backend::DocumentNotice, error::Result, model::RoomName};

impl Documents {
    /// A document as one update; `None` if there is none. With a state vector, only what a client that has this is missing.
    ///
    /// # Errors
    /// `bad_request` if it is no state vector, `unavailable` if the store is away.
    pub(crate) async fn read(
        &self,
        name: &RoomName,
        state_vector: Option<Bytes>,
    ) -> Result<Option<Bytes>> {
        if let Some(state_vector) = &state_vector {
            state::check_state_vector(state_vector)?;
        }
        // No document is without updates.
        let merged = Some(self.merged(name).await?).filter(|merged| !merged.is_empty());
        match (merged, state_vector) {
            (Some(merged), Some(state_vector)) => state::diff(merged, state_vector).await.map(Some),
            (merged, _) => Ok(merged),
        }
    }

    /// Stores an update of nobody's and passes it on to everybody. Returns its number; `None` if it says nothing, and was not stored.
    ///
    /// # Errors
    /// `bad_request` if it is no update, `too_large` if it or the document would be too large, `unavailable` if it cannot be stored.
    pub(crate) async fn store(&self, name: &RoomName, update: Bytes) -> Result<Option<u64>> {
        match state::check_update(update, self.settings())? {
            Some(update) => self.store_checked(name, update, None).await.map(Some),
            None => Ok(None),
        }
    }

    /// Stores an update and passes it on to everybody but `member`, who has sent it. Returns its number.
    ///
    /// # Errors
    /// `too_large` if the document would be too large, `unavailable` if it cannot be stored.
    pub(super) async fn store_checked(
        &self,
        name: &RoomName,
        CheckedUpdate(update): CheckedUpdate,
        member: Option<u64>,
    ) -> Result<u64> {
        let terms = self.update_terms(name);
        let stored = self.0.store.append_update(name, update.clone(), terms);
        let number = stored.await?;
        self.0.metrics.document_updates.inc();
        // Looked up once it is stored: who opens the document later reads it.
        let open = self.lock_open().get(name).cloned();
        if let Some(document) = &open {
            document.take_update(number, &update, member);
        }
        let bytes = update.len() as u64;
        self.notify_nodes(name, DocumentNotice::Update(number, update))
            .await;
        let is_long = match open {
            Some(document) => document.is_long(),
            None => self.is_long(name, bytes).await,
        };
        if is_long {
            self.compact(name);
        }
        Ok(number)
    }

    /// Whether so much of a document that nobody has open here is not merged that it should be, if all updates are as large as the last.
    async fn is_long(&self, name: &RoomName, bytes: u64) -> bool {
        let found = self.0.store.find_document(name).await;
        // The update is stored, whatever becomes of this.
        let info = found.ok().flatten();
        info.is_some_and(|info| OpenDocument::are_long(info.updates, info.updates * bytes))
    }
}
