use super::*;
use crate::model::{EventName, MessageId, Namespace, RoomName};

fn stored(room: &str, seq: u64) -> CachedMessage {
    CachedMessage {
        message: Arc::new(Message {
            room: key(room),
            id: MessageId::parse("id").unwrap(),
            seq: Seq(seq),
            offset: Offset(seq),
            event: EventName::message(),
            from: None,
            data: serde_json::value::to_raw_value(&seq).unwrap().into(),
            ts: Timestamp(seq),
            except: None,
        }),
        epoch: Epoch::from_text("e"),
        oldest: Seq(1),
        trimmed: Offset(0),
    }
}

fn key(room: &str) -> RoomKey {
    RoomKey {
        namespace: Namespace::root(),
        room: RoomName::parse(room).unwrap(),
    }
}

fn after(cache: &HotCache, room: &str, seq: u64, cutoff: u64) -> Option<Vec<u64>> {
    let size = PageSize {
        messages: 100,
        bytes: 10_000,
    };
    let page = cache.page(&key(room), Range::After(Seq(seq)), size, Timestamp(cutoff))?;
    Some(page.messages.iter().map(|message| message.seq.0).collect())
}

#[test]
fn the_size_limit_holds_and_the_message_stored_longest_ago_is_evicted_first() {
    let one = stored("a", 1).message.cost() + MESSAGE_OVERHEAD;
    let cache = HotCache::new(3 * one);
    cache.extend([stored("a", 1), stored("b", 1), stored("b", 2)]);
    assert_eq!(cache.bytes(), 3 * one);
    assert_eq!(after(&cache, "a", 0, 0), Some(vec![1]));
    cache.extend([stored("b", 3), stored("b", 4)]);
    assert_eq!(cache.bytes(), 3 * one);
    assert_eq!(after(&cache, "a", 0, 0), None);
    assert_eq!(
        after(&cache, "b", 0, 0),
        None,
        "1 is stored, but not in memory"
    );
    cache.record_oldest(&key("b"), &Epoch::from_text("e"), Seq(1), Timestamp(1));
    assert_eq!(
        after(&cache, "b", 0, 0),
        None,
        "1 is stored, but not in memory"
    );
    assert_eq!(after(&cache, "b", 1, 0), Some(vec![2, 3, 4]));
    assert_eq!(after(&cache, "b", 4, 0), Some(vec![]));
}

#[test]
fn a_full_page_that_begins_at_the_first_cached_message_is_served() {
    let one = stored("a", 1).message.cost() + MESSAGE_OVERHEAD;
    let cache = HotCache::new(2 * one);
    cache.extend((1..=4).map(|seq| stored("a", seq)));
    cache.record_oldest(&key("a"), &Epoch::from_text("e"), Seq(1), Timestamp(1));
    let last = |messages| {
        let size = PageSize {
            messages,
            bytes: 10_000,
        };
        let page = cache.page(&key("a"), Range::Last, size, Timestamp(0))?;
        Some((page.messages.len(), page.oldest, page.more))
    };
    assert_eq!(last(2), Some((2, Seq(1), true)));
    assert_eq!(last(3), None);
}

#[test]
fn a_deleted_room_that_is_written_again_has_only_new_messages() {
    let cache = HotCache::new(1 << 20);
    cache.extend([stored("a", 1), stored("a", 2)]);
    cache.remove_room(&key("a"));
    assert_eq!(after(&cache, "a", 0, 0), None);
    cache.extend([stored("a", 1)]);
    assert_eq!(after(&cache, "a", 0, 0), Some(vec![1]));
}

#[test]
fn the_oldest_message_is_known_only_while_it_cannot_have_changed() {
    let one = stored("a", 1).message.cost() + MESSAGE_OVERHEAD;
    let cache = HotCache::new(2 * one);
    cache.extend((1..=6).map(|seq| stored("a", seq)));
    assert_eq!(
        after(&cache, "a", 4, 2),
        None,
        "2, 3 and 4 are out of sight"
    );
    cache.record_oldest(&key("a"), &Epoch::from_text("e"), Seq(2), Timestamp(2));
    assert_eq!(after(&cache, "a", 4, 2), Some(vec![5, 6]));
    assert_eq!(after(&cache, "a", 4, 3), None, "2 has become too old");
    assert_eq!(
        after(&cache, "a", 4, 6),
        Some(vec![6]),
        "5 in sight is too old"
    );
    cache.trim(&key("a"), Seq(7), Offset(6));
    assert_eq!(after(&cache, "a", 4, 0), Some(vec![]));
}
