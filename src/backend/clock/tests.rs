use super::*;
use proptest::prelude::*;

const NOON: Timestamp = Timestamp(1_711_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A guard that is read once a second, `ahead` of the right time; what it said last.
struct Watched {
    guard: ClockGuard,
    begin: Instant,
    passed: Duration,
    news: Vec<ClockChange>,
}

impl Watched {
    fn new(retention_clock: Option<Timestamp>) -> Self {
        let begin = Instant::now();
        Self {
            guard: ClockGuard::new(retention_clock, NOON, begin),
            begin,
            passed: Duration::ZERO,
            news: Vec::new(),
        }
    }

    fn go_on(&mut self, time: Duration, ahead: Duration) -> LogTime {
        let end = self.passed + time;
        loop {
            self.passed = (self.passed + SECOND).min(end);
            let wall = later(later(NOON, self.passed), ahead);
            let (read, news) = self.guard.read(wall, self.begin + self.passed);
            self.news.extend(news);
            if self.passed == end {
                return read;
            }
        }
    }

    fn right(&self) -> Timestamp {
        later(NOON, self.passed)
    }
}

#[test]
fn a_year_ahead_for_a_minute_leaves_nothing_behind() {
    let mut clock = Watched::new(None);
    clock.go_on(60 * SECOND, Duration::ZERO);
    let time = clock.go_on(60 * SECOND, YEAR);
    assert_eq!(time, clock.right().into());
    let time = clock.go_on(SECOND, Duration::ZERO);
    assert_eq!(time, clock.right().into());
    assert!(matches!(
        clock.news[..],
        [ClockChange::Jumped { .. }, ClockChange::Back]
    ));
}

#[test]
fn a_jump_that_lasts_is_believed_and_nothing_gets_older_by_it_than_twice_the_time() {
    let mut clock = Watched::new(None);
    clock.go_on(60 * SECOND, Duration::ZERO);
    let time = clock.go_on(ACCEPT_AFTER + 10 * SECOND, YEAR);
    assert_eq!(time.now, later(clock.right(), YEAR));
    assert!(time.retention_clock <= later(clock.right(), ACCEPT_AFTER + 10 * SECOND));
    let time = clock.go_on(3600 * SECOND, YEAR);
    assert!(NOON.until(time.retention_clock) <= 2 * clock.passed);
    assert!(matches!(
        clock.news[..],
        [ClockChange::Jumped { .. }, ClockChange::Accepted]
    ));
    // Back again, and believed again.
    let time = clock.go_on(ACCEPT_AFTER + 10 * SECOND, Duration::ZERO);
    assert_eq!(time.now, clock.right());
    assert!(time.retention_clock <= time.now);
}

#[test]
fn a_log_that_is_opened_with_a_wrong_clock_deletes_nothing_for_it() {
    let known = Timestamp(NOON.0 - 1000);
    let mut clock = Watched::new(Some(known));
    // A year ahead from the start on.
    clock.guard = ClockGuard::new(Some(known), later(NOON, YEAR), clock.begin);
    let time = clock.go_on(3600 * SECOND, YEAR);
    assert!(known.until(time.retention_clock) <= 2 * clock.passed);
}

#[test]
fn what_was_closed_for_days_makes_up_for_it_by_a_day_a_day() {
    let mut clock = Watched::new(Some(NOON.before(2 * DAY)));
    let time = clock.go_on(DAY, Duration::ZERO);
    assert_eq!(time.retention_clock, time.now.before(DAY));
    let time = clock.go_on(DAY + SECOND, Duration::ZERO);
    assert_eq!(time.retention_clock, time.now);
}

#[test]
fn a_clock_that_is_turned_back_turns_nothing_older() {
    let mut clock = Watched::new(None);
    clock.go_on(60 * SECOND, Duration::ZERO);
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
    fn nothing_ever_gets_older_than_by_twice_the_time_that_passed(
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
