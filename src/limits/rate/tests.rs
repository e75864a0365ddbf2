//! Token buckets, alone and by key.

use super::*;
use proptest::prelude::*;

#[test]
fn a_burst_can_be_taken_at_once_and_more_than_that_only_by_waiting() {
    let (rate, start) = (Rate::new(10, 20), Instant::now());
    let after = |tenths: u64| start + Duration::from_millis(100 * tenths);
    let wait = |tenths: u64| Duration::from_millis(100 * tenths);
    let max_wait = wait(200);
    let mut bucket = Bucket::default();
    assert_eq!(bucket.reserve_many(rate, 20, start, max_wait), Ok(wait(0)));
    assert_eq!(
        bucket.reserve_many(rate, 20, start, wait(19)),
        Err(wait(20))
    );
    assert_eq!(bucket.reserve_many(rate, 20, start, max_wait), Ok(wait(20)));
    // The debt is refilled by now, and no burst.
    assert_eq!(
        bucket.reserve_many(rate, 1, after(20), max_wait),
        Ok(wait(1))
    );
    let mut bucket = Bucket::default();
    assert_eq!(bucket.reserve_many(rate, 50, start, max_wait), Ok(wait(0)));
    assert_eq!(bucket.reserve_many(rate, 0, start, wait(0)), Err(wait(30)));
    assert_eq!(
        bucket.reserve_many(rate, 0, after(30), wait(0)),
        Ok(wait(0))
    );
    assert_eq!(
        bucket.reserve_many(rate, 1, after(30), wait(0)),
        Err(wait(1))
    );
}

#[test]
fn a_burst_passes_at_once_and_then_the_rate_holds() {
    let rate = Rate::new(10, 3);
    let start = Instant::now();
    let mut bucket = Bucket::default();
    for _ in 0..3 {
        assert_eq!(bucket.take(rate, start), Ok(()));
    }
    assert_eq!(bucket.take(rate, start), Err(Duration::from_millis(100)));
    assert_eq!(
        bucket.take(rate, start + Duration::from_millis(100)),
        Ok(())
    );
    assert!(
        bucket
            .take(rate, start + Duration::from_millis(150))
            .is_err()
    );
}

#[test]
fn a_charge_delays_the_next_permit() {
    let (rate, start) = (Rate::new(10, 3), Instant::now());
    let mut bucket = Bucket::default();
    bucket.charge(rate, 12, start);
    assert_eq!(bucket.take(rate, start), Err(Duration::from_secs(1)));
    assert_eq!(bucket.take(rate, start + Duration::from_secs(1)), Ok(()));
}

#[test]
fn a_rate_of_zero_is_no_limit() {
    let mut bucket = Bucket::default();
    let now = Instant::now();
    assert!((0..1000).all(|_| bucket.take(Rate::new(0, 0), now).is_ok()));
}

