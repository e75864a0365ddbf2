//! A full disk, a read-only file, corrupt pages: what still works, and what the readiness check returns.

use std::{fs, path::Path, time::Instant};

use super::{
    super::{SqliteLog, tests},
    alone, read_all, ready, send,
};
use crate::{
    backend::{
        Log, PageSize, Range,
        conformance::{draft, key, named, seqs},
    },
    error::Code,
    model::Seq,
};

/// The maximum time until a write failure is detected while nothing is written.
const DETECTION_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(8);

const PAGE: usize = 4096;

/// Messages in each room.
const MESSAGES: u64 = 100;

/// Waits until a check fails without any request, and checks its reason.
async fn wait_for_failure(log: &SqliteLog, reason: &str) {
    let deadline = Instant::now() + DETECTION_TIMEOUT;
    while !log
        .checks
        .failing()
        .iter()
        .any(|it| it.reason.contains(reason))
    {
        assert!(Instant::now() < deadline, "{:?}", log.checks.failing());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let error = log.ready().await.unwrap_err();
    assert!(error.message().contains(reason), "{error}");
}

pub(in crate::backend::sqlite) async fn pragma(log: &SqliteLog, text: String) {
    log.with_connection(move |db| {
        // Some return a row, and some do not.
        let mut statement = db.prepare(&format!("PRAGMA {text}")).unwrap();
        let mut rows = statement.query([]).unwrap();
        while rows.next().unwrap().is_some() {}
    })
    .await;
    // Yields to the writer.
    let _ = log.last_offset(&key("/", "r").namespace).await;
}

pub(in crate::backend::sqlite) async fn fill_disk(log: &SqliteLog) {
    log.with_connection(|db| {
        db.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))
            .and_then(|pages| {
                db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            })
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_is_detected_while_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, named("r", "one")).await.unwrap();
    fill_disk(&log).await;
    wait_for_failure(&log, "full").await;
    pragma(&log, "max_page_count = 1000000".into()).await;
    ready(&log).await;
    let two = send(&log, named("r", "two")).await.unwrap();
    assert_eq!(two.seq, Seq(2));
    assert!(send(&log, named("r", "one")).await.unwrap().duplicate);
    log.close().await;
}

#[tokio::test]
async fn a_read_only_file_is_detected_while_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, draft("r", "1")).await.unwrap();
    pragma(&log, "query_only = ON".into()).await;
    wait_for_failure(&log, "readonly").await;
    assert_eq!(seqs(&read_all(&log, "r").await), [1], "reads still work");
    let error = send(&log, draft("r", "2")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.retry_after_ms().is_some());
    pragma(&log, "query_only = OFF".into()).await;
    ready(&log).await;
    assert_eq!(send(&log, draft("r", "2")).await.unwrap().seq, Seq(2));
    log.close().await;
}

/// Overwrites every leaf page of a closed log that contains this text and none of the others. Returns how many.
pub(in crate::backend::sqlite) fn corrupt_pages(
    folder: &Path,
    with: &str,
    without: &[&str],
) -> usize {
    let path = folder.join("switchboard.db");
    let mut file = fs::read(&path).unwrap();
    let has = |page: &[u8], text: &str| page.windows(text.len()).any(|at| at == text.as_bytes());
    let mut corrupted = 0;
    for page in file.chunks_mut(PAGE).skip(1) {
        let is_leaf = page[0] == 0x0a;
        if is_leaf && has(page, with) && !without.iter().any(|text| has(page, text)) {
            page.fill(0xa5);
            corrupted += 1;
        }
    }
    fs::write(path, file).unwrap();
    corrupted
}

async fn fill_rooms(folder: &Path, rooms: &[&str]) {
    let log = alone(folder, 0);
    for room in rooms {
        for nth in 0..MESSAGES {
            let data = format!("\"of {room}, {}\"", "x".repeat(300));
            let message = crate::backend::Draft {
                id: None,
                ..draft(room, &data)
            };
            assert_eq!(send(&log, message).await.unwrap().seq, Seq(nth + 1));
        }
    }
    log.close().await;
}

async fn read(log: &SqliteLog, room: &str) -> crate::error::Result<usize> {
    let size = PageSize {
        messages: 1000,
        bytes: 1 << 20,
    };
    let page = log.read(&key("/", room), Range::Last, size).await?;
    Ok(page.messages.len())
}

#[tokio::test]
async fn a_corrupt_room_leaves_the_node_ready() {
    let folder = tempfile::tempdir().unwrap();
    // A search for the end of a room may read the first page of the next one.
    let rooms = ["good", "before", "bad", "behind", "fine"];
    fill_rooms(folder.path(), &rooms).await;
    let corrupted = corrupt_pages(folder.path(), "of bad", &["of before", "of behind"]);
    assert!(corrupted > 2, "{corrupted} pages");
    let log = tests::alone(folder.path(), 0);
    for nth in 0..20 {
        let error = read(&log, "bad").await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(read(&log, "good").await.unwrap(), (MESSAGES + nth) as usize);
        assert_eq!(read(&log, "fine").await.unwrap(), MESSAGES as usize);
        // In one transaction, which the append to the corrupt room may fail.
        let [bad, good] = ["bad", "good"].map(|room| log.append(draft(room, "1")));
        let (bad, good) = tokio::join!(bad, good);
        let _ = bad.unwrap().wait().await;
        good.unwrap().wait().await.unwrap();
        log.ready().await.unwrap();
    }
    log.close().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    fill_rooms(folder.path(), &["only"]).await;
    assert!(corrupt_pages(folder.path(), "of only", &[]) > 2);
    let log = tests::alone(folder.path(), 0);
    assert!(read(&log, "only").await.is_err());
    let error = log.ready().await.unwrap_err();
    assert!(error.message().starts_with("read fails"), "{error}");
    log.close().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    fill_rooms(folder.path(), &["one", "two"]).await;
    let log = tests::alone(folder.path(), 0);
    log.ready().await.unwrap();
    // As if the first page of the table were corrupt.
    log.with_connection(|db| db.execute_batch("ALTER TABLE ids RENAME TO lost").unwrap())
        .await;
    for _ in 0..3 {
        assert!(send(&log, named("one", "x")).await.is_err());
    }
    wait_for_failure(&log, "no such table").await;
    log.with_connection(|db| db.execute_batch("ALTER TABLE lost RENAME TO ids").unwrap())
        .await;
    ready(&log).await;
    assert_eq!(
        send(&log, named("one", "x")).await.unwrap().seq,
        Seq(MESSAGES + 1)
    );
    log.close().await;
}
