//! What is remembered of rooms that are not stored, and when it is forgotten.

use std::sync::Arc;

use super::*;
use crate::{
    backend::conformance::{draft, key},
    model::{MessageId, Offset, Timestamp},
};

fn message(room: &str, seq: u64) -> Arc<Message> {
    let draft = draft(room, "1");
    Arc::new(Message {
        room: draft.room,
        id: MessageId::generate(),
        seq: Seq(seq),
        offset: Offset(seq),
        event: draft.event,
        from: draft.from,
        data: draft.data,
        ts: Timestamp(0),
        except: None,
    })
}

#[test]
fn a_room_is_known_until_its_first_message() {
    let (rooms, room) = (UnwrittenRooms::default(), key("/", "r"));
    let epoch = Epoch::from_bits(1);
    rooms.record(&room, &epoch, rooms.now());
    assert_eq!(rooms.epoch(&room), Some(epoch));
    rooms.remove_created([&*message("other", 1), &message("r", 2)].into_iter());
    assert!(rooms.epoch(&room).is_some());
    rooms.remove_created([&*message("r", 1)].into_iter());
    assert_eq!(rooms.epoch(&room), None);
}

#[test]
fn what_was_read_before_a_room_was_created_is_not_recorded() {
    let (rooms, room) = (UnwrittenRooms::default(), key("/", "r"));
    let before = rooms.now();
    rooms.remove_created([&*message("r", 1)].into_iter());
    rooms.record(&room, &Epoch::from_bits(1), before);
    assert_eq!(rooms.epoch(&room), None);
}

#[test]
fn a_deleted_room_changes_what_is_known_of_all() {
    let (rooms, room) = (UnwrittenRooms::default(), key("/", "r"));
    rooms.record(&room, &Epoch::from_bits(1), rooms.now());
    rooms.clear();
    assert_eq!(rooms.epoch(&room), None);
}

#[test]
fn many_rooms_do_not_grow_without_bound() {
    let rooms = UnwrittenRooms::default();
    let now = rooms.now();
    for nth in 0..=MAX_ROOMS {
        rooms.record(&key("/", &format!("r{nth}")), &Epoch::from_bits(1), now);
    }
    assert_eq!(rooms.lock().rooms.len(), 1);
}
