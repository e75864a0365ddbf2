//! The local roster alone, against a store that fails at any point.

use std::collections::HashMap;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::backend::redis::membership::local_roster::RosterWork;

/// The stored entries of one node in one room.
type Store = HashMap<UserId, String>;

fn room() -> RoomKey {
    key("/", "r")
}

fn partition() -> Partition {
    Partition::of(&room())
}

fn text(number: u8) -> Option<Arc<str>> {
    (number > 0).then(|| number.to_string().into())
}

fn take_work(roster: &LocalRoster) -> RosterWork {
    roster
        .next_work(partition())
        .now_or_never()
        .unwrap_or_default()
}

/// Does what a publisher does, but writes only the first `changes` changes.
fn execute(roster: &LocalRoster, work: &RosterWork, store: &mut Store, changes: usize) {
    if work.recheck_all || !work.rechecks.is_empty() {
        roster.reconcile(&room(), store);
    }
    for change in work.changes.iter().take(changes) {
        match &change.text {
            Some(text) => store.insert(change.user.clone(), text.to_string()),
            None => store.remove(&change.user),
        };
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8),
    Complete,
    /// Only so many changes were written, and the node does not know.
    Fail(usize),
    /// Another node removed this entry, and published that.
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 0..3_u8).prop_map(|(who, entry)| Step::Set(who, entry)),
        1 => Just(Step::Complete),
        1 => (0..4_usize).prop_map(Step::Fail),
        1 => (0..4_u8).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn whatever_fails_the_store_has_the_newest_entries_in_the_end(steps in proptest::collection::vec(step(), 0..60)) {
        let (roster, mut store) = (LocalRoster::default(), Store::new());
        let mut expected = Store::new();
        for step in steps {
            match step {
                Step::Set(who, entry) => {
                    let who = user(&format!("user{who}"));
                    roster.set(&room(), &who, text(entry));
                    match text(entry) {
                        Some(text) => expected.insert(who, text.to_string()),
                        None => expected.remove(&who),
                    };
                }
                Step::Complete => {
                    let work = take_work(&roster);
                    execute(&roster, &work, &mut store, usize::MAX);
                    roster.complete(partition(), work);
                }
                Step::Fail(written) => {
                    let work = take_work(&roster);
                    execute(&roster, &work, &mut store, written);
                    roster.retry(partition(), work);
                }
                Step::Remove(who) => {
                    store.remove(&user(&format!("user{who}")));
                    roster.recheck_room(&room());
                }
            }
        }
        loop {
            let work = take_work(&roster);
            if work.is_empty() {
                break;
            }
            execute(&roster, &work, &mut store, usize::MAX);
            roster.complete(partition(), work);
        }
        prop_assert_eq!(&store, &expected);
        // Users that have left take no memory.
        prop_assert_eq!(roster.occupied_rooms(partition()).is_empty(), expected.is_empty());
    }
}

#[test]
fn users_that_join_and_leave_before_anything_is_written_leave_nothing_behind() {
    let roster = LocalRoster::default();
    for nth in 0..1000 {
        let who = user(&format!("user{nth}"));
        roster.set(&room(), &who, text(1));
        roster.set(&room(), &who, None);
    }
    assert!(take_work(&roster).is_empty());
    assert!(roster.occupied_rooms(partition()).is_empty());
}

#[test]
fn changes_are_queued_in_the_order_of_their_first_call_with_the_newest_entry() {
    let roster = LocalRoster::default();
    for (who, entry) in [
        ("bob", 1),
        ("alice", 1),
        ("bob", 2),
        ("carol", 1),
        ("alice", 0),
    ] {
        roster.set(&room(), &user(who), text(entry));
    }
    let changes = take_work(&roster).changes;
    let written: Vec<_> = changes
        .iter()
        .map(|change| (change.user.as_str(), change.text.as_deref()))
        .collect();
    assert_eq!(written, [("bob", Some("2")), ("carol", Some("1"))]);
}
