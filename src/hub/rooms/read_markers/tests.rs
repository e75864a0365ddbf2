use std::time::Duration;

use super::*;

fn read(seq: u64) -> Read {
    Read {
        user: UserId::parse("alice").unwrap(),
        seq: Seq(seq),
        by: None,
    }
}

#[test]
fn of_markers_that_wait_the_furthest_is_told_once() {
    let (mut readers, now) = (Readers::default(), Instant::now());
    assert_eq!(readers.take(read(1)), Some(read(1)));
    assert_eq!(readers.take(read(1)), None, "it was told");
    let news = readers.take(read(2)).unwrap();
    let at = now + Duration::from_secs(1);
    readers.put_off(news, at);
    for seq in [3, 9, 4] {
        assert_eq!(readers.take(read(seq)), None);
    }
    assert_eq!(readers.take_due(now), None);
    assert_eq!(readers.take_due(at), Some(read(9)));
    assert_eq!(readers.next_deadline(), None);
    assert_eq!(readers.take(read(9)), None);
    assert_eq!(readers.take(read(10)), Some(read(10)));
}
