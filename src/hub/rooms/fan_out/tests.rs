//! When deliveries are affordable.

use std::time::Duration;

use super::*;

#[test]
fn events_over_the_budget_are_sent_one_after_another_as_it_refills() {
    let fan_out = FanOutBudget::new(Rate::new(100, 200));
    let [alice, bob] = ["alice", "bob"].map(|user| UserId::parse(user).unwrap());
    let now = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let at = fan_out.spend(&alice, 100, now);
        waits.push(at.map_or(0, |at| (at - now).as_millis()));
    }
    // The last permit of a burst is there at once: 199 permits may be taken in advance.
    assert_eq!(waits, [0, 0, 10, 1010, 2010]);
    assert_eq!(fan_out.spend(&bob, 100, now), None);
    let later = now + Duration::from_secs(6);
    assert_eq!(fan_out.spend(&alice, 100, later), None);
}

#[test]
fn a_budget_of_zero_is_no_limit() {
    let fan_out = FanOutBudget::new(Rate::new(0, 0));
    let (user, now) = (UserId::parse("alice").unwrap(), Instant::now());
    assert!((0..1000).all(|_| fan_out.spend(&user, usize::MAX, now).is_none()));
}
