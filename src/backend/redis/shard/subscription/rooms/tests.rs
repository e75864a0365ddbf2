//! What is delivered, next or behind a gap, by a room's cursor.

use super::*;
use crate::model::{EventName, MessageId, Namespace, RoomName, Timestamp};

fn room() -> RoomKey {
    RoomKey {
        namespace: Namespace::root(),
        room: RoomName::from_log("r"),
    }
}

fn epoch(name: &str) -> Epoch {
    Epoch::from_text(name)
}

fn message(seq: u64, offset: u64) -> Message {
    Message {
        room: room(),
        id: MessageId::generate(),
        seq: Seq(seq),
        offset: Offset(offset),
        event: EventName::message(),
        from: None,
        data: serde_json::value::to_raw_value(&1).unwrap().into(),
        ts: Timestamp(0),
        except: None,
    }
}

fn end(head: u64, offset: u64) -> RoomEnd {
    RoomEnd {
        epoch: epoch("one"),
        head: Seq(head),
        offset: Offset(offset),
    }
}

fn cursor() -> RoomCursor {
    RoomCursor::at(room(), end(4, 40))
}

#[test]
fn offsets_tell_what_was_delivered_and_numbers_what_is_missing() {
    let cursor = cursor();
    let position = |seq, offset| cursor.position(&epoch("one"), &message(seq, offset));
    assert_eq!(position(4, 40), MessagePosition::Delivered);
    assert_eq!(position(3, 12), MessagePosition::Delivered);
    assert_eq!(position(5, 47), MessagePosition::Next);
    assert_eq!(position(6, 48), MessagePosition::BehindGap);
}

#[test]
fn a_new_epoch_begins_with_its_first_message() {
    let cursor = cursor();
    let position = |seq| cursor.position(&epoch("two"), &message(seq, 50));
    assert_eq!(position(1), MessagePosition::Next);
    assert_eq!(position(5), MessagePosition::BehindGap);
}

#[test]
fn numbers_that_the_log_no_longer_keeps_are_no_gap() {
    let mut cursor = cursor();
    cursor.read_to_end(epoch("one"), Seq(9));
    let position = |seq| cursor.position(&epoch("one"), &message(seq, 50));
    assert_eq!(position(10), MessagePosition::Next);
    assert_eq!(position(11), MessagePosition::BehindGap);
}

#[test]
fn a_room_that_was_read_under_another_epoch_goes_on_in_that_one() {
    let mut cursor = cursor();
    cursor.read_to_end(epoch("two"), Seq(2));
    let position = |name, seq| cursor.position(&epoch(name), &message(seq, 50));
    assert_eq!(position("two", 3), MessagePosition::Next);
    assert_eq!(position("one", 5), MessagePosition::BehindGap);
    cursor.begin_epoch(epoch("three"), Seq(7));
    assert_eq!(
        cursor.position(&epoch("three"), &message(8, 50)),
        MessagePosition::Next
    );
}

#[test]
fn a_room_that_is_followed_already_keeps_its_cursor() {
    let mut rooms = FollowedRooms::default();
    for seq in [4, 7] {
        rooms.insert("channel".to_owned(), room(), end(seq, seq * 10));
    }
    assert_eq!(rooms.get("channel").unwrap().seq, Seq(4));
    assert!(rooms.remove("channel"));
    assert!(!rooms.remove("channel"));
}
