//! What a room takes that nobody does anything in.

use std::sync::Mutex;

use super::*;

#[test]
fn a_room_takes_little_memory_before_anything_happens_in_it() {
    let bytes = size_of::<Mutex<Room>>();
    assert!(bytes <= 368, "{bytes}");
}
