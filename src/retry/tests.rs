//! Delays of a backoff, and what a log limiter lets through.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn delays_double_up_to_the_maximum_and_start_over_after_a_success() {
    let mut backoff = Backoff::new(SECOND, 5 * SECOND);
    for most in [1, 2, 4, 5, 5, 5] {
        let wait = backoff.next_delay();
        assert!(
            wait <= most * SECOND && 2 * wait >= most * SECOND,
            "{wait:?}"
        );
    }
    backoff.reset();
    assert!(backoff.next_delay() <= SECOND);
}

#[test]
fn clients_that_fail_together_do_not_retry_together() {
    let waits: std::collections::HashSet<_> = (0..50)
        .map(|_| Backoff::new(SECOND, SECOND).next_delay())
        .collect();
    assert!(waits.len() > 40);
}

#[test]
fn the_first_line_is_logged_at_once_and_then_one_per_period_with_the_number_suppressed() {
    let limiter = LogLimiter::with_limit(1, 10 * SECOND);
    let begin = Instant::now();
    assert_eq!(limiter.allow_at(begin), Some(0));
    let logged: Vec<_> = (1..=25)
        .map(|at| limiter.allow_at(begin + at * SECOND))
        .collect();
    let lines: Vec<_> = logged.into_iter().flatten().collect();
    assert_eq!(lines, [9, 9]);
}

#[test]
fn a_burst_within_the_limit_is_logged_in_full() {
    let limiter = LogLimiter::with_limit(3, 10 * SECOND);
    let begin = Instant::now();
    let lines = |at| (0..5).filter(|_| limiter.allow_at(at).is_some()).count();
    assert_eq!(
        (
            lines(begin),
            lines(begin + SECOND),
            lines(begin + 10 * SECOND)
        ),
        (3, 0, 3)
    );
}

#[test]
fn the_end_of_a_condition_is_reported_once_and_the_next_occurrence_is_a_first_one() {
    let limiter = LogLimiter::with_limit(1, 10 * SECOND);
    let begin = Instant::now();
    assert_eq!(limiter.finish_at(begin), None);
    limiter.allow_at(begin);
    limiter.allow_at(begin + SECOND);
    let episode = Episode {
        lasted: 3 * SECOND,
        times: 2,
    };
    assert_eq!(limiter.finish_at(begin + 3 * SECOND), Some(episode));
    assert_eq!(limiter.finish_at(begin + 3 * SECOND), None);
    assert_eq!(limiter.allow_at(begin + 4 * SECOND), Some(0));
}
