//! The queue of changes: what is in it, and how long it gets.

use super::*;
use crate::{backend::conformance::key, model::UserId};

fn change(user: u64, is_member: bool) -> MemberChange {
    MemberChange {
        key: (
            key("/", "r"),
            UserId::parse(&format!("user{user}")).unwrap(),
        ),
        is_member,
        ts: Timestamp(1),
    }
}

fn take_all(changes: &MemberChanges) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    while changes.is_ready() {
        all.extend(changes.take());
    }
    all.iter()
        .map(|it| (it.key.1.to_string(), it.is_member))
        .collect()
}

#[test]
fn changes_come_in_their_order_and_the_first_wakes_the_writer() {
    let changes = MemberChanges::default();
    assert!(!changes.is_ready());
    let all = [(1, true), (2, true), (1, true), (1, false), (1, true)];
    let woken = all.map(|(user, is_member)| changes.push(change(user, is_member)));
    assert_eq!(woken, [true, false, false, false, false]);
    let expected = [(1, true), (2, true), (1, false), (1, true)];
    let expected = expected.map(|(user, is_member)| (format!("user{user}"), is_member));
    assert_eq!(take_all(&changes), expected);
    assert!(!changes.push(change(1, true)), "it is set already");
    assert!(changes.push(change(3, true)));
}

#[test]
fn what_is_put_back_comes_first_after_a_moment() {
    let changes = MemberChanges::default();
    changes.push(change(1, true));
    changes.push(change(2, true));
    let taken = changes.take();
    changes.push(change(3, true));
    changes.put_back(taken);
    assert!(!changes.is_ready());
    assert!(changes.take().is_empty());
    changes.lock().retry_at = Some(Instant::now());
    let users: Vec<_> = take_all(&changes).into_iter().map(|it| it.0).collect();
    assert_eq!(users, ["user1", "user2", "user3"]);
}

#[test]
fn a_queue_that_nobody_takes_from_is_bounded_by_the_members() {
    let changes = MemberChanges::default();
    for user in 0..1000 {
        changes.push(change(user, true));
    }
    assert_eq!(take_all(&changes).len(), 1000);
    // Half of those leave. All others come and go, except for a few.
    for user in 0..500 {
        changes.push(change(user, false));
    }
    for user in 1000..100_000 {
        changes.push(change(user, true));
        if user % 1000 != 0 {
            changes.push(change(user, false));
        }
        let queued = changes.lock().queue.len();
        assert!(queued <= MAX_QUEUED, "{queued}");
    }
    changes.lock().shorten();
    let left = take_all(&changes);
    assert_eq!(left.len(), 500 + 99);
    assert_eq!(left.iter().filter(|it| it.1).count(), 99);
    assert_eq!(left[499], ("user499".to_owned(), false));
}
