//! The documents that were merged last, in bounded memory: whoever opens one of them costs no more than its newest updates.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::model::RoomName;

/// A document with all its updates up to a number.
#[derive(Clone, Debug, Default)]
pub(super) struct MergedDocument {
    pub(super) through: u64,
    /// Empty: it has no updates.
    pub(super) bytes: Bytes,
}

/// The documents that were used last.
pub(super) struct MergedCache {
    max_bytes: usize,
    bytes: usize,
    documents: HashMap<RoomName, (u64, MergedDocument)>,
    /// The names by when they were used.
    uses: BTreeMap<u64, RoomName>,
    next_use: u64,
}

impl MergedCache {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            bytes: 0,
            documents: HashMap::new(),
            uses: BTreeMap::new(),
            next_use: 0,
        }
    }

    /// A document as it was merged last.
    pub(super) fn get(&mut self, name: &RoomName) -> Option<MergedDocument> {
        let merged = self.remove(name)?;
        self.put(name, merged.clone());
        Some(merged)
    }

    /// Keeps a document, in place of those that were not used for longest.
    pub(super) fn put(&mut self, name: &RoomName, merged: MergedDocument) {
        self.remove(name);
        self.bytes += cost(name, &merged);
        self.next_use += 1;
        self.uses.insert(self.next_use, name.clone());
        self.documents.insert(name.clone(), (self.next_use, merged));
        while self.bytes > self.max_bytes
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            if let Some((_, dropped)) = self.documents.remove(&oldest) {
                self.bytes -= cost(&oldest, &dropped);
            }
        }
    }

    /// Forgets a document.
    pub(super) fn remove(&mut self, name: &RoomName) -> Option<MergedDocument> {
        let (used, merged) = self.documents.remove(name)?;
        self.uses.remove(&used);
        self.bytes -= cost(name, &merged);
        Some(merged)
    }
}

/// The memory of a document, in bytes, roughly.
fn cost(name: &RoomName, merged: &MergedDocument) -> usize {
    const ENTRY: usize = 200;
    ENTRY + name.as_str().len() + merged.bytes.len()
}

#[cfg(test)]
mod tests;
