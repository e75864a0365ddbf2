//! The rate of a room's events.

use super::*;

/// Records `events` at a steady pace over the ten seconds from `start`.
fn steady(rate: &mut EventRate, start: Instant, events: u32) {
    for nth in 0..events {
        rate.record(start + WINDOW * nth / events);
    }
}

#[test]
fn a_steady_room_shows_its_rate_at_any_moment() {
    let (mut rate, start) = (EventRate::default(), Instant::now());
    for window in 0..5 {
        steady(&mut rate, start + WINDOW * window, 200);
    }
    for tenth in 0..10 {
        let now = start + WINDOW * 4 + WINDOW * tenth / 10;
        let mut copy = EventRate { ..rate };
        // As it was then: of the present window only what had happened.
        copy.current = 200 * tenth / 10;
        let shown = copy.per_second(now);
        assert!(
            (19.0..=21.0).contains(&shown),
            "{shown} after {tenth} tenths"
        );
    }
}

#[test]
fn a_room_that_falls_silent_shows_nothing_after_two_windows() {
    let (mut rate, start) = (EventRate::default(), Instant::now());
    assert!(rate.per_second(start) == 0.0);
    steady(&mut rate, start, 100);
    let at = |seconds| rate.per_second(start + Duration::from_secs(seconds));
    assert!((at(10) - 10.0).abs() < 0.01);
    assert!((at(15) - 5.0).abs() < 0.01);
    assert!(at(20) == 0.0);
    assert!(at(3600) == 0.0);
}

#[test]
fn events_after_a_pause_start_a_new_window() {
    let (mut rate, start) = (EventRate::default(), Instant::now());
    steady(&mut rate, start, 1000);
    let later = start + WINDOW * 7;
    rate.record(later);
    assert!((rate.per_second(later) - 0.1).abs() < 0.001);
}
