//! The names of the rooms of this node in order, so that a list starts at its prefix or cursor and costs what it returns.
//!
//! Updated when a room is created or removed, and not when a member joins or leaves. Personal rooms are kept apart: there are as
//! many as users, and hardly any list is of them.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Mutex,
};

use crate::{
    model::{Namespace, PERSONAL_ROOM_PREFIX, RoomKey, RoomName},
    sync::lock,
};

/// Names by namespace, those of personal rooms apart.
type Names = HashMap<(Namespace, bool), BTreeSet<RoomName>>;

/// The names of the rooms of this node.
#[derive(Debug, Default)]
pub(in crate::hub) struct RoomIndex(Mutex<Names>);

impl RoomIndex {
    pub(in crate::hub) fn insert(&self, key: &RoomKey) {
        let mut names = lock(&self.0);
        let rooms = names.entry(partition(key)).or_default();
        rooms.insert(key.room.clone());
    }

    pub(in crate::hub) fn remove(&self, key: &RoomKey) {
        let mut names = lock(&self.0);
        if let Some(rooms) = names.get_mut(&partition(key)) {
            rooms.remove(&key.room);
            if rooms.is_empty() {
                names.remove(&partition(key));
            }
        }
    }

    /// The first `limit` names that start with `prefix` and come after `after`; personal ones only if the prefix is that of
    /// personal rooms.
    pub(in crate::hub) fn page(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Vec<RoomName> {
        let names = lock(&self.0);
        let Some(rooms) = names.get(&(namespace.clone(), prefix.starts_with(PERSONAL_ROOM_PREFIX)))
        else {
            return Vec::new();
        };
        let from = match after.map(RoomName::as_str) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        rooms
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|room| room.as_str().starts_with(prefix))
            .take(limit)
            .cloned()
            .collect()
    }
}

fn partition(key: &RoomKey) -> (Namespace, bool) {
    (key.namespace.clone(), key.room.is_personal())
}

#[cfg(test)]
mod tests;
