//! Awareness states.

use proptest::{collection::vec, prelude::*};

use super::*;

const A: u8 = 1;
const B: u8 = 2;
const LIMIT: usize = 100;

struct Document {
    awareness: Awareness<u8>,
    now: Instant,
}

fn document() -> Document {
    Document {
        awareness: Awareness::new(LIMIT),
        now: Instant::now(),
    }
}

/// A node, always the same for a number.
fn node(number: u8) -> NodeId {
    format!("{number:032x}").parse().unwrap()
}

/// An update of clients, clocks and states.
fn update(entries: &[(u64, u64, &str)]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.count(entries.len());
    for (client, clock, state) in entries {
        writer.var_uint(*client).var_uint(*clock).var_string(state);
    }
    writer.into_bytes()
}

impl Document {
    fn apply(&mut self, connection: u8, entries: &[(u64, u64, &str)]) -> Option<Vec<u8>> {
        let applied = self.awareness.apply(connection, &update(entries), self.now);
        applied.unwrap()
    }

    fn remote(&mut self, node: NodeId, entries: &[(u64, u64, &str)]) -> Option<Vec<u8>> {
        let update = update(entries);
        let applied = self.awareness.apply_remote(node, &update, self.now);
        applied.unwrap()
    }

    fn after(&mut self, time: Duration) -> Option<Vec<u8>> {
        self.now += time;
        self.awareness.expire(self.now)
    }
}

#[test]
fn what_is_new_is_passed_on_once() {
    let mut document = document();
    let state = [(5, 1, "{}")];
    assert_eq!(document.apply(A, &state), Some(update(&state)));
    assert_eq!(document.apply(A, &state), None);
    assert_eq!(document.apply(B, &state), None);
    assert_eq!(document.apply(A, &[(5, 0, "{}")]), None);
    let both = [(5, 1, "{}"), (5, 2, "[1]"), (6, 1, "1")];
    let new = update(&[(5, 2, "[1]"), (6, 1, "1")]);
    assert_eq!(document.apply(A, &both), Some(new));
    let all = update(&[(5, 2, "[1]"), (6, 1, "1")]);
    assert_eq!(document.awareness.all(), Some(all));
}

#[test]
fn a_client_takes_itself_back_with_the_same_clock() {
    let mut document = document();
    document.apply(A, &[(5, 1, "{}")]);
    let gone = [(5, 1, "null")];
    assert_eq!(document.apply(A, &[(5, 1, " null\n")]), Some(update(&gone)));
    assert_eq!(document.apply(A, &gone), None);
    assert_eq!(document.awareness.all(), None);
    assert_eq!(
        document.apply(A, &[(5, 2, "{}")]),
        Some(update(&[(5, 2, "{}")]))
    );
}

#[test]
fn nobody_knows_a_client_that_was_never_there() {
    let mut document = document();
    assert_eq!(document.apply(A, &[(5, 1, "null")]), None);
    assert!(document.awareness.clients.is_empty());
}

#[test]
fn clients_are_taken_back_with_their_connection() {
    let mut document = document();
    document.apply(A, &[(5, 3, "{}"), (6, 1, "{}")]);
    document.apply(B, &[(7, 1, "{}")]);
    // An echo.
    document.apply(B, &[(5, 3, "{}"), (6, 1, "{}")]);
    let now = document.now;
    assert_eq!(
        document.awareness.remove_connection(A, now),
        Some(update(&[(5, 3, "null"), (6, 1, "null")]))
    );
    assert_eq!(document.awareness.remove_connection(A, now), None);
    // A late echo.
    assert_eq!(document.apply(B, &[(5, 3, "{}")]), None);
    assert_eq!(document.awareness.all(), Some(update(&[(7, 1, "{}")])));
}

#[test]
fn the_first_client_of_a_connection_is_its_own() {
    let mut document = document();
    // A tab announces another one, whose connection comes later.
    document.apply(A, &[(5, 1, "{}")]);
    document.apply(A, &[(6, 1, "{}")]);
    assert_eq!(document.apply(B, &[(6, 1, "{}")]), None);
    let now = document.now;
    let removed = document.awareness.remove_connection(B, now);
    assert_eq!(removed, Some(update(&[(6, 1, "null")])));
    let removed = document.awareness.remove_connection(A, now);
    assert_eq!(removed, Some(update(&[(5, 1, "null")])));
}

#[test]
fn a_client_that_reconnects_is_seen_at_once() {
    let mut document = document();
    document.apply(A, &[(5, 3, "{}")]);
    let now = document.now;
    document.awareness.remove_connection(A, now);
    let again = update(&[(5, 4, "{}")]);
    assert_eq!(document.apply(B, &[(5, 3, "{}")]), Some(again));
    let removed = document.awareness.remove_connection(B, now);
    assert_eq!(removed, Some(update(&[(5, 4, "null")])));
}

