//! A document's state as clients ask for it: read from the store, merged, compared with what they have.

use bytes::Bytes;

use super::{
    DocumentSettings, Documents, encoding::Malformed, merge, merged::MergedDocument, walk,
};
use crate::{
    backend::DocumentUpdate,
    error::{Code, Error, Result},
    model::RoomName,
    sync::lock,
};

/// A state or updates larger than this are merged and compared on a thread that may block.
const LARGE: usize = 64 << 10;

/// An update as it is stored: it has been checked.
#[derive(Clone, Debug)]
pub(crate) struct CheckedUpdate(pub(super) Bytes);

/// Checks an update of a client's, and returns it as it is stored; `None` if it changes nothing.
///
/// # Errors
/// `bad_request` or `too_large`.
pub(super) fn check_update(
    update: Bytes,
    settings: &DocumentSettings,
) -> Result<Option<CheckedUpdate>> {
    let max = settings.update_bytes.bytes();
    if update.len() > max {
        let message = format!("an update has at most {max} bytes (documents.update_bytes)");
        return Err(Error::new(Code::TooLarge, message));
    }
    let malformed =
        |error: Malformed| Error::bad_request(format!("this is no update of Yjs: {error}"));
    let facts = walk::check_update(&update).map_err(malformed)?;
    if facts.is_empty() {
        return Ok(None);
    }
    if facts.empty_structs == 0 {
        return Ok(Some(CheckedUpdate(update)));
    }
    // Clients send them in some versions, and others cannot read them.
    let merged = merge::merge(&[update]).map_err(malformed)?;
    Ok(Some(CheckedUpdate(merged.into())))
}

/// Checks a state vector of a client's.
///
/// # Errors
/// `bad_request`.
pub(super) fn check_state_vector(state_vector: &[u8]) -> Result<()> {
    walk::check_state_vector(state_vector)
        .map_err(|error| Error::bad_request(format!("this is no state vector of Yjs: {error}")))
}

/// The state vector of a document.
pub(super) async fn state_vector(merged: Bytes) -> Result<Bytes> {
    if merged.is_empty() {
        return Ok(Bytes::from_static(merge::EMPTY_STATE_VECTOR));
    }
    let found = run(merged.len(), move || merge::state_vector(&merged));
    found.await.map(Bytes::from)
}

/// What a document has and a client with this state vector has not.
pub(super) async fn diff(merged: Bytes, state_vector: Bytes) -> Result<Bytes> {
    if merged.is_empty() {
        return Ok(Bytes::from_static(merge::EMPTY_UPDATE));
    }
    let found = run(merged.len(), move || merge::diff(&merged, &state_vector));
    found.await.map(Bytes::from)
}

/// Whether a document has everything that an update says.
pub(super) async fn contains(merged: Bytes, update: Bytes) -> Result<bool> {
    if merged.is_empty() {
        return Ok(false);
    }
    run(merged.len(), move || merge::contains(&merged, &update)).await
}

/// Merges the parts of a document.
pub(super) async fn merge(parts: Vec<Bytes>) -> Result<Bytes> {
    match <[Bytes; 1]>::try_from(parts) {
        Ok([only]) => Ok(only),
        Err(parts) => {
            let bytes = parts.iter().map(Bytes::len).sum();
            run(bytes, move || merge::merge(&parts))
                .await
                .map(Bytes::from)
        }
    }
}

/// Does what takes time proportional to `bytes`.
async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, Malformed> + Send + 'static,
) -> Result<T> {
    let done = if bytes < LARGE {
        work()
    } else {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| Error::new(Code::Internal, "a document could not be merged"))?
    };
    done.map_err(|error| {
        Error::new(Code::Internal, "a document could not be merged").caused_by(error)
    })
}

impl Documents {
    /// A document with all its updates; empty if it has none.
    pub(super) async fn merged(&self, name: &RoomName) -> Result<Bytes> {
        let cached = lock(&self.0.merged).get(name).unwrap_or_default();
        let Some(stored) = self.0.store.read_document(name, cached.through).await? else {
            return Ok(Bytes::new());
        };
        let Some(through) = stored.last() else {
            return Ok(cached.bytes);
        };
        let before = Some(cached.bytes).filter(|bytes| !bytes.is_empty());
        // A snapshot has everything that was merged before. And numbers have no gaps, unless the document was deleted and created again.
        let continues = |update: &DocumentUpdate| update.number == cached.through + 1;
        let before = before
            .filter(|_| stored.snapshot.is_none() && stored.updates.first().is_some_and(continues));
        let parts = stored.parts().map(|part| part.bytes.clone());
        let bytes = merge(before.into_iter().chain(parts).collect()).await?;
        let merged = MergedDocument {
            through,
            bytes: bytes.clone(),
        };
        lock(&self.0.merged).put(name, merged);
        Ok(bytes)
    }

    /// The updates of a document behind a number, merged; `None` if there are none.
    pub(super) async fn merged_after(&self, name: &RoomName, after: u64) -> Result<Option<Bytes>> {
        let stored = self.0.store.read_document(name, after).await?;
        let stored = stored.unwrap_or_default();
        if stored.last().is_none() {
            return Ok(None);
        }
        let parts = stored.parts().map(|part| part.bytes.clone());
        merge(parts.collect()).await.map(Some)
    }
}
