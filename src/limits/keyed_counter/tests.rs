//! Permits per key.

use super::*;

#[test]
fn a_released_permit_can_be_taken_again_and_no_key_is_kept() {
    let counter: Arc<KeyedCounter<&str>> = Arc::default();
    let first = counter.take("a", 2).unwrap();
    let second = counter.take("a", 2).unwrap();
    assert!(counter.take("a", 2).is_none());
    assert!(counter.take("b", 2).is_some());
    drop(first);
    drop(counter.take("a", 2).unwrap());
    drop(second);
    assert!(counter.0.is_empty());
}

#[test]
fn permits_taken_and_dropped_by_many_threads_leave_nothing_behind() {
    let counter: Arc<KeyedCounter<u8>> = Arc::default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..2_000u32 {
                    let key = u8::try_from(round % 3).unwrap();
                    drop(counter.take(key, 4));
                }
            });
        }
    });
    assert!(counter.0.is_empty());
}
