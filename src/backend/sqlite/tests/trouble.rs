//! A disk that is full, a file that cannot be written, pages that are damaged: what still works, and what the node says of it.

use std::{fs, path::Path, time::Instant};

use super::{
    super::{SqliteLog, tests},
    alone, kept, ready, send,
};
use crate::{
    backend::{
        Log, PageSize, Range,
        conformance::{draft, key, named, seqs},
    },
    error::Code,
    model::Seq,
};

/// How long a node may take to notice that nothing can be written, when nobody writes.
const NOTICED: std::time::Duration = std::time::Duration::from_secs(8);

const PAGE: usize = 4096;

/// Messages of each room.
const MANY: u64 = 100;

/// What fails, by itself: nobody writes, reads or asks meanwhile.
async fn noticed(log: &SqliteLog, reason: &str) {
    let deadline = Instant::now() + NOTICED;
    while !log
        .checks
        .failing()
        .iter()
        .any(|it| it.reason.contains(reason))
    {
        assert!(Instant::now() < deadline, "{:?}", log.checks.failing());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let said = log.ready().await.unwrap_err();
    assert!(said.message().contains(reason), "{said}");
}

async fn pragma(log: &SqliteLog, text: String) {
    log.with_connection(move |db| {
        // Some answer with a row, and some do not.
        let mut statement = db.prepare(&format!("PRAGMA {text}")).unwrap();
        let mut rows = statement.query([]).unwrap();
        while rows.next().unwrap().is_some() {}
    })
    .await;
    // Whatever comes first is done first.
    let _ = log.last_offset(&key("/", "r").namespace).await;
}

async fn fills_up(log: &SqliteLog) {
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
async fn a_disk_that_fills_up_is_noticed_where_nobody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, named("r", "one")).await.unwrap();
    fills_up(&log).await;
    noticed(&log, "full").await;
    pragma(&log, "max_page_count = 1000000".into()).await;
    ready(&log).await;
    let two = send(&log, named("r", "two")).await.unwrap();
    assert_eq!(two.seq, Seq(2));
    assert!(send(&log, named("r", "one")).await.unwrap().duplicate);
    log.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_noticed_where_nobody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    send(&log, draft("r", "1")).await.unwrap();
    pragma(&log, "query_only = ON".into()).await;
    noticed(&log, "readonly").await;
    assert_eq!(seqs(&kept(&log, "r").await), [1], "reads go on");
    let refused = send(&log, draft("r", "2")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.retry_after_ms().is_some());
    pragma(&log, "query_only = OFF".into()).await;
    ready(&log).await;
    assert_eq!(send(&log, draft("r", "2")).await.unwrap().seq, Seq(2));
    log.close().await;
}

/// Writes rubbish over every leaf of a closed log's tables that has this text and none of the others.
fn damage(folder: &Path, with: &str, without: &[&str]) -> usize {
    let path = folder.join("switchboard.db");
    let mut file = fs::read(&path).unwrap();
    let has = |page: &[u8], text: &str| page.windows(text.len()).any(|at| at == text.as_bytes());
    let mut damaged = 0;
    for page in file.chunks_mut(PAGE).skip(1) {
        let is_leaf = page[0] == 0x0a;
        if is_leaf && has(page, with) && !without.iter().any(|text| has(page, text)) {
            page.fill(0xa5);
            damaged += 1;
        }
    }
    fs::write(path, file).unwrap();
    damaged
}

async fn filled(folder: &Path, rooms: &[&str]) {
    let log = alone(folder, 0);
    for room in rooms {
        for nth in 0..MANY {
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
async fn a_damaged_room_makes_nobody_else_unready() {
    let folder = tempfile::tempdir().unwrap();
    // Who looks for the end of a room may pass the first page of the next.
    let rooms = ["good", "before", "bad", "behind", "fine"];
    filled(folder.path(), &rooms).await;
    let damaged = damage(folder.path(), "of bad", &["of before", "of behind"]);
    assert!(damaged > 2, "{damaged} pages");
    let log = tests::alone(folder.path(), 0);
    for nth in 0..20 {
        let refused = read(&log, "bad").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(read(&log, "good").await.unwrap(), (MANY + nth) as usize);
        assert_eq!(read(&log, "fine").await.unwrap(), MANY as usize);
        // In one transaction, which the one for the damaged room may break.
        let [bad, good] = ["bad", "good"].map(|room| log.append(draft(room, "1")));
        let (bad, good) = tokio::join!(bad, good);
        let _ = bad.unwrap().wait().await;
        good.unwrap().wait().await.unwrap();
        log.ready().await.unwrap();
    }
    log.close().await;
}

#[tokio::test]
async fn a_log_of_which_nothing_can_be_read_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), &["only"]).await;
    assert!(damage(folder.path(), "of only", &[]) > 2);
    let log = tests::alone(folder.path(), 0);
    assert!(read(&log, "only").await.is_err());
    let said = log.ready().await.unwrap_err();
    assert!(said.message().starts_with("read fails"), "{said}");
    log.close().await;
}

#[tokio::test]
async fn a_log_in_which_nothing_can_be_stored_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), &["one", "two"]).await;
    let log = tests::alone(folder.path(), 0);
    log.ready().await.unwrap();
    // Nothing of this table can be found any more, as if its first page were rubbish.
    log.with_connection(|db| db.execute_batch("ALTER TABLE ids RENAME TO lost").unwrap())
        .await;
    for _ in 0..3 {
        assert!(send(&log, named("one", "x")).await.is_err());
    }
    noticed(&log, "no such table").await;
    log.with_connection(|db| db.execute_batch("ALTER TABLE lost RENAME TO ids").unwrap())
        .await;
    ready(&log).await;
    assert_eq!(
        send(&log, named("one", "x")).await.unwrap().seq,
        Seq(MANY + 1)
    );
    log.close().await;
}
