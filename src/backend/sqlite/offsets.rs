//! The last offset of each namespace in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use rusqlite::Connection;

use super::tables::namespaces;
use crate::{
    model::{Message, Namespace, Offset},
    sync::lock,
};

/// Advanced by the writer after each commit, and read by everybody without a query.
pub(super) struct Offsets {
    // A std mutex: it is held for a few map operations and never across an await.
    last: Mutex<HashMap<Namespace, Offset>>,
}

impl Offsets {
    /// Loads the offsets from the database.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            last: Mutex::new(namespaces::offsets(db)?),
        })
    }

    /// The last offset of a namespace; 0 if nothing was ever written there.
    pub(super) fn of(&self, namespace: &Namespace) -> Offset {
        self.lock().get(namespace).copied().unwrap_or_default()
    }

    /// How many messages were numbered, over all namespaces.
    pub(super) fn total(&self) -> u64 {
        self.lock().values().map(|last| last.0).sum()
    }

    /// Advances to messages that were stored, once they can be read and before they are delivered.
    pub(super) fn advance<'a>(&self, stored: impl IntoIterator<Item = &'a Message>) {
        let mut last = self.lock();
        for message in stored {
            let namespace = &message.room.namespace;
            if let Some(offset) = last.get_mut(namespace) {
                *offset = message.offset;
            } else {
                last.insert(namespace.clone(), message.offset);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, Offset>> {
        lock(&self.last)
    }
}
