//! Whom the writer waits for, and whom it does not.

use super::*;

fn after(commands: usize, took: Duration) -> (GroupCommit, Instant) {
    let (mut group, now) = (GroupCommit::default(), Instant::now());
    group.record(commands, took, now);
    (group, now)
}

const COMMIT: Duration = Duration::from_micros(500);

#[test]
fn the_first_commit_waits_for_nobody() {
    let patience = GroupCommit::default().patience(100, Instant::now());
    assert_eq!(patience, None);
}

#[test]
fn a_sender_that_is_alone_is_never_waited_for() {
    let (group, now) = after(1, COMMIT);
    assert_eq!(group.patience(0, now), None);
}

#[test]
fn after_a_pause_nobody_is_waited_for() {
    let (group, now) = after(50, COMMIT);
    assert_eq!(group.patience(0, now + PAUSE), None);
}

#[test]
fn those_of_the_last_commit_are_waited_for_until_they_are_back() {
    let (group, now) = after(25, COMMIT);
    let patience = group.patience(25, now).unwrap();
    assert!(patience.lasts(49, now));
    assert!(!patience.lasts(50, now));
}

#[test]
fn nobody_is_waited_for_longer_than_a_commit_takes() {
    let (group, now) = after(50, COMMIT);
    let patience = group.patience(1, now).unwrap();
    assert!(patience.lasts(1, now));
    assert!(!patience.lasts(1, now + COMMIT));
    let (group, now) = after(50, Duration::from_secs(5));
    let patience = group.patience(1, now).unwrap();
    assert!(!patience.lasts(1, now + MAX_WAIT));
}

#[test]
fn a_batch_that_is_large_already_is_not_kept_waiting() {
    let (group, now) = after(1000, COMMIT);
    assert_eq!(group.patience(ENOUGH, now), None);
}
