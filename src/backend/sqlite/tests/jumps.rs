//! A system clock that jumps: nothing is deleted early.

use std::{path::Path, time::Duration};

use super::super::{SqliteConfig, log::SqliteLog, open_with, tables::log_state};
use super::{SHORT_BUSY_TIMEOUT, read_all, send, with_database};
use crate::{
    backend::{
        Log,
        clock::testing::FakeClock,
        conformance::{draft, named, seqs},
        retention::ROOM_TOUCH_INTERVAL,
    },
    model::Seq,
};

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn opened(folder: &Path, machine: &FakeClock) -> SqliteLog {
    let config = SqliteConfig {
        hot_bytes: 0,
        ..SqliteConfig::new(folder)
    };
    // As `open` does without a clock of the test.
    let saved = match folder.join("switchboard.db").exists() {
        true => log_state::retention_clock(&with_database(folder)).unwrap(),
        false => None,
    };
    let opened = open_with(config, SHORT_BUSY_TIMEOUT, Some(machine.clock(saved)));
    opened.unwrap().0
}

/// Trims all rooms by the log's own clock.
async fn trim_all(log: &SqliteLog) {
    let now = (log.clock)();
    let trim = |reply| super::super::commands::WriteCommand::Trim { now, reply };
    while log.request(trim).await.unwrap() {}
}

#[tokio::test]
async fn a_clock_a_year_ahead_for_a_minute_deletes_nothing_and_changes_no_timestamps() {
    let folder = tempfile::tempdir().unwrap();
    let machine = FakeClock::new();
    let log = opened(folder.path(), &machine);
    let one = send(&log, named("r", "one")).await.unwrap();
    machine.pass(MINUTE);
    machine.jump(YEAR);
    trim_all(&log).await;
    let two = send(&log, draft("r", "2")).await.unwrap();
    assert_eq!(one.ts.until(two.ts), MINUTE);
    assert!(send(&log, named("r", "one")).await.unwrap().duplicate);
    machine.pass(MINUTE);
    trim_all(&log).await;
    machine.jump_back(YEAR);
    let three = send(&log, draft("r", "3")).await.unwrap();
    assert_eq!((three.seq, one.ts.until(three.ts)), (Seq(3), 2 * MINUTE));
    assert_eq!(seqs(&read_all(&log, "r").await), [1, 2, 3]);
    log.close().await;
}

#[tokio::test]
async fn a_log_that_is_opened_with_a_clock_a_year_ahead_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let machine = FakeClock::new();
    let log = opened(folder.path(), &machine);
    send(&log, draft("r", "1")).await.unwrap();
    log.close().await;

    machine.jump(YEAR);
    // Repeatedly, with a message stored each time.
    for seq in 2..5 {
        let log = opened(folder.path(), &machine);
        send(&log, draft("other", "1")).await.unwrap();
        machine.pass(60 * MINUTE);
        trim_all(&log).await;
        assert_eq!(send(&log, draft("r", "1")).await.unwrap().seq, Seq(seq));
        log.close().await;
    }
    machine.jump_back(YEAR);
    let log = opened(folder.path(), &machine);
    trim_all(&log).await;
    assert_eq!(seqs(&read_all(&log, "r").await), [1, 2, 3, 4]);
    log.close().await;
}

#[tokio::test]
async fn expired_messages_are_deleted_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let machine = FakeClock::new();
    let log = opened(folder.path(), &machine);
    send(&log, draft("r", "1")).await.unwrap();
    for _ in 0..8 {
        machine.pass(ROOM_TOUCH_INTERVAL);
        trim_all(&log).await;
    }
    send(&log, draft("r", "2")).await.unwrap();
    assert_eq!(read_all(&log, "r").await.messages.len(), 1);
    log.close().await;
}
