use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn waits_double_up_to_the_bound_and_begin_anew_after_a_success() {
    let mut backoff = Backoff::new(SECOND, 5 * SECOND);
    for most in [1, 2, 4, 5, 5, 5] {
        let wait = backoff.next_wait();
        assert!(
            wait <= most * SECOND && 2 * wait >= most * SECOND,
            "{wait:?}"
        );
    }
    backoff.reset();
    assert!(backoff.next_wait() <= SECOND);
}

#[test]
fn those_that_fail_together_do_not_come_back_together() {
    let waits: std::collections::HashSet<_> = (0..50)
        .map(|_| Backoff::new(SECOND, SECOND).next_wait())
        .collect();
    assert!(waits.len() > 40);
}

#[test]
fn the_first_is_logged_at_once_and_then_one_in_a_period_with_how_many_were_left_out() {
    let rate = LogRate::of(1, 10 * SECOND);
    let begin = Instant::now();
    assert_eq!(rate.due_at(begin), Some(0));
    let logged: Vec<_> = (1..=25)
        .map(|at| rate.due_at(begin + at * SECOND))
        .collect();
    let lines: Vec<_> = logged.into_iter().flatten().collect();
    assert_eq!(lines, [9, 9]);
}

#[test]
fn a_burst_is_logged_whole_if_it_is_as_small_as_allowed() {
    let rate = LogRate::of(3, 10 * SECOND);
    let begin = Instant::now();
    let lines = |at| (0..5).filter(|_| rate.due_at(at).is_some()).count();
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
fn its_end_is_told_once_and_what_comes_then_is_a_first_time() {
    let rate = LogRate::of(1, 10 * SECOND);
    let begin = Instant::now();
    assert_eq!(rate.over_at(begin), None);
    rate.due_at(begin);
    rate.due_at(begin + SECOND);
    let over = Over {
        lasted: 3 * SECOND,
        times: 2,
    };
    assert_eq!(rate.over_at(begin + 3 * SECOND), Some(over));
    assert_eq!(rate.over_at(begin + 3 * SECOND), None);
    assert_eq!(rate.due_at(begin + 4 * SECOND), Some(0));
}
