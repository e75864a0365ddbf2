//! Which jumps of the system clock are accepted, and how fast the retention clock runs.

use super::*;
use proptest::prelude::*;

const NOON: Timestamp = Timestamp(1_711_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A guard that is read once a second, `ahead` of the true time, and the changes that it reported.
struct ObservedGuard {
    guard: ClockGuard,
    begin: Instant,
    passed: Duration,
    changes: Vec<ClockChange>,
}

impl ObservedGuard {
    fn new(retention_clock: Option<Timestamp>) -> Self {
        let begin = Instant::now();
        Self {
            guard: ClockGuard::new(retention_clock, NOON, begin),
            begin,
            passed: Duration::ZERO,
            changes: Vec::new(),
        }
    }

    fn advance(&mut self, time: Duration, ahead: Duration) -> LogTime {
        let end = self.passed + time;
        loop {
            self.passed = (self.passed + SECOND).min(end);
            let wall = later(later(NOON, self.passed), ahead);
            let (read, change) = self.guard.read(wall, self.begin + self.passed);
            self.changes.extend(change);
            if self.passed == end {
                return read;
            }
        }
    }

    fn true_time(&self) -> Timestamp {
        later(NOON, self.passed)
    }
}

#[test]
fn a_year_ahead_for_a_minute_leaves_nothing_behind() {
    let mut clock = ObservedGuard::new(None);
    clock.advance(60 * SECOND, Duration::ZERO);
    let time = clock.advance(60 * SECOND, YEAR);
    assert_eq!(time, clock.true_time().into());
    let time = clock.advance(SECOND, Duration::ZERO);
    assert_eq!(time, clock.true_time().into());
    assert!(matches!(
        clock.changes[..],
        [ClockChange::Jumped { .. }, ClockChange::Back]
    ));
}

#[test]
fn a_lasting_jump_is_accepted_and_the_retention_clock_runs_at_double_speed_at_most() {
    let mut clock = ObservedGuard::new(None);
    clock.advance(60 * SECOND, Duration::ZERO);
    let time = clock.advance(ACCEPT_AFTER + 10 * SECOND, YEAR);
    assert_eq!(time.now, later(clock.true_time(), YEAR));
    assert!(time.retention_clock <= later(clock.true_time(), ACCEPT_AFTER + 10 * SECOND));
    let time = clock.advance(3600 * SECOND, YEAR);
    assert!(NOON.until(time.retention_clock) <= 2 * clock.passed);
    assert!(matches!(
        clock.changes[..],
        [ClockChange::Jumped { .. }, ClockChange::Accepted]
    ));
    // Set back, and accepted again.
    let time = clock.advance(ACCEPT_AFTER + 10 * SECOND, Duration::ZERO);
    assert_eq!(time.now, clock.true_time());
    assert!(time.retention_clock <= time.now);
}

#[test]
fn a_log_opened_with_a_wrong_clock_deletes_nothing_early() {
    let known = Timestamp(NOON.0 - 1000);
    let mut clock = ObservedGuard::new(Some(known));
    // A year ahead from the start on.
    clock.guard = ClockGuard::new(Some(known), later(NOON, YEAR), clock.begin);
    let time = clock.advance(3600 * SECOND, YEAR);
    assert!(known.until(time.retention_clock) <= 2 * clock.passed);
}

#[test]
fn the_retention_clock_of_a_log_closed_for_days_catches_up_a_day_a_day() {
    let mut clock = ObservedGuard::new(Some(NOON.before(2 * DAY)));
    let time = clock.advance(DAY, Duration::ZERO);
    assert_eq!(time.retention_clock, time.now.before(DAY));
    let time = clock.advance(DAY + SECOND, Duration::ZERO);
    assert_eq!(time.retention_clock, time.now);
}

#[test]
fn a_clock_that_is_set_back_does_not_advance_the_retention_clock() {
    let mut clock = ObservedGuard::new(None);
    clock.advance(60 * SECOND, Duration::ZERO);
    let wall = NOON.before(YEAR);
    for second in 61..=700 {
        let (time, _) =
            (clock.guard).read(later(wall, SECOND * second), clock.begin + SECOND * second);
        assert!(time.retention_clock <= time.now);
    }
    assert!(clock.guard.last.now < NOON);
}

proptest! {
    #[test]
    fn the_retention_clock_never_advances_by_more_than_twice_the_time_that_passed(
        steps in proptest::collection::vec((0u64..5_000_000, 0i64..40_000_000_000), 1..100),
    ) {
        let begin = Instant::now();
        let mut guard = ClockGuard::new(None, NOON, begin);
        let mut passed = Duration::ZERO;
        let mut before = LogTime::from(NOON);
        for (step, ahead) in steps {
            let step = Duration::from_millis(step);
            passed += step;
            let wall = Timestamp(NOON.0 - 20_000_000_000 + u64::try_from(ahead).unwrap());
            let (time, _) = guard.read(later(wall, passed), begin + passed);
            prop_assert!(time.retention_clock <= time.now);
            prop_assert!(before.retention_clock.until(time.retention_clock) <= 2 * step);
            before = time;
        }
    }
}
