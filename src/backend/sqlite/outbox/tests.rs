//! The outbox over restarts, kills, copies, a full disk and damage.

mod killed;
mod members;
mod trouble;

use std::path::Path;

use super::super::tests::{alone, at, send, with_database};
use crate::{
    backend::{
        Draft, Log, MessageEntries, Outbox, OutboxEvent,
        conformance::{ManualClock, draft, key},
        sqlite::{SqliteConfig, compact::compact, log::SqliteLog},
    },
    model::UserId,
};

fn told(room: &str, data: &str) -> Draft {
    Draft {
        entries: MessageEntries {
            message: true,
            unseen: false,
        },
        ..draft(room, data)
    }
}

fn set(log: &SqliteLog, room: &str, user: &str, is_member: bool) {
    log.set_member(&key("/", room), &UserId::parse(user).unwrap(), is_member);
}

/// All events, which have no gaps.
async fn events(log: &SqliteLog) -> Vec<OutboxEvent> {
    let page = log.read_events(0, 0, 1 << 20, 1 << 30).await.unwrap();
    let first = page.last + 1 - page.events.len() as u64;
    for (event, number) in page.events.iter().zip(first..) {
        assert_eq!(event.number, number);
    }
    page.events
}

/// All events in words, once what was set before is stored.
async fn lines(log: &SqliteLog) -> Vec<String> {
    log.save_endpoint("barrier", String::new()).await.unwrap();
    let line = |event: &OutboxEvent| {
        let of = match (&event.user, &event.message) {
            (Some(user), _) => user.to_string(),
            (None, Some(message)) => message.data.get().to_owned(),
            (None, None) => "-".to_owned(),
        };
        format!("{} {} {of}", event.kind.as_str(), event.room.room)
    };
    events(log).await.iter().map(line).collect()
}

async fn last(log: &SqliteLog) -> u64 {
    log.read_events(0, 0, 0, 0).await.unwrap().last
}

#[tokio::test]
async fn numbers_rise_over_restarts_and_when_every_event_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let mut before = clock.now().0 * 1000;
    for delete in ["", "DELETE FROM outbox", "DELETE FROM outbox", ""] {
        let log = at(folder.path(), &clock).unwrap();
        assert_eq!(last(&log).await, before);
        for nth in 0..3 {
            send(&log, told("r", &nth.to_string())).await.unwrap();
        }
        let events = events(&log).await;
        assert_eq!(events.last().unwrap().number, before + 3);
        before += 3;
        log.close().await;
        with_database(folder.path()).execute_batch(delete).unwrap();
    }
}

#[tokio::test]
async fn a_restored_copy_gives_no_number_again() {
    let folder = tempfile::tempdir().unwrap();
    let [file, copy] = ["switchboard.db", "copy"].map(|name| folder.path().join(name));
    let clock = ManualClock::new();
    let log = at(folder.path(), &clock).unwrap();
    send(&log, told("r", "1")).await.unwrap();
    log.close().await;
    std::fs::copy(&file, &copy).unwrap();

    let log = at(folder.path(), &clock).unwrap();
    send(&log, told("r", "2")).await.unwrap();
    let before = last(&log).await;
    log.close().await;
    std::fs::copy(&copy, &file).unwrap();

    clock.advance(std::time::Duration::from_secs(1));
    let log = at(folder.path(), &clock).unwrap();
    send(&log, told("r", "3")).await.unwrap();
    assert_eq!(lines(&log).await, ["message r 3"]);
    assert!(last(&log).await > before);
    log.close().await;
}

#[tokio::test]
async fn an_outbox_is_the_same_after_a_restart_and_after_a_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, told("r", "1")).await.unwrap();
    set(&log, "r", "alice", true);
    let before = lines(&log).await;
    let number = last(&log).await;
    log.save_endpoint("one", "here".to_owned()).await.unwrap();
    log.close().await;
    for _ in 0..2 {
        let log = alone(folder.path(), 0);
        assert_eq!(lines(&log).await, before);
        assert_eq!(last(&log).await, number);
        let record = log.claim_endpoint("one").await.unwrap();
        assert_eq!(record.state.as_deref(), Some("here"));
        log.close().await;
        compact(&keeping(folder.path()), &std::sync::Arc::default()).unwrap();
    }
    let log = alone(folder.path(), 0);
    set(&log, "r", "alice", true);
    set(&log, "r", "bob", true);
    assert_eq!(lines(&log).await.len(), before.len() + 1);
    assert_eq!(last(&log).await, number + 1);
    log.close().await;
}

/// A configuration by which nothing is too old, whatever the time is.
fn keeping(folder: &Path) -> SqliteConfig {
    let mut config = SqliteConfig::new(folder);
    config.retention.default.age = std::time::Duration::from_secs(100 * 365 * 24 * 3600);
    config
}

#[tokio::test]
async fn people_can_read_the_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, told("lobby", "1")).await.unwrap();
    set(&log, "user:alice", "alice", true);
    log.close().await;
    let db = with_database(folder.path());
    let mut statement = db
        .prepare("SELECT concat_ws(' ', kind, namespace, room, seq, user) FROM outbox")
        .unwrap();
    let rows: Result<Vec<String>, _> = statement.query_map([], |row| row.get(0)).unwrap().collect();
    assert_eq!(
        rows.unwrap(),
        ["message / lobby 1", "user.online / user:alice alice"]
    );
}
