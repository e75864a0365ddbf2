//! Typing events stay within the budget of the user who is typing.

use std::time::Duration;

use crate::hub::rooms::testing::{TestRoom, connection};

#[test]
fn typing_that_starts_and_stops_all_the_time_stays_within_the_budget_and_its_end_is_sent() {
    let mut scene = TestRoom::new(100, Duration::ZERO, 500);
    let alice = connection("alice");
    scene.room.add_member(&alice);
    let user = alice.principal().user.clone();
    for step in 0..500 {
        let typing = step % 2 == 0;
        scene
            .room
            .set_typing(alice.id(), &user, None, (typing, None), scene.now);
        scene.advance(20);
    }
    let deliveries = scene.deliveries();
    assert!((2_000..=6_200).contains(&deliveries), "{deliveries}");
    scene.advance(5_000);
    assert_eq!(scene.last_event("typing")["typing"], false);
}
