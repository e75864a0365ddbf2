//! Compaction: the updates of a document that has become long are replaced by one snapshot.
//!
//! What was deleted goes. The store puts the snapshot in place of exactly those updates that are in it, in one step: so it does not
//! matter when the process ends, nor whether two nodes compact a document at the same time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::merge;
use crate::{
    backend::DocumentStore,
    error::{Code, Error, Result},
    model::RoomName,
    retry::log_rarely,
    sync::lock,
};

/// How many documents are compacted at the same time: it takes a thread each, and several times the memory of the document.
const AT_ONCE: usize = 1;

pub(super) struct Compactor {
    store: Arc<dyn DocumentStore>,
    turns: Arc<Semaphore>,
    /// Documents that are compacted now, or wait for their turn.
    under_way: Arc<Mutex<HashSet<RoomName>>>,
}

impl Compactor {
    pub(super) fn new(store: Arc<dyn DocumentStore>) -> Self {
        Self {
            store,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            under_way: Arc::default(),
        }
    }

    /// Compacts a document on a task of its own, unless that is under way. `compacted` is called once its snapshot is stored.
    pub(super) fn start(
        &self,
        name: &RoomName,
        compacted: impl FnOnce(&RoomName) + Send + 'static,
    ) {
        if !lock(&self.under_way).insert(name.clone()) {
            return;
        }
        let (store, turns, under_way) = (
            self.store.clone(),
            self.turns.clone(),
            self.under_way.clone(),
        );
        let name = name.clone();
        tokio::spawn(async move {
            let turn = turns.acquire_owned().await;
            match compact(store.as_ref(), &name).await {
                Ok(true) => compacted(&name),
                Ok(false) => {}
                Err(error) => {
                    log_rarely!(warn, document = %name, %error, cause = ?std::error::Error::source(&error), "cannot compact a document; it stays as it is");
                }
            }
            drop(turn);
            lock(&under_way).remove(&name);
        });
    }
}

/// Returns whether there was anything to compact.
async fn compact(store: &dyn DocumentStore, name: &RoomName) -> Result<bool> {
    let Some(stored) = store.read_document(name, 0).await? else {
        return Ok(false);
    };
    let Some(last) = stored.updates.last() else {
        return Ok(false);
    };
    let through = last.number;
    let parts: Vec<Bytes> = stored.parts().map(|part| part.bytes.clone()).collect();
    let compacting = tokio::task::spawn_blocking(move || merge::compact(&parts));
    let failed = || Error::new(Code::Internal, "a document could not be compacted");
    let snapshot = compacting.await.map_err(|_| failed())?;
    let snapshot = snapshot.map_err(|error| failed().caused_by(error))?;
    store.compact_document(name, through, snapshot.into()).await
}
