//! How much of an application's rooms is stored.

use super::*;

#[test]
fn room_names_are_stored_up_to_their_budget_with_three_bytes_of_json_each() {
    let rooms: Vec<String> = (0..5000).map(|n| format!("{n:05}")).collect();
    let stored = ApplicationData::new(rooms, None, GrantedRooms::default()).rooms;
    assert_eq!(stored.len(), ROOM_NAMES_BYTES / (5 + 3));
    assert_eq!(stored.last().unwrap(), "04095");
}
