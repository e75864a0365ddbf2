use super::*;
use crate::model::UserId;

fn user(name: impl std::fmt::Display) -> Holder {
    Holder::User(UserId::parse(&format!("user-{name}")).unwrap())
}

/// Ends calls, one a letter: `x` has failed, and a capital letter is a client for which one has. Returns whether the breaker has opened
/// by the last.
fn run(breaker: &mut Breaker, calls: &str, now: Instant) -> bool {
    let mut opened = false;
    for call in calls.chars() {
        let ticket = breaker.permit(now).unwrap();
        let client = user(call);
        let outcome = match call {
            '.' => Outcome::Answered,
            'x' => Outcome::Failed,
            _ => Outcome::FailedFor(&client),
        };
        opened = breaker.record(ticket, outcome, now);
    }
    opened
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn ten_calls_of_which_eight_fail_open_it_for_five_seconds() {
    let (mut breaker, now) = (Breaker::default(), Instant::now());
    assert!(!run(&mut breaker, "..xxxxxxx", now));
    assert!(run(&mut breaker, "x", now));
    assert_eq!(breaker.permit(now), Err(OPEN_FOR));
    assert_eq!(breaker.permit(now + OPEN_FOR - MS), Err(MS));
    assert!(breaker.permit(now + OPEN_FOR).is_ok());
}

#[test]
fn fewer_calls_or_fewer_failures_do_not_open_it() {
    let now = Instant::now();
    assert!(!run(&mut Breaker::default(), "xxxxxxxxx", now));
    assert!(!run(&mut Breaker::default(), "...xxxxxxx", now));
}

#[test]
fn calls_that_ended_more_than_ten_seconds_ago_do_not_count() {
    let (mut breaker, now) = (Breaker::default(), Instant::now());
    assert!(!run(&mut breaker, "xxxxxxxxx", now));
    assert!(!run(&mut breaker, "x", now + WINDOW));
    let (mut breaker, now) = (Breaker::default(), Instant::now());
    assert!(!run(&mut breaker, "xxxxxxxxx", now));
    assert!(run(&mut breaker, "x", now + WINDOW - MS));
    // Successes that are over do not keep it closed either.
    let mut breaker = Breaker::default();
    run(&mut breaker, "....................", now);
    assert!(run(&mut breaker, "xxxxxxxxxx", now + WINDOW));
}

#[test]
fn after_it_was_open_it_counts_anew_and_calls_from_before_do_not_count() {
    let (mut breaker, now) = (Breaker::default(), Instant::now());
    let slow: Vec<_> = (0..20).map(|_| breaker.permit(now).unwrap()).collect();
    assert!(run(&mut breaker, "xxxxxxxxxx", now));
    for ticket in slow {
        assert!(!breaker.record(ticket, Outcome::Failed, now + OPEN_FOR));
    }
    assert!(!run(&mut breaker, "xxxxxxxxx", now + OPEN_FOR));
    assert!(run(&mut breaker, "x", now + OPEN_FOR + WINDOW - MS));
    assert_eq!(breaker.opened(), 2);
}

#[test]
fn failures_that_clients_may_have_caused_count_once_for_each_in_the_window() {
    let (mut breaker, now) = (Breaker::default(), Instant::now());
    assert!(!run(&mut breaker, &"A".repeat(1000), now));
    assert!(!run(&mut breaker, "..ABABABCDEF", now));
    // Nine calls count now, of which seven have failed.
    assert!(!run(&mut breaker, "GA", now + WINDOW - MS));
    assert!(run(&mut breaker, "H", now + WINDOW - MS));
    // Those of one client do not hide that the endpoint is ill either.
    let mut breaker = Breaker::default();
    run(&mut breaker, &"A".repeat(1000), now);
    assert!(run(&mut breaker, "xxxxxxxxx", now));
    // They count again after the window, and after it was open.
    run(&mut breaker, "A", now + OPEN_FOR);
    assert!(run(&mut breaker, "AAAxxxxxxxxx", now + OPEN_FOR));
    run(&mut breaker, "A", now + OPEN_FOR + OPEN_FOR);
    let after = now + OPEN_FOR + OPEN_FOR + WINDOW;
    assert!(run(&mut breaker, "AAAxxxxxxxxx", after));
}

#[test]
fn its_memory_is_bounded_however_many_calls_there_are() {
    let (mut breaker, now) = (Breaker::default(), Instant::now());
    for n in 0..100_000_u32 {
        run(&mut breaker, "..", now + MS * n);
        let (ticket, client) = (breaker.permit(now).unwrap(), user(n));
        breaker.record(ticket, Outcome::FailedFor(&client), now + MS * n);
    }
    assert!(breaker.buckets.len() <= 101, "{}", breaker.buckets.len());
    assert!(breaker.blamed.since.len() <= MAX_CLIENTS);
}
