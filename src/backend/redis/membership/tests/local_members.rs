//! The local members alone, against a store that fails at any point.

use std::collections::HashSet;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::backend::redis::membership::{LocalMembers, MemberChange, local_members::MemberWork};

/// What is stored of one node.
type Store = HashSet<String>;

fn room() -> RoomKey {
    key("/", "r")
}

fn partition() -> Partition {
    Partition::of(&room())
}

fn set(members: &LocalMembers, who: &str, is_member: bool) {
    members.set(MemberChange {
        room: room(),
        user: user(who),
        is_member,
        ts: Timestamp(1),
    });
}

fn take_work(members: &LocalMembers) -> Option<MemberWork> {
    members.next_work(partition()).now_or_never()
}

fn take_changes(members: &LocalMembers) -> Vec<(String, bool)> {
    match take_work(members) {
        Some(MemberWork::Write(changes)) => changes
            .iter()
            .map(|change| (change.user.to_string(), change.is_member))
            .collect(),
        other => panic!("{other:?} are no changes"),
    }
}

/// Does what a publisher does, but writes only the first `changes` changes.
fn execute(members: &LocalMembers, work: MemberWork, store: &mut Store, changes: usize) {
    match work {
        MemberWork::Recheck => members.reconcile(partition(), store.clone(), Timestamp(1)),
        MemberWork::Write(written) => {
            for change in written.iter().take(changes) {
                let name = format!("/ r\n{}", change.user);
                match change.is_member {
                    true => store.insert(name),
                    false => store.remove(&name),
                };
            }
        }
        MemberWork::Close => {}
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, bool),
    Complete,
    /// Only so many changes were written, and the node does not know.
    Fail(usize),
    /// Another node removed this member, and the lease was lost.
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, any::<bool>()).prop_map(|(who, is_member)| Step::Set(who, is_member)),
        1 => Just(Step::Complete),
        1 => (0..4_usize).prop_map(Step::Fail),
        1 => (0..4_u8).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn whatever_fails_the_store_has_the_present_members_in_the_end(steps in proptest::collection::vec(step(), 0..60)) {
        let (members, mut store) = (LocalMembers::default(), Store::new());
        let mut expected = Store::new();
        let name = |who| format!("/ r\nuser{who}");
        for step in steps {
            match step {
                Step::Set(who, is_member) => {
                    set(&members, &format!("user{who}"), is_member);
                    match is_member {
                        true => expected.insert(name(who)),
                        false => expected.remove(&name(who)),
                    };
                }
                Step::Complete => if let Some(work) = take_work(&members) {
                    execute(&members, work, &mut store, usize::MAX);
                }
                Step::Fail(written) => {
                    if let Some(work) = take_work(&members) {
                        execute(&members, work, &mut store, written);
                    }
                    members.retry(partition());
                }
                Step::Remove(who) => {
                    store.remove(&name(who));
                    members.recheck(partition());
                }
            }
        }
        while let Some(work) = take_work(&members) {
            execute(&members, work, &mut store, usize::MAX);
        }
        prop_assert_eq!(&store, &expected);
        prop_assert!(members.matches(partition(), expected.len()));
        prop_assert!(!members.matches(partition(), expected.len() + 1));
    }
}

#[test]
fn every_change_is_written_in_order_and_what_changes_nothing_is_not() {
    let members = LocalMembers::default();
    let calls = [
        ("bob", true),
        ("bob", true),
        ("alice", true),
        ("bob", false),
        ("bob", true),
        ("carol", false),
    ];
    for (who, is_member) in calls {
        set(&members, who, is_member);
    }
    let written = [
        ("bob", true),
        ("alice", true),
        ("bob", false),
        ("bob", true),
    ];
    let written = written.map(|(who, is_member)| (who.to_owned(), is_member));
    assert_eq!(take_changes(&members), written);
    assert_eq!(take_work(&members), None);
}

#[test]
fn when_too_many_changes_are_queued_everything_is_compared_instead() {
    let members = LocalMembers::default();
    set(&members, "zoe", true);
    set(&members, "alice", true);
    for _ in 0..5000 {
        set(&members, "bob", true);
        set(&members, "bob", false);
    }
    assert_eq!(take_work(&members), Some(MemberWork::Recheck));
    let stored = ["/ r\nbob", "/ r\ncarol", "/ r\nalice"];
    let stored = stored.map(str::to_owned).into();
    members.reconcile(partition(), stored, Timestamp(1));
    let mut changes = take_changes(&members);
    changes[1..].sort_unstable();
    let expected = [("zoe", true), ("bob", false), ("carol", false)];
    let expected = expected.map(|(who, is_member)| (who.to_owned(), is_member));
    assert_eq!(changes, expected);
}
