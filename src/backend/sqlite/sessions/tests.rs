//! Stored sessions over restarts, expiry and lock conflicts.

use std::{path::Path, time::Duration};

use super::super::tests::{alone, at, send, when_free, with_database};
use crate::{
    backend::{
        Log, SessionStore, StoredSession,
        conformance::{ManualClock, draft, sessions::session},
    },
    error::Code,
};

const WINDOW: Duration = Duration::from_secs(120);
const MOMENT: Duration = Duration::from_millis(1);

fn stored(folder: &Path) -> i64 {
    with_database(folder)
        .query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn sessions_active_when_the_process_ends_can_be_resumed_for_a_window_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let alice = session(&[("r", 7), ("s", 0)]);
    for closed in [true, false] {
        let log = at(folder.path(), &clock).unwrap();
        log.save(alice.clone()).await.unwrap();
        if closed {
            log.close().await;
        }
        drop(log);
        clock.advance(100 * WINDOW);

        let log = when_free(folder.path(), &clock).await;
        clock.advance(WINDOW);
        assert_eq!(log.find(alice.pid).await.unwrap().as_ref(), Some(&alice));
        clock.advance(MOMENT);
        assert_eq!(log.find(alice.pid).await.unwrap(), None);
        log.close().await;
    }
}

#[tokio::test]
async fn a_session_that_ended_before_the_log_was_reopened_keeps_its_expiry() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let alice = session(&[]);
    let log = at(folder.path(), &clock).unwrap();
    log.save(alice.clone()).await.unwrap();
    log.end(alice.pid).await.unwrap();
    log.close().await;

    clock.advance(WINDOW);
    let log = at(folder.path(), &clock).unwrap();
    assert_eq!(log.find(alice.pid).await.unwrap().as_ref(), Some(&alice));
    clock.advance(MOMENT);
    assert_eq!(log.find(alice.pid).await.unwrap(), None);
    log.close().await;
}

#[tokio::test]
async fn expired_sessions_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let log = at(folder.path(), &clock).unwrap();
    let sessions: Vec<_> = (0..700).map(|_| session(&[("r", 1)])).collect();
    let all = sessions.iter().map(|session| async {
        log.save(session.clone()).await.unwrap();
        log.end(session.pid).await.unwrap();
    });
    futures_util::future::join_all(all).await;
    let active: StoredSession = session(&[]);
    log.save(active.clone()).await.unwrap();
    clock.advance(WINDOW);
    log.trim(clock.now()).await.unwrap();
    assert_eq!(stored(folder.path()), 701);
    clock.advance(MOMENT);
    log.trim(clock.now()).await.unwrap();
    assert_eq!(stored(folder.path()), 1);
    assert_eq!(log.find(active.pid).await.unwrap(), Some(active));
    log.close().await;
}

#[tokio::test]
async fn a_change_that_cannot_be_stored_is_rejected_and_the_session_is_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    let alice = session(&[("r", 1)]);
    log.save(alice.clone()).await.unwrap();
    let other = with_database(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let left = StoredSession {
        rooms: Vec::new(),
        ..alice.clone()
    };
    for change in [log.save(left), log.end(alice.pid), log.forget(alice.pid)] {
        assert_eq!(change.await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(log.find(alice.pid).await.unwrap().as_ref(), Some(&alice));
    other.execute_batch("ROLLBACK").unwrap();
    log.forget(alice.pid).await.unwrap();
    assert_eq!(log.find(alice.pid).await.unwrap(), None);
    log.close().await;
}

#[tokio::test]
async fn queued_session_changes_are_stored_with_queued_messages() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, draft("r", "1")).await.unwrap();
    let before = log.health.commits();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (started, starts) = tokio::sync::oneshot::channel();
    log.with_connection(move |_| {
        started.send(()).unwrap();
        let _ = blocked.recv();
    })
    .await;
    starts.await.unwrap();
    let receipt = log.append(draft("r", "1")).await.unwrap();
    let sessions: Vec<_> = (0..500).map(|_| session(&[("r", 1)])).collect();
    let saves = sessions.iter().map(|session| log.save(session.clone()));
    let release = async { drop(release) };
    // Polled in this order: all of them are queued when the writer continues.
    let both = futures_util::future::join(futures_util::future::join_all(saves), release);
    for saved in tokio::task::unconstrained(both).await.0 {
        saved.unwrap();
    }
    receipt.wait().await.unwrap();
    let commits = log.health.commits() - before;
    assert!(commits <= 3, "{commits} commits for 500 sessions");
    log.close().await;
}
