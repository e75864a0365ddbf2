//! How often status changes are announced.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_few_changes_are_announced_at_once_and_then_the_newest_once_a_second() {
    let (mut pacing, start) = (StatusPacing::default(), Instant::now());
    let mut announced = BTreeSet::new();
    // Fifty a second for ten seconds.
    for step in 0..500 {
        let now = start + Duration::from_millis(20) * step;
        announced.insert(pacing.schedule(now).unwrap_or(now));
    }
    let last = announced.last().copied().unwrap();
    assert!(last >= start + Duration::from_millis(20) * 499);
    assert!((19..=20).contains(&announced.len()), "{}", announced.len());
}
