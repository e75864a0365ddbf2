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
async fn marks_are_there_when_the_log_is_opened_again() {
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
        let mark = log.get(&room, &user(nth)).await.unwrap();
        assert_eq!(mark, ReadMarker::at(Seq(nth), Seq(6), false));
    }
    let mark = log.advance(&room, &user(4), Seq(3)).await.unwrap();
    assert_eq!(mark, ReadMarker::at(Seq(4), Seq(6), false));
    log.close().await;
}

#[tokio::test]
async fn marks_that_wait_are_stored_together_and_reading_them_does_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(alone(folder.path(), 0));
    let room = key("/", "r");
    for _ in 0..1000 {
        // Stored all the same when nobody waits for the receipt.
        let _ = log.append(draft("r", "1")).await.unwrap();
    }
    assert_eq!(
        log.advance(&room, &user(1), Seq(1)).await.unwrap().unread,
        999
    );
    let (release, stuck) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    log.with_connection(move |_| {
        begun.send(()).unwrap();
        let _ = stuck.recv();
    })
    .await;
    // From here on nothing is taken out of the queue.
    begins.await.unwrap();
    let before = log.health.commits();
    let waiting = log.clone();
    let waiting = tokio::spawn(async move {
        let room = key("/", "r");
        let users: Vec<_> = (1..=1000).map(user).collect();
        let marks = users.iter().zip(1..);
        let marks = marks.map(|(user, seq)| waiting.advance(&room, user, Seq(seq)));
        // Otherwise the runtime would interrupt it with places in the queue taken and nothing put there.
        tokio::task::unconstrained(join_all(marks)).await
    });
    let all_wait = async {
        while MAX_QUEUED_COMMANDS - log.queue.capacity() < 1000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_wait)
        .await
        .unwrap();
    let mark = log.get(&room, &user(1000)).await.unwrap();
    assert_eq!(mark, ReadMarker::at(Seq(0), Seq(1000), false));
    drop(release);
    for (mark, seq) in waiting.await.unwrap().into_iter().zip(1..) {
        assert_eq!(mark.unwrap(), ReadMarker::at(Seq(seq), Seq(1000), seq > 1));
    }
    let commits = log.health.commits() - before;
    assert!(commits <= 3, "{commits} commits for 1000 marks");
    log.close().await;
}

#[tokio::test]
async fn a_mark_that_cannot_be_stored_is_refused_and_stays_where_it_was() {
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
    let stands = ReadMarker::at(Seq(1), Seq(3), false);
    assert_eq!(log.get(&room, &user(1)).await.unwrap(), stands);
    other.execute_batch("ROLLBACK").unwrap();
    let mark = log.advance(&room, &user(1), Seq(2)).await.unwrap();
    assert_eq!(mark, ReadMarker::at(Seq(2), Seq(3), true));
    log.close().await;
}

#[tokio::test]
async fn marking_a_room_that_was_never_written_stores_nothing() {
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
