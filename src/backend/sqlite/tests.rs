//! What only the embedded log guarantees: it reopens as it was closed, and survives failures of its file.

use std::path::Path;

use rusqlite::Connection;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{commands::WriteCommand, *};
use crate::{
    backend::{
        Bus, DocumentStore, Draft, Log, Page, PageSize, Range,
        conformance::{LogUnderTest, ManualClock, draft, key, named, policy, seqs},
    },
    error::{Code, Result},
    model::{Seq, Timestamp},
};

mod jumps;
pub(in crate::backend::sqlite) mod trouble;

/// Short, so that a test of a file in use need not wait long.
const SHORT_BUSY_TIMEOUT: Duration = Duration::from_millis(50);

pub(in crate::backend) fn open(
    config: SqliteConfig,
    clock: Clock,
) -> (Arc<dyn LogUnderTest>, Arc<dyn Bus>, Deliveries) {
    let (log, bus, deliveries) = open_with(config, BUSY_TIMEOUT, Some(clock)).unwrap();
    (Arc::new(log), Arc::new(bus), deliveries)
}

#[async_trait]
impl LogUnderTest for SqliteLog {
    async fn trim_all(&self, now: Timestamp) {
        self.trim(now).await.unwrap();
    }

    async fn stored(&self) -> usize {
        let (reply, count) = oneshot::channel();
        self.with_connection(move |db| {
            let count = |table: &str| -> i64 {
                let count = format!("SELECT count(*) FROM {table}");
                db.query_row(&count, [], |row| row.get(0)).unwrap()
            };
            let tables = [
                "namespaces",
                "rooms",
                "messages",
                "ids",
                "marks",
                "sessions",
                "forgotten",
                "outbox",
                "members",
                "endpoints",
                "documents",
                "document_updates",
                "document_snapshots",
            ];
            let _ = reply.send(tables.into_iter().map(count).sum::<i64>());
        })
        .await;
        usize::try_from(count.await.unwrap()).unwrap()
    }

    fn documents(&self) -> &dyn DocumentStore {
        self
    }
}

/// A log with a short busy timeout, whose deliveries are dropped.
pub(super) fn alone(folder: &Path, hot_bytes: usize) -> SqliteLog {
    let config = SqliteConfig {
        hot_bytes,
        ..SqliteConfig::new(folder)
    };
    open_with(config, SHORT_BUSY_TIMEOUT, Some(ManualClock::new().clock()))
        .unwrap()
        .0
}

/// A log with a given clock, whose deliveries are dropped.
pub(super) fn at(folder: &Path, clock: &ManualClock) -> Result<SqliteLog, OpenError> {
    let opened = open_with(
        SqliteConfig::new(folder),
        SHORT_BUSY_TIMEOUT,
        Some(clock.clock()),
    );
    opened.map(|(log, ..)| log)
}

