//! Limits, start offsets and the end of a connection's memberships.

use super::*;

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

#[test]
fn a_room_counts_as_joined_once_it_has_a_floor_and_keeps_its_first_floor() {
    let table = MembershipTable::default();
    assert_eq!(table.begin_join(&room("a"), 0), Ok(true));
    assert_eq!(table.begin_join(&room("a"), 0), Ok(false));
    assert!(table.joined().unwrap().is_empty());
    assert!(table.complete_join(&room("a"), Offset(3)));
    assert!(table.complete_join(&room("a"), Offset(7)));
    assert_eq!(table.joined().unwrap()[&room("a")], Offset(3));
    assert!(table.remove(&room("a")));
    assert!(!table.complete_join(&room("a"), Offset(9)));
}

#[test]
fn the_personal_room_does_not_count_towards_the_room_limit() {
    let table = MembershipTable::default();
    assert_eq!(table.begin_join(&room("user:alice"), 1), Ok(true));
    assert_eq!(table.begin_join(&room("a"), 1), Ok(true));
    assert_eq!(table.begin_join(&room("b"), 1), Err(JoinError::RoomLimit));
}

#[test]
fn after_leaving_all_rooms_none_can_be_joined() {
    let table = MembershipTable::new([(room("a"), Offset(1))].into_iter().collect());
    table.begin_join(&room("b"), 0).unwrap();
    let left = table.leave_all().unwrap();
    assert_eq!(left.joined.keys().collect::<Vec<_>>(), [&room("a")]);
    assert_eq!(left.joining, [room("b")]);
    assert!(table.leave_all().is_none() && table.joined().is_none());
    assert_eq!(table.begin_join(&room("c"), 0), Err(JoinError::Closing));
}