#[test]
fn the_old_connection_of_a_client_that_reconnected_takes_nothing_back() {
    let mut document = document();
    document.apply(A, &[(5, 3, "{}")]);
    assert_eq!(document.apply(B, &[(5, 3, "{}")]), None);
    let now = document.now;
    assert_eq!(document.awareness.remove_connection(A, now), None);
    assert_eq!(document.awareness.all(), Some(update(&[(5, 3, "{}")])));
}

#[test]
fn silent_clients_are_taken_back_and_forgotten_later() {
    let mut document = document();
    document.apply(A, &[(5, 1, "{}")]);
    let applied = document.remote(node(1), &[(6, 1, "{}")]);
    assert_eq!(applied, Some(update(&[(6, 1, "{}")])));
    assert_eq!(document.after(TIMEOUT / 2), None);
    document.apply(A, &[(5, 2, "{}")]);
    assert_eq!(document.after(TIMEOUT / 2), Some(update(&[(6, 1, "null")])));
    assert_eq!(document.after(TIMEOUT / 2), Some(update(&[(5, 2, "null")])));
    assert_eq!(document.after(FORGET_AFTER), None);
    // The connection is still there.
    assert!(!document.awareness.clients.is_empty());
    document.awareness.remove_connection(A, document.now);
    assert_eq!(document.after(Duration::ZERO), None);
    assert!(document.awareness.clients.is_empty());
}

#[test]
fn a_connection_that_announces_a_client_of_another_node_owns_it() {
    let mut document = document();
    let now = document.now;
    document.remote(node(1), &[(5, 1, "{}")]);
    document.apply(A, &[(9, 1, "{}")]);
    document.apply(A, &[(5, 2, "{}")]);
    let removed = document.awareness.remove_connection(A, now);
    assert_eq!(removed, Some(update(&[(9, 1, "null"), (5, 2, "null")])));
}

#[test]
fn a_client_that_reconnected_to_another_node_is_not_taken_back() {
    let mut document = document();
    let now = document.now;
    document.apply(A, &[(5, 1, "{}")]);
    document.remote(node(1), &[(5, 2, "{}")]);
    assert_eq!(document.awareness.remove_connection(A, now), None);
    let all = update(&[(5, 2, "{}")]);
    assert_eq!(document.awareness.all(), Some(all));
}

#[test]
fn the_clients_of_a_node_that_is_gone_are_taken_back() {
    let mut document = document();
    let now = document.now;
    document.remote(node(1), &[(5, 3, "{}"), (6, 1, "{}")]);
    document.remote(node(2), &[(7, 1, "{}")]);
    document.apply(A, &[(8, 1, "{}")]);
    let removed = document.awareness.remove_node(node(1), now);
    assert_eq!(removed, Some(update(&[(5, 3, "null"), (6, 1, "null")])));
    assert_eq!(document.awareness.remove_node(node(1), now), None);
    // A late echo.
    assert_eq!(document.apply(A, &[(5, 3, "{}")]), None);
    let left = update(&[(7, 1, "{}"), (8, 1, "{}")]);
    assert_eq!(document.awareness.all(), Some(left));
    // The node was only taken for dead.
    let again = [(5, 4, "{}")];
    assert_eq!(document.remote(node(1), &again), Some(update(&again)));
    let removed = document.awareness.remove_node(node(1), now);
    assert_eq!(removed, Some(update(&[(5, 4, "null")])));
}

#[test]
fn a_client_that_has_moved_on_from_a_node_stays_when_that_is_gone() {
    let mut document = document();
    let now = document.now;
    let clients = [(5, 3, "{}"), (6, 1, "{}"), (7, 1, "{}")];
    document.remote(node(1), &clients);
    // It connects here, and other nodes are told although it says nothing new.
    let here = update(&[(5, 4, "{}")]);
    assert_eq!(document.apply(A, &[(5, 3, "{}")]), Some(here));
    assert_eq!(document.remote(node(1), &[(5, 3, "null")]), None);
    // At a node that had never heard of it.
    assert_eq!(document.remote(node(2), &[(6, 1, "{}")]), None);
    let removed = document.awareness.remove_node(node(1), now);
    assert_eq!(removed, Some(update(&[(7, 1, "null")])));
    let removed = document.awareness.remove_node(node(2), now);
    assert_eq!(removed, Some(update(&[(6, 1, "null")])));
    let removed = document.awareness.remove_connection(A, now);
    assert_eq!(removed, Some(update(&[(5, 4, "null")])));
}

#[test]
fn another_node_is_told_of_the_clients_of_this_one() {
    let mut document = document();
    document.remote(node(1), &[(5, 3, "{}")]);
    assert_eq!(document.awareness.local(), None);
    document.apply(A, &[(6, 1, "{}"), (7, 1, "{}")]);
    document.apply(A, &[(7, 1, "null")]);
    let local = update(&[(6, 1, "{}")]);
    assert_eq!(document.awareness.local(), Some(local));
    document.remote(node(1), &[(6, 2, "{}")]);
    assert_eq!(document.awareness.local(), None);
}

