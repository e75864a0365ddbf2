//! Which messages and roster updates count as lost.

use super::{super::rooms::RoomEnd, *};
use crate::model::{Epoch, Namespace, RoomKey, RoomName, Seq};

fn followed(offset: u64, roster_version: u64) -> FollowedRooms {
    let mut rooms = FollowedRooms::default();
    let room = RoomKey {
        namespace: Namespace::root(),
        room: RoomName::from_log("r"),
    };
    let end = RoomEnd {
        epoch: Epoch::from_text("one"),
        head: Seq(1),
        offset: Offset(offset),
    };
    rooms.insert("r".to_owned(), room, end);
    rooms.get_mut("r").unwrap().roster_version = Some(roster_version);
    rooms
}

fn detector() -> GapDetector {
    GapDetector::new(Instant::now())
}

#[test]
fn a_message_that_is_still_missing_behind_the_barrier_is_lost() {
    let mut gaps = detector();
    assert!(gaps.record_missing(vec![("r".to_owned(), Offset(20))], Vec::new()));
    gaps.decide_at(3);
    let rooms = followed(10, 1);
    assert!(
        !gaps.confirm(2, &rooms),
        "an earlier barrier decides nothing"
    );
    assert!(gaps.confirm(3, &rooms));
    assert!(!gaps.confirm(4, &rooms), "it is reported once");
}

#[test]
fn a_message_that_was_in_flight_is_not_lost() {
    let mut gaps = detector();
    gaps.record_missing(vec![("r".to_owned(), Offset(20))], Vec::new());
    gaps.decide_at(3);
    assert!(!gaps.confirm(3, &followed(20, 1)));
    gaps.record_missing(vec![("left".to_owned(), Offset(20))], Vec::new());
    gaps.decide_at(4);
    assert!(!gaps.confirm(4, &followed(20, 1)), "it was unfollowed");
}

#[test]
fn a_roster_that_has_not_changed_behind_the_barrier_has_lost_an_update() {
    let mut gaps = detector();
    for (version, lost) in [(1, true), (2, false)] {
        gaps.record_missing(Vec::new(), vec![("r".to_owned(), Some(1))]);
        gaps.decide_at(3);
        assert_eq!(gaps.confirm(3, &followed(10, version)), lost);
    }
}

#[test]
fn rooms_are_compared_when_the_interval_has_passed() {
    let now = Instant::now();
    let mut gaps = GapDetector::new(now);
    assert!(!gaps.is_due(now + CHECK_INTERVAL));
    let later = now + CHECK_INTERVAL + Duration::from_millis(1);
    assert!(gaps.is_due(later));
    gaps.checked(later);
    assert!(!gaps.is_due(later));
    assert!(!gaps.record_missing(Vec::new(), Vec::new()));
}
