//! What is kept, and what goes.

use super::*;

fn name(text: &str) -> RoomName {
    RoomName::parse(text).unwrap()
}

fn merged(bytes: usize) -> MergedDocument {
    MergedDocument {
        through: bytes as u64,
        bytes: vec![0; bytes].into(),
    }
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let mut cache = MergedCache::new(3000);
    for document in ["a", "b", "c"] {
        cache.put(&name(document), merged(700));
    }
    assert!(cache.get(&name("a")).is_some());
    cache.put(&name("d"), merged(700));
    assert!(cache.get(&name("b")).is_none());
    for document in ["a", "c", "d"] {
        assert_eq!(cache.get(&name(document)).unwrap().through, 700);
    }
}

#[test]
fn a_document_that_is_larger_than_all_is_not_kept_and_empties_nothing_for_ever() {
    let mut cache = MergedCache::new(1000);
    cache.put(&name("large"), merged(5000));
    assert!(cache.get(&name("large")).is_none());
    assert_eq!(cache.bytes, 0);
    cache.put(&name("a"), merged(10));
    cache.put(&name("a"), merged(20));
    assert_eq!(cache.get(&name("a")).unwrap().through, 20);
    cache.remove(&name("a"));
    assert_eq!((cache.bytes, cache.uses.len()), (0, 0));
}
