//! The line in a terminal.

use std::time::Duration;

use super::*;
use crate::progress::Unit;

fn status(done: u64, total: Option<u64>) -> Status {
    Status {
        what: "migrating the log to version 9".into(),
        unit: Unit::Rows,
        done,
        total,
        elapsed: Duration::from_secs(9),
        left: Some(Duration::from_secs(12)),
    }
}

#[test]
fn a_line_has_a_bar_that_fills() {
    for (done, bar) in [
        (0, "[------------]  0 %  0.0 of 2.1"),
        (1_218_000, "[######------]  58 %  1.2 of 2.1"),
        (2_099_999, "[###########-]  99 %  2.0 of 2.1"),
        (2_100_000, "[############]  100 %  2.1 of 2.1"),
    ] {
        assert_eq!(
            line(&status(done, Some(2_100_000)), 200),
            format!("migrating the log to version 9  {bar} million rows, 12 s left")
        );
    }
    assert_eq!(
        line(&status(0, None), 200),
        "migrating the log to version 9  9 s"
    );
}

#[test]
fn a_line_is_never_as_wide_as_the_terminal() {
    let status = status(1_218_000, Some(2_100_000));
    let whole = line(&status, 200);
    assert_eq!(line(&status, whole.len() + 1), whole);
    let without_bar = "migrating the log to version 9  58 %  1.2 of 2.1 million rows, 12 s left";
    assert_eq!(line(&status, whole.len()), without_bar);
    assert_eq!(line(&status, without_bar.len() + 1), without_bar);
    for width in 0..without_bar.len() {
        let cut = line(&status, width);
        assert_eq!(cut, without_bar[..width.saturating_sub(1)]);
    }
}