/// As [`at`], after another log was dropped: its threads hold the folder until they have ended.
pub(super) async fn when_free(folder: &Path, clock: &ManualClock) -> SqliteLog {
    loop {
        match at(folder, clock) {
            Ok(log) => return log,
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn error_of(config: SqliteConfig) -> OpenError {
    match open_with(config, SHORT_BUSY_TIMEOUT, Some(ManualClock::new().clock())) {
        Ok(_) => panic!("the log opened"),
        Err(error) => error,
    }
}

pub(super) async fn send(log: &SqliteLog, draft: Draft) -> Result<crate::backend::Appended> {
    log.append(draft).await?.wait().await
}

pub(super) async fn read_all(log: &SqliteLog, room: &str) -> Page {
    let size = PageSize {
        messages: usize::MAX,
        bytes: usize::MAX,
    };
    log.read(&key("/", room), Range::After(Seq(0)), size)
        .await
        .unwrap()
}

impl SqliteLog {
    /// Runs something on the writer's connection before its next command.
    pub(super) async fn with_connection(
        &self,
        with_connection: impl FnOnce(&Connection) + Send + 'static,
    ) {
        assert!(
            self.queue
                .send(WriteCommand::WithConnection(Box::new(with_connection)))
                .await
                .is_ok()
        );
    }
}

/// Waits until the log is ready.
pub(super) async fn ready(log: &SqliteLog) {
    while log.ready().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) fn with_database(folder: &Path) -> Connection {
    Connection::open(folder.join("switchboard.db")).unwrap()
}

#[tokio::test]
async fn a_reopened_log_continues_where_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 1 << 20);
    let first = send(&log, named("r", "one")).await.unwrap();
    send(&log, draft("s", r#""ü""#)).await.unwrap();
    let seen = read_all(&log, "seen").await.epoch;
    log.close().await;

    let log = alone(folder.path(), 1 << 20);
    assert_eq!(read_all(&log, "seen").await.epoch, seen);
    let page = read_all(&log, "r").await;
    assert_eq!(
        (page.epoch.clone(), seqs(&page)),
        (first.epoch.clone(), vec![1])
    );
    assert_eq!(read_all(&log, "s").await.messages[0].data.get(), r#""ü""#);
    let again = send(&log, named("r", "one")).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(
        (again.seq, again.ts, again.epoch),
        (first.seq, first.ts, first.epoch)
    );
    send(&log, named("r", "two")).await.unwrap();
    let page = read_all(&log, "r").await;
    let offsets: Vec<_> = page
        .messages
        .iter()
        .map(|message| message.offset.0)
        .collect();
    assert_eq!((seqs(&page), offsets), (vec![1, 2], vec![1, 3]));
    assert_eq!(send(&log, draft("seen", "1")).await.unwrap().epoch, seen);
    log.close().await;
}

#[tokio::test]
async fn a_closed_log_is_one_readable_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, draft("lobby", r#"{"text":"hello"}"#))
        .await
        .unwrap();
    log.close().await;
    let wal = folder.path().join("switchboard.db-wal");
    assert!(!wal.exists() || wal.metadata().unwrap().len() == 0);
    let row: (String, i64, String) = with_database(folder.path())
        .query_row("SELECT room, seq, data FROM log", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(row, ("lobby".into(), 1, r#"{"text":"hello"}"#.into()));
}

#[tokio::test]
async fn a_log_dropped_without_closing_keeps_what_was_settled() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    let appended = send(&log, draft("r", "1")).await.unwrap();
    drop(log);
    let log = when_free(folder.path(), &ManualClock::new()).await;
    let page = read_all(&log, "r").await;
    assert_eq!((page.epoch.clone(), seqs(&page)), (appended.epoch, vec![1]));
}

#[tokio::test]
async fn reads_are_served_while_the_writer_is_blocked() {
    let folder = tempfile::tempdir().unwrap();
    for hot_bytes in [0, 1 << 20] {
        let log = alone(folder.path(), hot_bytes);
        let room = format!("r{hot_bytes}");
        send(&log, draft(&room, "1")).await.unwrap();
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        log.with_connection(move |_| {
            let _ = blocked.recv();
        })
        .await;
        let waiting = log.append(draft(&room, "2")).await.unwrap();
        for _ in 0..100 {
            assert_eq!(seqs(&read_all(&log, &room).await), [1]);
        }
        drop(release);
        assert_eq!(waiting.wait().await.unwrap().seq, Seq(2));
        assert_eq!(seqs(&read_all(&log, &room).await), [1, 2]);
        log.close().await;
    }
}

#[tokio::test]
async fn appends_fail_while_another_process_holds_the_lock_and_work_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, named("r", "one")).await.unwrap();
    let other = with_database(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(seqs(&read_all(&log, "r").await), [1]);
    let error = send(&log, named("r", "two")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        std::error::Error::source(&error).is_some(),
        "the error has its cause"
    );
    assert_eq!(log.ready().await.unwrap_err().code(), Code::Unavailable);

    other.execute_batch("ROLLBACK").unwrap();
    ready(&log).await;
    let appended = send(&log, named("r", "two")).await.unwrap();
    assert_eq!((appended.seq, appended.duplicate), (Seq(2), false));
    assert_eq!(seqs(&read_all(&log, "r").await), [1, 2]);
    log.close().await;
}

#[tokio::test]
async fn messages_rejected_by_a_full_disk_leave_no_gap_in_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 1 << 20);
    send(&log, draft("r", "1")).await.unwrap();
    log.with_connection(|db| {
        let pages: i64 = db
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        db.query_row(
            &format!("PRAGMA max_page_count = {}", pages + 2),
            [],
            |_| Ok(()),
        )
        .unwrap();
    })
    .await;
    let large = format!("\"{}\"", "x".repeat(60_000));
    for _ in 0..3 {
        let error = send(&log, draft("r", &large)).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(log.ready().await.is_err());
    }
    let page = read_all(&log, "r").await;
    assert_eq!(
        (page.head, seqs(&page)),
        (Seq(1), vec![1]),
        "a rejected message is not read"
    );

    log.with_connection(|db| {
        db.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(()))
            .unwrap();
    })
    .await;
    assert_eq!(send(&log, draft("r", &large)).await.unwrap().seq, Seq(2));
    ready(&log).await;
    assert_eq!(seqs(&read_all(&log, "r").await), [1, 2]);
    let offsets: Vec<_> = read_all(&log, "r")
        .await
        .messages
        .iter()
        .map(|message| message.offset.0)
        .collect();
    assert_eq!(offsets, [1, 2]);
    log.close().await;
}

#[tokio::test]
async fn opening_a_log_in_use_fails_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    let error = error_of(SqliteConfig::new(folder.path()));
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("its own folder"), "{error}");
    log.close().await;
    alone(folder.path(), 0).close().await;
}

