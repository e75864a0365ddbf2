//! Pages of room names.

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
    fn a_page_is_what_a_scan_of_all_rooms_finds(
        rooms in proptest::collection::btree_set("(user:)?[a-c]{1,3}", 0..40),
        gone in proptest::collection::btree_set("(user:)?[a-c]{1,3}", 0..20),
        prefix in "(user:|use)?[a-c]{0,2}",
        after in proptest::option::of("(user:)?[a-c]{1,3}"),
        most in 0usize..6,
    ) {
        let index = RoomIndex::default();
        rooms.iter().for_each(|room| index.insert(&key(room)));
        gone.iter().for_each(|room| index.remove(&key(room)));
        let personal = prefix.starts_with(PERSONAL_ROOM_PREFIX);
        let expected: Vec<_> = rooms
            .difference(&gone)
            .filter(|room| room.starts_with(&prefix))
            .filter(|room| personal == room.starts_with(PERSONAL_ROOM_PREFIX))
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
