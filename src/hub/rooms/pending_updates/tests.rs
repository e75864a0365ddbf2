//! What members are told in the end of a user whose changes were deferred.

use std::time::Duration;

use super::*;
use crate::model::Timestamp;

fn user() -> UserId {
    UserId::parse("alice").unwrap()
}

fn change(kind: ChangeKind) -> PresenceChange {
    PresenceChange {
        kind,
        user: user(),
        status: UserStatus {
            name: None,
            status: "online".into(),
            info: None,
            idle: false,
            changed: Timestamp(0),
        },
        count: 1,
    }
}

/// The pending update after these changes, with a list sent after the first if `listed` says whether the user was on it.
fn pending(changes: &[ChangeKind], listed: Option<bool>) -> PendingUpdate {
    let (mut updates, now) = (PendingUpdates::default(), Instant::now());
    updates.defer(change(changes[0]), None, now, now + Duration::from_secs(1));
    if let Some(listed) = listed {
        updates.record_list(|_| listed);
    }
    for kind in &changes[1..] {
        assert!(updates.absorb(change(*kind), None).is_none());
    }
    assert!(updates.take_due(now).is_none(), "not due yet");
    let (of, update) = updates.take_due(now + Duration::from_secs(1)).unwrap();
    assert_eq!((of, updates.next_deadline()), (user(), None));
    update
}

fn outcome(listed: Option<ChangeKind>, others: Option<ChangeKind>) -> UpdateOutcome {
    UpdateOutcome { listed, others }
}

#[test]
fn of_a_user_that_enters_and_leaves_meanwhile_members_are_told_nothing() {
    let update = pending(&[ChangeKind::Join, ChangeKind::Leave], None);
    assert_eq!(update.outcome(false).others, None);
    assert_eq!(update.outcome(true).others, Some(ChangeKind::Join));
}

#[test]
fn of_a_user_that_leaves_and_returns_meanwhile_members_are_told_an_update() {
    let update = pending(&[ChangeKind::Leave, ChangeKind::Join], None);
    assert_eq!(update.outcome(true).others, Some(ChangeKind::Update));
}

#[test]
fn a_member_that_was_sent_a_list_is_told_what_has_changed_since_the_list() {
    let joined = pending(&[ChangeKind::Join], Some(true));
    assert_eq!(joined.outcome(true), outcome(None, Some(ChangeKind::Join)));
    let updated = pending(&[ChangeKind::Join, ChangeKind::Update], Some(true));
    let expected = outcome(Some(ChangeKind::Update), Some(ChangeKind::Join));
    assert_eq!(updated.outcome(true), expected);
    let left = pending(&[ChangeKind::Join, ChangeKind::Leave], Some(true));
    assert_eq!(left.outcome(false), outcome(Some(ChangeKind::Leave), None));
}

#[test]
fn a_connection_is_told_of_changes_that_another_one_makes() {
    let (mut updates, now) = (PendingUpdates::default(), Instant::now());
    let [phone, laptop] = [(); 2].map(|()| ConnectionId::generate());
    updates.defer(change(ChangeKind::Update), Some(phone), now, now);
    updates.absorb(change(ChangeKind::Update), Some(phone));
    updates.absorb(change(ChangeKind::Update), Some(laptop));
    assert_eq!(updates.take(&user()).unwrap().except, None);
    assert!(!updates.contains(&user()));
}
