//! What is sent, when, and what becomes of it when a connection is lost.

use super::*;
use crate::load::plan::{Plan, Protocol, Transport, tests::plan};

fn shared(pace: Pace, ids: bool) -> Shared {
    let shared = Shared::new(Plan {
        pace,
        protocol: Protocol::Switchboard { ids, echo: true },
        ..plan(Transport::SocketIo, 4, 1, 2)
    });
    (0..4).for_each(|_| shared.add_member(0));
    shared.begin(Phase::Sending);
    shared
}

const fn closed(window: usize, until: InFlight) -> Pace {
    Pace::Closed { window, until }
}

/// The numbers of everything that is to be written now, and whether it was before.
fn written(sender: &mut Sender, shared: &Shared) -> Vec<(u32, bool)> {
    let next = || sender.next(shared, shared.now());
    std::iter::from_fn(next)
        .map(|next| (next.marker.number, next.again))
        .collect()
}

#[test]
fn a_closed_loop_keeps_so_many_in_flight() {
    let shared = shared(closed(3, InFlight::Acked), true);
    let mut sender = Sender::new(0);
    assert_eq!(
        written(&mut sender, &shared),
        [(0, false), (1, false), (2, false)]
    );
    assert!(sender.acked(&shared, 1).is_some() && sender.acked(&shared, 1).is_none());
    assert_eq!(written(&mut sender, &shared), [(3, false)]);
    shared.begin(Phase::Draining);
    sender.acked(&shared, 0);
    assert!(written(&mut sender, &shared).is_empty());
    assert_eq!(shared.senders[0].sent.load(Ordering::Relaxed), 4);
}

#[test]
fn a_message_may_be_in_flight_until_everybody_has_it() {
    let shared = shared(closed(1, InFlight::Delivered), true);
    let mut sender = Sender::new(1);
    assert_eq!(written(&mut sender, &shared), [(0, false)]);
    sender.acked(&shared, 0);
    for last in [false, false, false, true] {
        assert!(written(&mut sender, &shared).is_empty());
        assert_eq!(shared.senders[1].received(0), last);
    }
    assert_eq!(written(&mut sender, &shared), [(1, false)]);
}

#[test]
fn a_rate_says_when_messages_are_due_and_senders_take_turns() {
    let shared = shared(Pace::Open { rate: 1000.0 }, true);
    let mut sender = Sender::new(1);
    assert!(written(&mut sender, &shared).is_empty());
    shared.senders[1].due.store(2, Ordering::Relaxed);
    let due: Vec<u64> = std::iter::from_fn(|| sender.next(&shared, shared.now()))
        .map(|next| next.marker.due - shared.sending_since())
        .collect();
    // The second of two, each of which sends every other millisecond.
    assert_eq!(due, [1000, 3000]);
}

#[test]
fn what_has_no_ack_is_written_again_with_its_first_time() {
    let shared = shared(closed(3, InFlight::Acked), true);
    let mut sender = Sender::new(0);
    let first = sender.next(&shared, 7).unwrap().marker;
    assert_eq!(written(&mut sender, &shared).len(), 2);
    sender.acked(&shared, 1);
    sender.disconnected(&shared);
    let again = sender.next(&shared, 99).unwrap();
    assert_eq!((again.marker, again.again), (first, true));
    assert_eq!(written(&mut sender, &shared), [(2, true), (3, false)]);
    sender.finish(&shared);
    assert_eq!(*lock(&shared.senders[0].in_doubt), [0, 2, 3]);
}

#[test]
fn without_ids_what_has_no_ack_is_in_doubt() {
    let shared = shared(closed(2, InFlight::Acked), false);
    let mut sender = Sender::new(0);
    written(&mut sender, &shared);
    sender.acked(&shared, 0);
    sender.disconnected(&shared);
    assert_eq!(*lock(&shared.senders[0].in_doubt), [1]);
    assert_eq!(written(&mut sender, &shared), [(2, false), (3, false)]);
    sender.refused(&shared, 3);
    assert_eq!(*lock(&shared.senders[0].in_doubt), [1, 3]);
}
