//! Read markers over restarts and lock conflicts.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::super::{
    MAX_QUEUED_COMMANDS,
    tests::{alone, send, with_database},
};
use crate::{
    backend::{
        Log, ReadMarker, ReadMarkers,
        conformance::{draft, key},
    },
    error::Code,
    model::{Seq, UserId},
};

fn user(nth: u64) -> UserId {
    UserId::parse(&format!("user{nth}")).unwrap()
}

#[tokio::test]
async fn markers_are_found_when_the_log_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let room = key("/", "r");
    let log = alone(folder.path(), 0);
    for _ in 0..5 {
        send(&log, draft("r", "1")).await.unwrap();
    }
    for nth in 1..=4 {
        log.advance(&room, &user(nth), Seq(nth)).await.unwrap();
    }
    log.close().await;

    let log = alone(folder.path(), 0);
    send(&log, draft("r", "1")).await.unwrap();
    for nth in 1..=4 {
        let marker = log.get(&room, &user(nth)).await.unwrap();
        assert_eq!(marker, ReadMarker::at(Seq(nth), Seq(6), false));
    }
    let marker = log.advance(&room, &user(4), Seq(3)).await.unwrap();
    assert_eq!(marker, ReadMarker::at(Seq(4), Seq(6), false));
    log.close().await;
}

#[tokio::test]
async fn queued_markers_are_stored_in_few_transactions_and_do_not_delay_reads() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(alone(folder.path(), 0));
    let room = key("/", "r");
    for _ in 0..1000 {
        // The receipt is dropped; the draft is stored all the same.
        let _ = log.append(draft("r", "1")).await.unwrap();
    }
    assert_eq!(
        log.advance(&room, &user(1), Seq(1)).await.unwrap().unread,
        999
    );
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (started, starts) = tokio::sync::oneshot::channel();
    log.with_connection(move |_| {
        started.send(()).unwrap();
        let _ = blocked.recv();
    })
    .await;
    // From now on the writer takes nothing from the queue.
    starts.await.unwrap();
    let before = log.health.commits();
    let waiting = log.clone();
    let waiting = tokio::spawn(async move {
        let room = key("/", "r");
        let users: Vec<_> = (1..=1000).map(user).collect();
        let markers = users.iter().zip(1..);
        let markers = markers.map(|(user, seq)| waiting.advance(&room, user, Seq(seq)));
        // Otherwise the cooperative budget would interrupt it with queue slots reserved and not filled.
        tokio::task::unconstrained(join_all(markers)).await
    });
    let all_wait = async {
        while MAX_QUEUED_COMMANDS - log.queue.capacity() < 1000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_wait)
        .await
        .unwrap();
    let marker = log.get(&room, &user(1000)).await.unwrap();
    assert_eq!(marker, ReadMarker::at(Seq(0), Seq(1000), false));
    drop(release);
    for (marker, seq) in waiting.await.unwrap().into_iter().zip(1..) {
        assert_eq!(
            marker.unwrap(),
            ReadMarker::at(Seq(seq), Seq(1000), seq > 1)
        );
    }
    let commits = log.health.commits() - before;
    assert!(commits <= 3, "{commits} commits for 1000 markers");
    log.close().await;
}

#[tokio::test]
async fn a_marker_that_cannot_be_stored_is_rejected_and_does_not_move() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    let room = key("/", "r");
    for _ in 0..3 {
        send(&log, draft("r", "1")).await.unwrap();
    }
    log.advance(&room, &user(1), Seq(1)).await.unwrap();
    let other = with_database(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = log.advance(&room, &user(1), Seq(2)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let unchanged = ReadMarker::at(Seq(1), Seq(3), false);
    assert_eq!(log.get(&room, &user(1)).await.unwrap(), unchanged);
    other.execute_batch("ROLLBACK").unwrap();
    let marker = log.advance(&room, &user(1), Seq(2)).await.unwrap();
    assert_eq!(marker, ReadMarker::at(Seq(2), Seq(3), true));
    log.close().await;
}

#[tokio::test]
async fn setting_a_marker_in_a_room_never_written_stores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    log.advance(&key("/", "r"), &user(1), Seq(1)).await.unwrap();
    log.close().await;
    let stored: i64 = with_database(folder.path())
        .query_row(
            "SELECT (SELECT count(*) FROM rooms) + (SELECT count(*) FROM marks)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(stored, 0);
}
