//! When checkpoints begin and end, and that the write-ahead log stays short under load.

use super::*;
use crate::backend::{
    Log,
    conformance::draft,
    sqlite::tests::{alone, send},
};

#[test]
fn a_checkpoint_begins_when_the_log_is_long_and_is_finished_by_the_writer() {
    let mut schedule = Schedule::default();
    assert_eq!(schedule.next(PAGES - 1, false), Step::Nothing);
    assert_eq!(schedule.next(PAGES, false), Step::Begin);
    assert_eq!(schedule.next(PAGES + 10, true), Step::Nothing);
    assert_eq!(schedule.next(PAGES + 20, false), Step::Finish);
    // It begins anew with the next commit.
    assert_eq!(schedule.next(10, false), Step::Nothing);
    assert_eq!(schedule.next(PAGES, false), Step::Begin);
}

#[test]
fn a_log_that_cannot_begin_anew_is_not_copied_again_at_once() {
    let mut schedule = Schedule::default();
    schedule.next(PAGES, false);
    assert_eq!(schedule.next(PAGES + 1, false), Step::Finish);
    assert_eq!(schedule.next(PAGES + 2, false), Step::Nothing);
    assert_eq!(schedule.next(2 * PAGES + 1, false), Step::Begin);
}

#[tokio::test]
async fn the_write_ahead_log_stays_short_while_messages_come() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    let data = format!("\"{}\"", "x".repeat(100_000));
    let wal = folder.path().join("switchboard.db-wal");
    for _ in 0..400 {
        send(&log, draft("r", &data)).await.unwrap();
        let pages = wal.metadata().unwrap().len() / 4096;
        assert!(pages < 3 * u64::from(PAGES), "{pages} pages");
    }
    log.close().await;
}
