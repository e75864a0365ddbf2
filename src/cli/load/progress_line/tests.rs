//! The line of a load.

use super::*;

#[test]
fn a_line_shows_rates_since_the_last_look_and_what_went_wrong() {
    let (mut line, began) = (ProgressLine::default(), Instant::now());
    let totals = Totals {
        joined: 1000,
        came: 1000,
        ..Totals::default()
    };
    assert_eq!(
        line.line("connecting", &totals, began),
        "connecting: 1,000 connected"
    );
    let later = Totals {
        went: 2,
        cut: 2,
        sent: 50,
        deliveries: 50_000,
        disorder: 3,
        ..totals
    };
    assert_eq!(
        line.line("sending", &later, began + Duration::from_millis(500)),
        "sending: 998 connected, 100 messages and 100,000 deliveries a second, 2 connections lost, 3 OUT OF ORDER"
    );
}