#[tokio::test]
async fn a_file_that_is_not_a_log_or_of_a_newer_version_is_rejected_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switchboard.db");
    let garbage = "not a database ".repeat(1000);
    std::fs::write(&file, &garbage).unwrap();
    let error = error_of(SqliteConfig::new(folder.path()));
    assert!(
        error.to_string().contains("not a log, or is damaged"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), garbage);

    std::fs::remove_file(&file).unwrap();
    with_database(folder.path())
        .execute_batch("CREATE TABLE recipes (x)")
        .unwrap();
    let error = error_of(SqliteConfig::new(folder.path()));
    assert!(matches!(error, OpenError::NotALog { .. }), "{error:?}");

    std::fs::remove_file(&file).unwrap();
    alone(folder.path(), 0).close().await;
    with_database(folder.path())
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let error = error_of(SqliteConfig::new(folder.path()));
    assert!(
        error.to_string().contains("newer version (schema 99"),
        "{error}"
    );

    let error = error_of(SqliteConfig::new(file.join("under a file")));
    assert!(error.to_string().contains("make it writable"), "{error}");
}

#[tokio::test]
async fn queued_drafts_are_stored_in_few_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(alone(folder.path(), 1 << 20));
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    log.with_connection(move |_| {
        let _ = blocked.recv();
    })
    .await;
    let mut receipts = Vec::new();
    for nth in 0..2000 {
        receipts.push(
            log.append(draft(&format!("r{}", nth % 10), "1"))
                .await
                .unwrap(),
        );
    }
    let before = log.health.commits();
    drop(release);
    for receipt in receipts {
        receipt.wait().await.unwrap();
    }
    let commits = log.health.commits() - before;
    assert!(commits <= 20, "{commits} commits for 2000 messages");
    log.close().await;
}

#[tokio::test]
async fn the_hot_cache_stays_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 10_000);
    let data = format!("\"{}\"", "x".repeat(500));
    for nth in 0..100 {
        send(&log, draft(&format!("r{}", nth % 7), &data))
            .await
            .unwrap();
        assert!(log.cache.bytes() <= 10_000);
    }
    assert!(log.cache.bytes() > 5_000, "the cache is used");
    log.close().await;
}

#[tokio::test]
async fn limits_changed_between_two_runs_apply_to_messages_stored_before() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let config = |messages| SqliteConfig {
        retention: Retention {
            default: policy(messages, Duration::from_secs(3600)),
            policies: Vec::new(),
            rules: Vec::new(),
        },
        ..SqliteConfig::new(folder.path())
    };
    for (limit, appends, expected) in [(1000, 700, 1..701), (0, 1, 0..0), (5, 2, 702..704)] {
        let (log, ..) = open_with(config(limit), BUSY_TIMEOUT, Some(clock.clock())).unwrap();
        for _ in 0..appends {
            send(&log, draft("r", "1")).await.unwrap();
        }
        let expected: Vec<u64> = expected.collect();
        assert_eq!(seqs(&read_all(&log, "r").await), expected, "limit {limit}");
        log.trim(clock.now()).await.unwrap();
        assert_eq!(
            seqs(&read_all(&log, "r").await),
            expected,
            "limit {limit}, trimmed"
        );
        log.close().await;
    }
    let left: i64 = with_database(folder.path())
        .query_row("SELECT count(*) FROM messages", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 2);
}
