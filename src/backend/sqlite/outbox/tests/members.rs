//! Who is in which room, over restarts and beside other work.

use super::{alone, events, lines, send, set, told, with_database};
use crate::backend::{Log, Outbox, conformance::draft, sqlite::MAX_QUEUED_COMMANDS};

#[tokio::test]
async fn a_member_of_an_earlier_process_can_leave_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    set(&log, "r", "alice", true);
    // Closing stores it.
    log.close().await;

    let log = alone(folder.path(), 0);
    set(&log, "r", "alice", false);
    let expected = [
        "room.occupied r -",
        "member.joined r alice",
        "member.left r alice",
        "room.vacated r -",
    ];
    assert_eq!(lines(&log).await, expected);
    log.remove_stale_members().await.unwrap();
    assert_eq!(lines(&log).await, expected);
    log.close().await;
}

#[tokio::test]
async fn many_members_of_earlier_processes_leave_in_steps() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    for nth in 0..2000 {
        set(&log, &format!("r{}", nth % 7), &format!("user{nth}"), true);
    }
    log.close().await;
    // A process between, which leaves some to itself and removes none.
    let log = alone(folder.path(), 0);
    for nth in (0..2000).step_by(2) {
        set(&log, &format!("r{}", nth % 7), &format!("user{nth}"), true);
    }
    log.close().await;

    let log = alone(folder.path(), 0);
    for nth in (0..2000).step_by(20) {
        set(&log, &format!("r{}", nth % 7), &format!("user{nth}"), true);
    }
    let before = lines(&log).await.len();
    let commits = log.health.commits();
    log.remove_stale_members().await.unwrap();
    let commits = log.health.commits() - commits;
    assert!((8..=10).contains(&commits), "{commits}");
    let left = events(&log).await;
    assert_eq!(left.len() - before, 1900, "every room has members left");
    let kept: i64 = with_database(folder.path())
        .query_row("SELECT count(*) FROM members", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 100);
    log.remove_stale_members().await.unwrap();
    assert_eq!(events(&log).await.len(), left.len());
    log.close().await;
}

#[tokio::test]
async fn setting_members_does_not_wait_and_is_not_lost_while_the_writer_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (started, starts) = tokio::sync::oneshot::channel();
    log.with_connection(move |_| {
        started.send(()).unwrap();
        let _ = blocked.recv();
    })
    .await;
    starts.await.unwrap();
    for _ in 0..MAX_QUEUED_COMMANDS {
        // The receipt is dropped; the draft is stored all the same.
        let _ = log.append(draft("r", "1")).await.unwrap();
    }
    assert_eq!(log.queue.capacity(), 0);
    for nth in 0..5000 {
        set(&log, "r", &format!("user{nth}"), true);
    }
    let before = log.health.commits();
    drop(release);
    while events(&log).await.len() < 5001 {
        tokio::task::yield_now().await;
    }
    let commits = log.health.commits() - before;
    assert!(commits <= 8, "{commits} commits for 5000 members");
    log.close().await;
}

#[tokio::test]
async fn a_closed_log_has_stored_every_member_that_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, told("r", "1")).await.unwrap();
    for nth in 0..5000 {
        set(&log, "r", &format!("user{nth}"), true);
    }
    log.close().await;
    set(&log, "r", "late", true);
    let log = alone(folder.path(), 0);
    assert_eq!(lines(&log).await.len(), 5002);
    log.close().await;
}
