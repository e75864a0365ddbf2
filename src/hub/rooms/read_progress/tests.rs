//! Which updates of how far a user has read are announced.

use std::time::Duration;

use super::*;

fn read(seq: u64) -> ReadUpdate {
    ReadUpdate {
        user: UserId::parse("alice").unwrap(),
        seq: Seq(seq),
        connection: None,
    }
}

#[test]
fn of_deferred_updates_only_the_furthest_is_announced() {
    let (mut progress, now) = (ReadProgress::default(), Instant::now());
    assert_eq!(progress.record(read(1)), Some(read(1)));
    assert_eq!(progress.record(read(1)), None, "members know it");
    let update = progress.record(read(2)).unwrap();
    let at = now + Duration::from_secs(1);
    progress.defer(update, at);
    for seq in [3, 9, 4] {
        assert_eq!(progress.record(read(seq)), None);
    }
    assert_eq!(progress.take_due(now), None);
    assert_eq!(progress.take_due(at), Some(read(9)));
    assert_eq!(progress.next_deadline(), None);
    assert_eq!(progress.record(read(9)), None);
    assert_eq!(progress.record(read(10)), Some(read(10)));
}
