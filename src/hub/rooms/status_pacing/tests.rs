use std::collections::BTreeSet;

use super::*;

#[test]
fn a_few_changes_are_told_at_once_and_then_the_newest_once_a_second() {
    let (mut showing, start) = (Showing::default(), Instant::now());
    let mut told = BTreeSet::new();
    // Fifty a second for ten seconds.
    for step in 0..500 {
        let now = start + Duration::from_millis(20) * step;
        told.insert(showing.when(now).unwrap_or(now));
    }
    let last = told.last().copied().unwrap();
    assert!(last >= start + Duration::from_millis(20) * 499);
    assert!((19..=20).contains(&told.len()), "{}", told.len());
}
