//! Which callers a barrier releases.

use tokio::sync::oneshot;

use super::*;

#[test]
fn a_barrier_releases_the_callers_that_came_before_it_was_published() {
    let mut barriers = Barriers::default();
    barriers.add(oneshot::channel().0);
    barriers.add(oneshot::channel().0);
    let first = barriers.next_number();
    barriers.add(oneshot::channel().0);
    assert!(barriers.pop_reached(first - 1).is_none());
    assert!(barriers.pop_reached(first).is_some());
    assert!(barriers.pop_reached(first).is_some());
    assert!(barriers.pop_reached(first).is_none());
    let second = barriers.next_number();
    assert!(barriers.pop_reached(second).is_some());
}

#[test]
fn closing_waits_for_the_next_barrier() {
    let mut barriers = Barriers::default();
    let in_flight = barriers.next_number();
    barriers.close(oneshot::channel().0);
    assert!(barriers.is_closing());
    assert!(!barriers.closes_at(in_flight));
    let last = barriers.next_number();
    assert!(barriers.closes_at(last));
    assert_eq!(barriers.drain_closing().len(), 1);
}

#[test]
fn a_barrier_carries_its_number_and_the_offset_of_the_shard() {
    assert_eq!(parse_barrier(b"7 160"), Some((7, Offset(160))));
    for malformed in [&b"7"[..], b"7 x", b"", b"\xff 1"] {
        assert_eq!(parse_barrier(malformed), None);
    }
}
