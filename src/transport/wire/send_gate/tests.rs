//! When a send gate opens.

use super::*;

#[test]
fn a_websocket_gate_opens_when_the_last_barrier_has_passed() {
    let mut gate = SendGate::websocket();
    assert!(!gate.is_open() && !gate.hold_packet());
    gate.add_barrier();
    gate.add_barrier();
    assert!(!gate.pass_barrier() && !gate.is_open());
    assert!(gate.pass_barrier() && gate.is_open());
    gate.add_barrier();
    assert!(!gate.is_open(), "another namespace connects");
    assert!(gate.pass_barrier() && gate.is_open());
}

#[test]
fn a_polling_session_has_one_barrier_in_flight_while_packets_are_held() {
    let mut gate = SendGate::default();
    assert!(gate.hold_packet());
    assert!(!gate.hold_packet(), "one is enough");
    assert!(gate.pass_barrier() && !gate.is_open());
    assert!(gate.hold_packet(), "more is held than one poll takes");
}

#[test]
fn an_upgrade_waits_for_its_own_barrier_even_if_an_older_one_leaves_by_the_last_poll() {
    let mut gate = SendGate::default();
    assert!(gate.hold_packet());
    gate.start_upgrade();
    assert!(!gate.pass_barrier(), "by the last poll");
    assert!(!gate.is_open() && !gate.hold_packet());
    assert!(gate.pass_barrier() && gate.is_open(), "by the WebSocket");
}
