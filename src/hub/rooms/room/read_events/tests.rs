//! How far users have read: the events about it stay within the budget, and memory is bounded.

use std::time::Duration;

use super::*;
use crate::{
    hub::rooms::testing::{TestRoom, connection, policy},
    model::{RoomName, Seq, UserId},
};

#[test]
fn read_events_of_an_ever_moving_marker_stay_within_the_budget_and_the_last_is_sent() {
    let mut scene = TestRoom::new(100, Duration::ZERO, 500);
    let alice = connection("alice");
    scene.room.add_member(&alice);
    let user = alice.principal().user.clone();
    for seq in 1..=500 {
        scene
            .room
            .record_read(&user, Seq(seq), Some(alice.id()), scene.now);
        scene.advance(20);
    }
    let deliveries = scene.deliveries();
    assert!((5_000..=6_200).contains(&deliveries), "{deliveries}");
    scene.advance(1_000);
    assert_eq!(scene.last_event("read")["seq"], 500);
}

#[test]
fn of_users_that_read_on_other_nodes_and_have_left_a_bounded_number_is_remembered() {
    let policy = policy(Duration::ZERO, Duration::ZERO);
    let mut members = Broadcaster::new(RoomName::parse("r").unwrap(), policy.into());
    let presence = Presence::new(Duration::ZERO, 0);
    let mut reads = ReadEvents::default();
    for nth in 0..10_000 {
        let update = ReadUpdate {
            user: UserId::parse(&format!("u{nth}")).unwrap(),
            seq: Seq(1),
            connection: None,
        };
        reads.record(&mut members, &presence, update, Instant::now());
    }
    let remembered = reads.progress.map_or(0, |progress| progress.len());
    assert!(remembered <= MAX_ABSENT_READERS + 1, "{remembered}");
}
