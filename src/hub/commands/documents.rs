//! Documents, for callers that do not have them open: listed, read, changed and deleted.

use bytes::Bytes;
use serde::Serialize;

use super::Caller;
use crate::{
    auth::Permission,
    backend::DocumentInfo,
    error::{Code, Error, Result},
    hub::Hub,
    model::{RoomName, Timestamp},
};

/// Documents on a page, unless the request says otherwise, and at most.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// Which documents to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct DocumentsRequest {
    /// Only names that begin with this.
    pub(crate) prefix: String,
    /// Only names after this one.
    pub(crate) after: Option<RoomName>,
    /// At most so many.
    pub(crate) limit: Option<usize>,
}

/// A document.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DocumentState {
    document: RoomName,
    bytes: u64,
    updates: u64,
    last: u64,
    changed: Timestamp,
    clients: usize,
}

/// A page of documents.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DocumentsPage {
    documents: Vec<DocumentState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<RoomName>,
}

impl Hub {
    /// All documents, by name. Whoever may call this may see all of them.
    ///
    /// # Errors
    /// `unavailable` if they cannot be read.
    pub(crate) async fn list_documents(&self, request: &DocumentsRequest) -> Result<DocumentsPage> {
        let limit = request.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
        let after = request.after.as_ref();
        let found = self.documents().list(&request.prefix, after, limit + 1);
        let mut found = found.await?;
        let is_last = found.len() <= limit;
        found.truncate(limit);
        Ok(DocumentsPage {
            next: found
                .last()
                .filter(|_| !is_last)
                .map(|info| info.name.clone()),
            documents: found.into_iter().map(|info| self.state_of(info)).collect(),
        })
    }

    /// How a document is.
    ///
    /// # Errors
    /// `forbidden` if the caller may not read it, `not_found` if there is none, `unavailable` if it cannot be read.
    pub(crate) async fn document(
        &self,
        caller: &impl Caller,
        name: &RoomName,
    ) -> Result<DocumentState> {
        check(caller, Permission::Read, name)?;
        let found = self.documents().find(name).await?;
        let info = found.ok_or_else(|| no_document(name))?;
        Ok(self.state_of(info))
    }

    /// A document as one update of Yjs; with a state vector, only what a client that has this is missing.
    ///
    /// # Errors
    /// `forbidden` if the caller may not read it, `bad_request` if it is no state vector, `not_found` if there is no such document,
    /// `unavailable` if it cannot be read.
    pub(crate) async fn read_document(
        &self,
        caller: &impl Caller,
        name: &RoomName,
        state_vector: Option<Bytes>,
    ) -> Result<Bytes> {
        check(caller, Permission::Read, name)?;
        let read = self.documents().read(name, state_vector).await?;
        read.ok_or_else(|| no_document(name))
    }

    /// Checks that a caller may change a document.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check_may_write(&self, caller: &impl Caller, name: &RoomName) -> Result<()> {
        check(caller, Permission::Write, name)
    }

    /// Stores an update of a document and passes it on. Returns its number; `None` if it says nothing, and was not stored.
    ///
    /// # Errors
    /// `forbidden` if the caller may not change it, `bad_request` if it is no update, `too_large` if it or the document would be too large,
    /// `unavailable` if it cannot be stored.
    pub(crate) async fn update_document(
        &self,
        caller: &impl Caller,
        name: &RoomName,
        update: Bytes,
    ) -> Result<Option<u64>> {
        self.check_may_write(caller, name)?;
        self.documents().store(name, update).await
    }

    /// Deletes a document. Returns how many clients of this node have it open: they keep it.
    ///
    /// # Errors
    /// `not_found` if there is none, `unavailable` if the store is away.
    pub(crate) async fn delete_document(&self, name: &RoomName) -> Result<usize> {
        match self.documents().delete(name).await? {
            true => Ok(self.documents().clients(name)),
            false => Err(no_document(name)),
        }
    }

    fn state_of(&self, info: DocumentInfo) -> DocumentState {
        DocumentState {
            clients: self.documents().clients(&info.name),
            document: info.name,
            bytes: info.bytes,
            updates: info.updates,
            last: info.last,
            changed: info.changed,
        }
    }
}

fn check(caller: &impl Caller, permission: Permission, name: &RoomName) -> Result<()> {
    if caller.may(permission, name) {
        return Ok(());
    }
    let verb = permission.as_str();
    Err(Error::forbidden(format!(
        "this identity may not {verb} document {name}"
    )))
}

fn no_document(name: &RoomName) -> Error {
    Error::new(Code::NotFound, format!("there is no document {name}"))
}
