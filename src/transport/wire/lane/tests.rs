use super::*;

#[test]
fn a_websocket_opens_when_the_last_mark_has_passed() {
    let mut lane = Lane::websocket();
    assert!(!lane.is_open() && !lane.waits());
    lane.fence();
    lane.fence();
    assert!(!lane.passed() && !lane.is_open());
    assert!(lane.passed() && lane.is_open());
    lane.fence();
    assert!(!lane.is_open(), "another namespace connects");
    assert!(lane.passed() && lane.is_open());
}

#[test]
fn a_polling_session_has_one_mark_under_way_while_something_waits() {
    let mut lane = Lane::default();
    assert!(lane.waits());
    assert!(!lane.waits(), "one is enough");
    assert!(lane.passed() && !lane.is_open());
    assert!(lane.waits(), "more waits than one poll takes");
}

#[test]
fn an_upgrade_waits_for_its_own_mark_even_if_an_older_one_leaves_by_the_last_poll() {
    let mut lane = Lane::default();
    assert!(lane.waits());
    lane.upgraded();
    assert!(!lane.passed(), "by the last poll");
    assert!(!lane.is_open() && !lane.waits());
    assert!(lane.passed() && lane.is_open(), "by the WebSocket");
}
