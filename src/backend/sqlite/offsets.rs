//! The last offset of each namespace, for everybody to read without asking the database.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

use super::room_table::nat;
use crate::model::{Message, Namespace, Offset};

/// Shared by the writer, which moves them forward once it is safe, and whoever asks.
pub(super) struct Offsets {
    // A std mutex: it is held for a few map operations and never across an await.
    last: Mutex<HashMap<Namespace, Offset>>,
}

impl Offsets {
    /// The offsets as the database has them.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        let last = db
            .prepare(r#"SELECT name, "offset" FROM namespaces"#)?
            .query_map([], |row| {
                let name = Namespace::from_log(row.get_ref(0)?.as_str()?);
                Ok((name, Offset(nat(row.get(1)?))))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            last: Mutex::new(last),
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

    /// Takes what was stored, once it can be read and before it is delivered.
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
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
