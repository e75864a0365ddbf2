//! The names of the rooms of this node in order, so that a list begins where its prefix or cursor says and costs what it shows.
//!
//! Changed when a room begins or ends, and not when somebody joins or leaves one. Personal rooms stand apart: there are as many
//! as users, and hardly any list is of them.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Mutex,
};

use super::lock;
use crate::model::{Namespace, PERSONAL, RoomKey, RoomName};

/// The names of a namespace, those of personal rooms apart.
type Names = HashMap<(Namespace, bool), BTreeSet<RoomName>>;

/// The names of the rooms there are.
#[derive(Debug, Default)]
pub(super) struct RoomIndex(Mutex<Names>);

impl RoomIndex {
    pub(super) fn insert(&self, key: &RoomKey) {
        let mut names = lock(&self.0);
        names.entry(set(key)).or_default().insert(key.room.clone());
    }

    pub(super) fn remove(&self, key: &RoomKey) {
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
    pub(super) fn page(
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(room: &str) -> RoomKey {
        RoomKey {
            namespace: Namespace::root(),
            room: RoomName::parse(room).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn a_page_is_what_a_look_at_every_room_finds(
            rooms in proptest::collection::btree_set("(user:)?[a-c]{1,3}", 0..40),
            gone in proptest::collection::btree_set("(user:)?[a-c]{1,3}", 0..20),
            prefix in "(user:|use)?[a-c]{0,2}",
            after in proptest::option::of("(user:)?[a-c]{1,3}"),
            most in 0usize..6,
        ) {
            let index = RoomIndex::default();
            rooms.iter().for_each(|room| index.insert(&key(room)));
            gone.iter().for_each(|room| index.remove(&key(room)));
            let personal = prefix.starts_with(PERSONAL);
            let expected: Vec<_> = rooms
                .difference(&gone)
                .filter(|room| room.starts_with(&prefix))
                .filter(|room| personal == room.starts_with(PERSONAL))
                .filter(|room| after.as_ref().is_none_or(|after| *room > after))
                .take(most)
                .cloned()
                .collect();
            let after = after.map(|after| RoomName::parse(&after).unwrap());
            let page = index.page(&Namespace::root(), &prefix, after.as_ref(), most);
            let page: Vec<_> = page.iter().map(ToString::to_string).collect();
            prop_assert_eq!(page, expected);
        }
    }

    #[test]
    fn a_namespace_without_rooms_is_forgotten() {
        let index = RoomIndex::default();
        index.insert(&key("lobby"));
        index.remove(&key("lobby"));
        assert!(lock(&index.0).is_empty());
    }
}
