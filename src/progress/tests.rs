//! The arithmetic of progress, and its lines.

use super::{status::duration, *};

const SECOND: Duration = Duration::from_secs(1);

fn status(unit: Unit, done: u64, total: Option<u64>) -> Status {
    Status {
        what: "compacting the log".into(),
        unit,
        done,
        total,
        elapsed: 14 * SECOND,
        left: Some(12 * SECOND),
    }
}

/// A task that began at `began`.
fn started(what: &str, total: Option<u64>, began: Instant) -> Progress {
    let progress = Progress::default();
    progress.begin(what, Unit::Rows, total);
    lock(&progress.task).as_mut().unwrap().began = began;
    progress
}

fn end_at(progress: &Progress, ended: Instant) {
    progress.end();
    lock(&progress.task).as_mut().unwrap().ended = Some(ended);
}

fn running(look: Look) -> Status {
    match look {
        Look::Running(status) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_says_how_far_it_is_and_how_long_it_takes() {
    for (unit, done, total, line) in [
        (
            Unit::Bytes,
            1_288_490_188,
            2_254_857_830,
            "57 %, 1.1 of 2.0 GiB, 12 s left",
        ),
        (Unit::Bytes, 900, 1000, "90 %, 900 of 1000 bytes, 12 s left"),
        (
            Unit::Rows,
            1_299_999,
            2_100_000,
            "61 %, 1.2 of 2.1 million rows, 12 s left",
        ),
        (
            Unit::Rows,
            1_234,
            99_000,
            "1 %, 1,234 of 99,000 rows, 12 s left",
        ),
        (Unit::Rows, 0, 7, "0 %, 0 of 7 rows, 12 s left"),
    ] {
        let status = status(unit, done, Some(total));
        assert_eq!(status.line(), format!("compacting the log: {line}"));
    }
    let unknown = status(Unit::Bytes, 0, None);
    assert_eq!(unknown.line(), "compacting the log: 14 s");
    assert_eq!(unknown.end_line(), "compacting the log: done in 14 s");
    let known = status(Unit::Rows, 5, Some(2_100_000));
    assert_eq!(
        known.end_line(),
        "compacting the log: done, 2.1 million rows in 14 s"
    );
    let empty = status(Unit::Rows, 0, Some(0));
    assert_eq!(empty.percent(), None);
}

#[test]
fn nothing_is_called_complete_before_it_is() {
    assert_eq!(
        status(Unit::Rows, 999_999, Some(1_000_000)).percent(),
        Some(99)
    );
    let all = status(Unit::Rows, u64::MAX, Some(u64::MAX));
    assert_eq!(all.percent(), Some(100));
    assert_eq!(bytes((10 << 30) - 1), "9.9 GiB");
}

#[test]
fn sizes_counts_and_times_are_written_for_people() {
    let sizes = [0, 1023, 1024, 5 << 20, 250 << 30, 3 << 40].map(bytes);
    assert_eq!(
        sizes,
        [
            "0 bytes",
            "1023 bytes",
            "1.0 KiB",
            "5.0 MiB",
            "250 GiB",
            "3.0 TiB"
        ]
    );
    let counts = [0, 999, 1000, 12_045, 999_999, 1_000_000, 230_000_000].map(count);
    assert_eq!(
        counts,
        [
            "0",
            "999",
            "1,000",
            "12,045",
            "999,999",
            "1.0 million",
            "230 million"
        ]
    );
    let times = [0.04, 0.96, 1.0, 59.9, 60.0, 200.0, 7500.0].map(Duration::from_secs_f64);
    let times = times.map(duration);
    assert_eq!(
        times,
        [
            "0.0 s",
            "0.9 s",
            "1 s",
            "59 s",
            "1 min 0 s",
            "3 min 20 s",
            "2 h 5 min"
        ]
    );
}

#[test]
fn a_short_task_is_never_shown() {
    let began = Instant::now();
    let progress = started("migrating", Some(10), began);
    let mut tracker = Tracker::new(SECOND);
    progress.set(5);
    assert_eq!(tracker.look(&progress, began + SECOND / 2), Look::Nothing);
    end_at(&progress, began + SECOND * 9 / 10);
    assert_eq!(tracker.look(&progress, began + 5 * SECOND), Look::Nothing);
    assert_eq!(tracker.finish(), Look::Nothing);
}

#[test]
fn the_time_left_follows_the_rate_of_the_last_seconds() {
    let began = Instant::now();
    let progress = started("migrating", Some(10_000), began);
    let mut tracker = Tracker::new(SECOND);
    let mut look = |second: u32, done| {
        progress.set(done);
        running(tracker.look(&progress, began + second * SECOND))
    };
    // A hundred a second at first.
    let mut last = look(1, 100);
    assert_eq!(last.left, Some(99 * SECOND));
    for second in 2..=20 {
        last = look(second, u64::from(second) * 100);
    }
    assert_eq!((last.percent(), last.left), (Some(20), Some(80 * SECOND)));
    // Then ten a second: known after ten more.
    for second in 21..=31 {
        last = look(second, 2000 + u64::from(second - 20) * 10);
    }
    assert_eq!(last.left, Some(Duration::from_secs(789)));
    // Then nothing at all.
    for second in 32..=42 {
        last = look(second, last.done);
    }
    assert_eq!((last.done, last.left), (2110, None));
}

#[test]
fn an_estimate_over_the_total_is_the_total() {
    let began = Instant::now();
    let progress = started("migrating", Some(10), began);
    progress.set(25);
    let status = running(Tracker::new(SECOND).look(&progress, began + 2 * SECOND));
    assert_eq!((status.done, status.left), (10, Some(Duration::ZERO)));
}

#[test]
fn the_end_of_a_task_that_was_shown_is_told_once() {
    let began = Instant::now();
    let at = |seconds: u32| began + seconds * SECOND;
    let progress = started("one", Some(10), began);
    let mut tracker = Tracker::new(SECOND);
    running(tracker.look(&progress, at(2)));
    end_at(&progress, at(3));
    let Look::Done(status) = tracker.look(&progress, at(4)) else {
        panic!("it has ended");
    };
    assert_eq!((status.done, status.elapsed), (10, 3 * SECOND));
    assert_eq!(tracker.look(&progress, at(5)), Look::Nothing);
    assert_eq!(tracker.finish(), Look::Nothing);

    // Another one begins before the next look.
    let progress = started("one", Some(10), began);
    running(tracker.look(&progress, at(2)));
    progress.begin("two", Unit::Rows, None);
    lock(&progress.task).as_mut().unwrap().began = at(3);
    assert!(matches!(tracker.look(&progress, at(3)), Look::Done(status) if &*status.what == "one"));
    assert_eq!(&*running(tracker.look(&progress, at(5))).what, "two");
    // It is not ended: it has failed.
    assert_eq!(tracker.finish(), Look::Stopped);
    assert_eq!(tracker.finish(), Look::Nothing);
}

#[test]
fn a_log_has_a_line_at_the_start_then_every_few_seconds_and_at_the_end() {
    let began = Instant::now();
    let mut lines = LogLines::default();
    let look = Look::Running(status(Unit::Rows, 1, Some(2)));
    let written: Vec<u32> = (10..=200)
        .filter(|tenths| lines.line(&look, began + *tenths * SECOND / 10).is_some())
        .collect();
    assert_eq!(written, [10, 60, 110, 160]);
    let done = Look::Done(status(Unit::Rows, 2, Some(2)));
    let line = lines.line(&done, began).unwrap();
    assert_eq!(line, "compacting the log: done, 2 rows in 14 s");
    // The next task begins anew.
    assert!(lines.line(&look, began).is_some());
    assert_eq!(lines.line(&Look::Stopped, began), None);
    assert_eq!(lines.line(&Look::Nothing, began), None);
}

#[test]
fn work_is_watched_until_it_ends() {
    struct Seen(Vec<Look>);
    impl ProgressView for Seen {
        fn show(&mut self, look: &Look, _: Instant) {
            self.0.push(look.clone());
        }
    }
    let progress = Progress::default();
    let mut seen = Seen(Vec::new());
    let result = watch(&progress, &mut seen, Duration::ZERO, || {
        progress.begin("compacting", Unit::Bytes, Some(7));
        progress.end();
        5
    });
    assert_eq!(result, 5);
    assert!(matches!(&seen.0[..], [.., Look::Done(status), Look::Nothing] if status.done == 7));
}