#[test]
fn wrong_updates_are_refused_whole() {
    let mut document = document();
    let large = format!("\"{}\"", "x".repeat(LIMIT));
    let deep = "[".repeat(60) + &"]".repeat(60);
    for wrong in [
        vec![],
        vec![1],
        vec![1, 5, 1, 0],
        vec![200, 1, 5, 1, 2, b'{', b'}'],
        update(&[(5, 1, "{}"), (6, 1, "undefined")]),
        update(&[(5, 1, "{}"), (6, 1, &large)]),
        update(&[(5, 1, "{}"), (6, 1, &deep)]),
        [update(&[(5, 1, "{}")]), vec![0]].concat(),
    ] {
        let applied = document.awareness.apply(A, &wrong, document.now);
        assert!(applied.is_err(), "{wrong:?}");
        let applied = document
            .awareness
            .apply_remote(node(1), &wrong, document.now);
        assert!(applied.is_err(), "{wrong:?}");
    }
    assert!(document.awareness.clients.is_empty());
}

#[test]
fn a_connection_announces_a_limited_number_of_clients() {
    let mut document = document();
    let entries: Vec<_> = (0..=MAX_CLIENTS_PER_CONNECTION as u64)
        .map(|client| (client, 1, "{}"))
        .collect();
    let too_many = document.awareness.apply(A, &update(&entries), document.now);
    assert_eq!(too_many, Err(AwarenessError::TooManyClients));
    document.apply(A, &entries[1..]);
    let one_more = document
        .awareness
        .apply(A, &update(&entries[..1]), document.now);
    assert_eq!(one_more, Err(AwarenessError::TooManyClients));
    // Taking clients back makes no place: their clocks are kept.
    document.apply(A, &[(1, 2, "null")]);
    let one_more = document
        .awareness
        .apply(A, &update(&entries[..1]), document.now);
    assert_eq!(one_more, Err(AwarenessError::TooManyClients));
    // Those of others, and its own again, are no new ones.
    document.apply(B, &entries[..1]);
    assert_eq!(document.apply(A, &entries[2..]), None);
    assert_eq!(document.apply(A, &entries), None);
}

#[derive(Clone, Debug)]
enum Step {
    Announce(u8, Vec<(u64, u64, bool)>),
    Remote(u8, Vec<(u64, u64, bool)>),
    Close(u8),
    Gone(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entries = || vec((0..6u64, 0..6u64, any::<bool>()), 1..4);
    let step = prop_oneof![
        4 => (0..3u8, entries()).prop_map(|(connection, entries)| Step::Announce(connection, entries)),
        2 => (0..2u8, entries()).prop_map(|(node, entries)| Step::Remote(node, entries)),
        1 => (0..3u8).prop_map(Step::Close),
        1 => (0..2u8).prop_map(Step::Gone),
        1 => (0..40u64).prop_map(Step::Wait),
    ];
    vec(step, 1..60)
}

fn encode(entries: &[(u64, u64, bool)]) -> Vec<u8> {
    let state = |there| if there { "{}" } else { "null" };
    let entries: Vec<_> = entries
        .iter()
        .map(|(client, clock, there)| (*client, *clock, state(*there)))
        .collect();
    update(&entries)
}

proptest! {
    #[test]
    fn those_who_are_told_everything_know_who_is_there(steps in steps()) {
        let mut document = document();
        let mut told = Awareness::<u8>::new(LIMIT);
        for step in steps {
            let now = document.now;
            let news = match step {
                Step::Announce(connection, entries) => {
                    document.awareness.apply(connection, &encode(&entries), now).unwrap()
                }
                Step::Remote(from, entries) => {
                    document.awareness.apply_remote(node(from), &encode(&entries), now).unwrap()
                }
                Step::Gone(from) => {
                    let news = document.awareness.remove_node(node(from), now);
                    prop_assert_eq!(document.awareness.remove_node(node(from), now), None);
                    news
                }
                Step::Close(connection) => document.awareness.remove_connection(connection, now),
                Step::Wait(seconds) => {
                    let news = document.after(Duration::from_secs(seconds));
                    // It forgets at the same time.
                    told.expire(document.now);
                    news
                }
            };
            if let Some(news) = news {
                told.apply_remote(node(9), &news, document.now).unwrap();
            }
            prop_assert_eq!(told.all(), document.awareness.all());
        }
        for connection in 0..3 {
            document.awareness.remove_connection(connection, document.now);
        }
        document.after(TIMEOUT);
        document.after(FORGET_AFTER);
        prop_assert!(document.awareness.clients.is_empty());
        prop_assert!(document.awareness.connections.is_empty());
    }

    #[test]
    fn foreign_updates_never_panic(bytes: Vec<u8>) {
        let mut document = document();
        let _ = document.awareness.apply(A, &bytes, document.now);
    }
}
