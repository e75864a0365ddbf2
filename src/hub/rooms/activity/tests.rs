//! The most active rooms.

use super::*;

fn room(name: &str, connections: usize, events_per_second: f64) -> RoomActivity {
    RoomActivity {
        room: RoomName::parse(name).unwrap(),
        users: connections,
        connections,
        events_per_second,
    }
}

fn names(rooms: &[RoomActivity]) -> Vec<&str> {
    rooms.iter().map(|room| room.room.as_str()).collect()
}

#[test]
fn the_busiest_and_the_largest_come_first_and_equal_ones_by_name() {
    let mut active = ActiveRooms::new(3);
    for (name, connections, rate) in [
        ("d", 1, 0.5),
        ("a", 5, 0.0),
        ("c", 5, 2.0),
        ("b", 9, 0.5),
        ("e", 0, 7.5),
    ] {
        active.add(room(name, connections, rate));
    }
    assert_eq!(names(&active.busiest), ["e", "c", "b"]);
    assert_eq!(names(&active.largest), ["b", "a", "c"]);
}
