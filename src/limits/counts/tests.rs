use super::*;

#[test]
fn a_place_given_back_can_be_taken_again_and_no_key_is_kept() {
    let counts: Arc<Counts<&str>> = Arc::default();
    let first = counts.take("a", 2).unwrap();
    let second = counts.take("a", 2).unwrap();
    assert!(counts.take("a", 2).is_none());
    assert!(counts.take("b", 2).is_some());
    drop(first);
    drop(counts.take("a", 2).unwrap());
    drop(second);
    assert!(counts.0.is_empty());
}

#[test]
fn places_taken_and_dropped_by_many_threads_leave_nothing_behind() {
    let counts: Arc<Counts<u8>> = Arc::default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..2_000u32 {
                    let key = u8::try_from(round % 3).unwrap();
                    drop(counts.take(key, 4));
                }
            });
        }
    });
    assert!(counts.0.is_empty());
}