proptest! {
    #[test]
    fn no_window_passes_more_than_burst_plus_rate(
        per_second in 1u32..100,
        burst in 1u32..50,
        gaps in proptest::collection::vec(0u64..200, 1..200),
    ) {
        let rate = Rate::new(per_second, burst);
        let start = Instant::now();
        let mut bucket = Bucket::default();
        let (mut now, mut passed) = (start, 0u32);
        for gap in gaps {
            now += Duration::from_millis(gap);
            passed += u32::from(bucket.take(rate, now).is_ok());
            let allowed = f64::from(burst) + (now - start).as_secs_f64() * f64::from(per_second);
            prop_assert!(f64::from(passed) <= allowed + 1e-6);
        }
    }

    #[test]
    fn permits_used_at_their_reserved_time_keep_to_the_rate(
        per_second in 1u32..100,
        burst in 1u32..50,
        steps in proptest::collection::vec((0u64..200, 0u64..2_000, any::<bool>()), 1..200),
    ) {
        let rate = Rate::new(per_second, burst);
        let start = Instant::now();
        let mut bucket = Bucket::default();
        let (mut now, mut used, mut last) = (start, 0.0, start);
        for (gap, max_wait, half) in steps {
            now += Duration::from_millis(gap);
            let max_wait = Duration::from_millis(max_wait);
            let taken = if half { rate.at_half_cost() } else { rate };
            let Ok(wait) = bucket.reserve(taken, now, max_wait) else {
                continue;
            };
            prop_assert!(wait <= max_wait);
            prop_assert!(now + wait >= last, "in the order in which they were reserved");
            last = now + wait;
            used += if half { 0.5 } else { 1.0 };
            let allowed = f64::from(burst) + (last - start).as_secs_f64() * f64::from(per_second);
            prop_assert!(used <= allowed + 1e-6);
        }
    }

    #[test]
    fn waiting_for_the_returned_time_is_enough(gaps in proptest::collection::vec(0u64..30, 1..100)) {
        let rate = Rate::new(20, 4);
        let mut now = Instant::now();
        let mut bucket = Bucket::default();
        for gap in gaps {
            now += Duration::from_millis(gap);
            if let Err(wait) = bucket.take(rate, now) {
                now += wait;
                prop_assert_eq!(bucket.take(rate, now), Ok(()));
            }
        }
    }
}

proptest! {
    #[test]
    fn keyed_buckets_behave_as_if_none_was_ever_removed(
        steps in proptest::collection::vec((0u64..200, 0u8..4, any::<bool>()), 1..200),
    ) {
        let rate = Rate::new(10, 5);
        let buckets = Buckets::new(rate);
        let mut expected: [Bucket; 4] = Default::default();
        let mut now = Instant::now();
        for (gap, key, remove) in steps {
            now += Duration::from_millis(gap);
            if remove {
                buckets.remove_full(now);
                let full = expected.iter().filter(|bucket| bucket.is_full(now)).count();
                prop_assert_eq!(buckets.buckets.len(), expected.len() - full);
            }
            prop_assert_eq!(buckets.take(&key, now), expected[usize::from(key)].take(rate, now));
        }
        buckets.remove_full(now + Duration::from_millis(500));
        prop_assert!(buckets.buckets.is_empty());
    }
}

#[test]
fn senders_limited_to_the_upper_half_leave_the_rest_to_others() {
    let rate = Rate::new(10, 10);
    let now = Instant::now();
    let mut bucket = Bucket::default();
    let greedy = (0..20).filter(|_| bucket.take(rate.with_half_burst(), now).is_ok());
    assert_eq!(greedy.count(), 5);
    assert_eq!(
        (0..20).filter(|_| bucket.take(rate, now).is_ok()).count(),
        5
    );
}

#[test]
fn a_share_is_a_part_of_both_burst_and_rate() {
    let share = Rate::new(160, 320).share(16);
    let now = Instant::now();
    let mut bucket = Bucket::default();
    let mut taken = |now| (0..100).filter(|_| bucket.take(share, now).is_ok()).count();
    assert_eq!(taken(now), 20);
    assert_eq!(taken(now + Duration::from_secs(1)), 10);
}

#[test]
fn full_buckets_are_removed_now_and_then() {
    let buckets = Buckets::new(Rate::new(1000, 1));
    let mut now = Instant::now();
    for key in 0..100_000u32 {
        now += Duration::from_millis(1);
        assert!(buckets.wait(&key, now).is_zero());
        buckets.take(&key, now).unwrap();
        assert!(!buckets.wait(&key, now).is_zero());
        buckets.remove_full_amortized(now);
    }
    assert!(
        buckets.buckets.len() <= 2 * MIN_CALLS_BETWEEN_REMOVALS,
        "{}",
        buckets.buckets.len()
    );
}

#[test]
fn unlimited_keys_have_no_buckets() {
    let buckets = Buckets::new(Rate::new(0, 0));
    let now = Instant::now();
    assert!((0..100).all(|key: u8| buckets.take(&key, now).is_ok()));
    assert!(buckets.buckets.is_empty());
}
