//! The names of the rooms of this node in order, so that a list begins where its prefix or cursor says and costs what it shows.
//!
//! Changed when a room begins or ends, and not when somebody joins or leaves one. Personal rooms stand apart: there are as many
//! as users, and hardly any list is of them.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Mutex,
};

use crate::hub::lock;
use crate::model::{Namespace, PERSONAL, RoomKey, RoomName};

/// The names of a namespace, those of personal rooms apart.
type Names = HashMap<(Namespace, bool), BTreeSet<RoomName>>;

/// The names of the rooms there are.
#[derive(Debug, Default)]
pub(in crate::hub) struct RoomIndex(Mutex<Names>);

impl RoomIndex {
    pub(in crate::hub) fn insert(&self, key: &RoomKey) {
        let mut names = lock(&self.0);
        names.entry(set(key)).or_default().insert(key.room.clone());
    }

    pub(in crate::hub) fn remove(&self, key: &RoomKey) {
        let mut names = lock(&self.0);
        if let Some(rooms) = names.get_mut(&set(key)) {
            rooms.remove(&key.room);
            if rooms.is_empty() {
                names.remove(&set(key));
            }
        }
    }

    /// The first names that begin with `prefix` and are behind `after`, at most `most`; personal ones only where the prefix is
    /// that of personal rooms.
    pub(in crate::hub) fn page(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&RoomName>,
        most: usize,
    ) -> Vec<RoomName> {
        let names = lock(&self.0);
        let Some(rooms) = names.get(&(namespace.clone(), prefix.starts_with(PERSONAL))) else {
            return Vec::new();
        };
        let from = match after.map(RoomName::as_str) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        rooms
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|room| room.as_str().starts_with(prefix))
            .take(most)
            .cloned()
            .collect()
    }
}

fn set(key: &RoomKey) -> (Namespace, bool) {
    (key.namespace.clone(), key.room.is_personal())
}

#[cfg(test)]
mod tests;
