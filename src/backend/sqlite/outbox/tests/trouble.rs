//! A full disk and corrupt pages: nothing is lost that can be stored later, and no number is given twice.

use super::{alone, events, last, lines, send, set, told};
use crate::{
    backend::{
        Log, Outbox,
        conformance::draft,
        sqlite::tests::{
            ready,
            trouble::{corrupt_pages, fill_disk, pragma},
        },
    },
    error::Code,
};

#[tokio::test]
async fn members_that_are_set_while_the_disk_is_full_are_stored_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    set(&log, "r", "alice", true);
    send(&log, told("r", "1")).await.unwrap();
    let before = lines(&log).await;
    let number = last(&log).await;
    fill_disk(&log).await;
    for nth in 0..3000 {
        set(&log, "r", &format!("user{nth}"), true);
    }
    set(&log, "r", "alice", false);
    let large = format!("\"{}\"", "x".repeat(10_000));
    for _ in 0..3 {
        let error = send(&log, told("r", &large)).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }
    let saved = log.save_endpoint("one", large).await;
    assert_eq!(saved.unwrap_err().code(), Code::Unavailable);
    assert!(log.ready().await.is_err());
    let page = log.read_events(0, number, 1 << 20, 0).await.unwrap();
    assert!(page.events.len() < 3001, "the disk is full");

    pragma(&log, "max_page_count = 1000000".into()).await;
    ready(&log).await;
    // Whether or not anybody sends something.
    while events(&log).await.len() < before.len() + 3001 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    send(&log, told("r", "2")).await.unwrap();
    let lines = lines(&log).await;
    for nth in 0..3000 {
        let line = format!("member.joined r user{nth}");
        assert_eq!(lines[before.len() + nth], line);
    }
    assert_eq!(
        lines[before.len() + 3000..],
        ["member.left r alice", "message r 2"]
    );
    assert_eq!(last(&log).await, number + 3002);
    log.close().await;
}

#[tokio::test]
async fn members_that_cannot_be_stored_leave_messages_alone() {
    // Probes write to the first page.
    for (user, is_ready) in [("user00001", false), ("user00499", true)] {
        let folder = tempfile::tempdir().unwrap();
        let log = alone(folder.path(), 0);
        for nth in 0..500 {
            set(&log, "r", &format!("user{nth:05}"), true);
        }
        send(&log, draft("s", "1")).await.unwrap();
        log.close().await;
        // Pages of the outbox have the same users, and are of another kind.
        assert!(corrupt_pages(folder.path(), user, &[]) > 0);
        let log = alone(folder.path(), 0);
        for _ in 0..20 {
            set(&log, "r", user, true);
            set(&log, "r", user, false);
            send(&log, told("s", "2")).await.unwrap();
        }
        assert_eq!(log.ready().await.is_ok(), is_ready, "{user}");
        log.close().await;
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_does_not_hide_those_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    let padding = "x".repeat(300);
    for nth in 0..100 {
        let message = told("bad", &format!("\"of bad {padding}\""));
        send(&log, message).await.unwrap();
        send(&log, told("good", &nth.to_string())).await.unwrap();
    }
    log.close().await;
    assert!(corrupt_pages(folder.path(), "of bad", &[]) > 2);
    let log = alone(folder.path(), 0);
    let lines = lines(&log).await;
    assert_eq!(lines.len(), 200);
    assert!(lines.contains(&"message bad -".to_owned()));
    assert_eq!(lines[199], "message good 99");
    log.close().await;
}
