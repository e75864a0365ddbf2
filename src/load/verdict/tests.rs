//! What counts as lost.

use super::*;

/// Clients 0 to 2 in one room, of which each has received what it is given of the only sender.
fn lost(received: [&[u32]; 3], sent: u32, in_doubt: &[u32], echo: bool) -> Lost {
    let checkers: Vec<_> = received
        .into_iter()
        .enumerate()
        .map(|(client, numbers)| {
            let mut checker = Checker::default();
            for number in numbers {
                checker.see(1, 0, *number);
            }
            (client, checker)
        })
        .collect();
    let sent = [Sent {
        messages: sent,
        in_doubt: in_doubt.to_vec(),
    }];
    let rooms = Rooms {
        rooms: 1,
        room_of: &|_| 0,
        deaf_to: &|client| (client == 0 && !echo).then_some(0),
    };
    judge(&sent, &checkers, &rooms)
}

fn deliveries(deliveries: u64) -> Lost {
    Lost {
        deliveries,
        unconfirmed: 0,
    }
}

#[test]
fn nothing_is_lost_where_all_have_all() {
    assert_eq!(
        lost([&[0, 1], &[0, 1], &[0, 1]], 2, &[], true),
        deliveries(0)
    );
}

#[test]
fn every_member_that_misses_a_message_counts() {
    assert_eq!(
        lost([&[0, 1, 2], &[0, 2], &[]], 3, &[], true),
        deliveries(4)
    );
}

#[test]
fn a_message_without_an_ack_is_lost_only_if_somebody_has_it() {
    let nobody = lost([&[0], &[0], &[0]], 2, &[1], true);
    assert_eq!((nobody.deliveries, nobody.unconfirmed), (0, 1));
    assert_eq!(lost([&[0, 1], &[0], &[0]], 2, &[1], true), deliveries(2));
}

#[test]
fn a_sender_without_an_echo_does_not_miss_its_own() {
    assert_eq!(lost([&[], &[0, 1], &[0, 1]], 2, &[], false), deliveries(0));
    let nobody = lost([&[], &[0], &[0]], 2, &[1], false);
    assert_eq!((nobody.deliveries, nobody.unconfirmed), (0, 1));
}

#[test]
fn rooms_are_judged_apart() {
    let mut one = Checker::default();
    one.see(1, 0, 0);
    let checkers = [(0, one), (1, Checker::default())];
    let sent = [(1, vec![]), (3, vec![])].map(|(messages, in_doubt)| Sent { messages, in_doubt });
    let rooms = Rooms {
        rooms: 2,
        room_of: &|client| client % 2,
        deaf_to: &|_| None,
    };
    assert_eq!(judge(&sent, &checkers, &rooms), deliveries(3));
}
