//! Migration of files of earlier versions.

pub(in crate::backend::sqlite) mod killed;
mod observed;

use std::path::Path;

use super::super::tests::{alone, read_all, send, with_database};
use crate::{
    backend::{
        Log, PageSize, Range, SessionStore,
        conformance::{draft, key, named, seqs, sessions::session},
    },
    model::{Namespace, Offset, Seq},
};

/// The tables of version 1.
const TABLES_OF_VERSION_1: &str = include_str!("version_1.sql");

/// Rooms of all kinds: complete, trimmed, with all messages deleted, with a policy that keeps none, and never written to.
const ROOMS: &str = r#"
    INSERT INTO namespaces VALUES (1, '/', 40), (2, '/chat', 7);
    INSERT INTO rooms VALUES
        (1, 1, 'complete', 'e1', 2, 1, 1711000000000), (2, 1, 'trimmed', 'e2', 5, 4, 1711000000000),
        (3, 1, 'empty', 'e3', 9, 10, 1711000000000), (4, 1, 'none', 'e4', 3, 4, 1711000000000),
        (5, 2, 'read', 'e5', 0, 1, 1711000000000);
    INSERT INTO messages VALUES
        (1, 1, 10, 1711000000000, 'one', 'message', 'alice', 'Alice', '1'),
        (1, 2, 20, 1711000000000, 'two', 'message', NULL, NULL, '2'),
        (2, 4, 30, 1711000000000, 'four', 'message', NULL, NULL, '4'),
        (2, 5, 32, 1711000000000, 'five', 'message', NULL, NULL, '5'),
        (4, 1, 5, 1711000000000, 'left', 'message', NULL, NULL, '1');
    INSERT INTO ids VALUES (1, 'one', 1, 1711000000000, 1711000000000);
    "#;

/// A file of version 1.
fn create_version_1(folder: &Path) {
    let db = with_database(folder);
    db.execute_batch(TABLES_OF_VERSION_1).unwrap();
    db.execute_batch(ROOMS).unwrap();
}

fn schema(folder: &Path) -> Vec<(String, i64, String, String)> {
    with_database(folder)
        .prepare(
            r#"SELECT tables.name, columns.pk, columns.name, columns.type
                   FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
                   WHERE tables.type IN ('table', 'view', 'index') ORDER BY 1, 3"#,
        )
        .unwrap()
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap()
        .map(|row| row.unwrap())
        .collect()
}

#[tokio::test]
async fn a_file_of_version_1_keeps_its_messages_and_its_numbering_continues() {
    let folder = tempfile::tempdir().unwrap();
    create_version_1(folder.path());
    let log = alone(folder.path(), 0);
    let page = read_all(&log, "complete").await;
    assert_eq!((page.epoch.as_str(), seqs(&page)), ("e1", vec![1, 2]));
    assert_eq!(
        page.messages[0].from.as_ref().unwrap().user.as_str(),
        "alice"
    );
    assert!(
        send(&log, named("complete", "one"))
            .await
            .unwrap()
            .duplicate
    );
    let appended = send(&log, draft("complete", "3")).await.unwrap();
    assert_eq!((appended.seq, appended.epoch.as_str()), (Seq(3), "e1"));
    let page = read_all(&log, "complete").await;
    assert_eq!(page.messages[2].offset, Offset(41));
    assert_eq!(
        log.last_offset(&Namespace::root()).await.unwrap(),
        Offset(41)
    );
    let alice = session(&[("complete", 41)]);
    log.save(alice.clone()).await.unwrap();
    log.close().await;

    let log = alone(folder.path(), 0);
    assert_eq!(seqs(&read_all(&log, "complete").await), [1, 2, 3]);
    assert_eq!(log.find(alice.pid).await.unwrap(), Some(alice));
    log.close().await;
}

#[tokio::test]
async fn messages_deleted_in_version_1_have_the_highest_possible_offset() {
    let folder = tempfile::tempdir().unwrap();
    create_version_1(folder.path());
    let log = alone(folder.path(), 0);
    // A room, its last offset, the highest deleted offset, and the offsets that are stored.
    let rooms: [(_, _, _, &[u64]); 4] = [
        ("complete", 20, 0, &[10, 20]),
        ("trimmed", 32, 29, &[30, 32]),
        ("empty", 40, 40, &[]),
        ("none", 40, 40, &[]),
    ];
    let size = PageSize {
        messages: 10,
        bytes: 1000,
    };
    for (room, last, deleted, offsets) in rooms {
        assert_eq!(read_all(&log, room).await.offset, Offset(last), "{room}");
        let key = key("/", room);
        for after in 0..=40 {
            let missed = log.missed(&key, Offset(after), Offset(99), size);
            let missed = missed.await.unwrap();
            let found: Vec<_> = missed.messages.iter().map(|it| it.offset.0).collect();
            let expected: Vec<_> = offsets.iter().copied().filter(|it| *it > after).collect();
            assert_eq!(
                (found, missed.complete),
                (expected, deleted <= after),
                "{room} after {after}"
            );
        }
    }
    let page = log
        .read(&key("/chat", "read"), Range::Last, size)
        .await
        .unwrap();
    assert_eq!((page.epoch.as_str(), page.offset), ("e5", Offset(0)));
    log.close().await;
}

#[tokio::test]
async fn a_migrated_file_has_the_schema_of_a_new_one() {
    let new = tempfile::tempdir().unwrap();
    alone(new.path(), 0).close().await;
    assert!(!schema(new.path()).is_empty());
    let before_8 =
        "DROP TABLE documents; DROP TABLE document_updates; DROP TABLE document_snapshots;";
    let before_7 = format!(
        "{before_8} DROP TABLE outbox; DROP TABLE numbering; DROP TABLE members; DROP TABLE endpoints;"
    );
    let before_6 = format!("{before_7} DROP TABLE clock;");
    let before_5 = format!("{before_6} DROP TABLE forgotten;");
    let before_4 = format!("{before_5} ALTER TABLE sessions DROP COLUMN application;");
    for (version, before) in [
        (2, format!("{before_4} DROP TABLE life;")),
        (3, before_4.clone()),
        (4, before_5.clone()),
        (5, before_6.clone()),
        (6, before_7.clone()),
        (7, before_8.to_owned()),
    ] {
        let old = tempfile::tempdir().unwrap();
        alone(old.path(), 0).close().await;
        with_database(old.path())
            .execute_batch(&format!("{before} PRAGMA user_version = {version};"))
            .unwrap();
        alone(old.path(), 0).close().await;
        assert_eq!(schema(old.path()), schema(new.path()), "{version}");
    }
    let first = tempfile::tempdir().unwrap();
    create_version_1(first.path());
    alone(first.path(), 0).close().await;
    assert_eq!(schema(first.path()), schema(new.path()));
}

#[tokio::test]
async fn a_log_keeps_its_incarnation_and_another_log_has_another() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut incarnations = Vec::new();
    for folder in [&one, &one, &other] {
        let log = alone(folder.path(), 0);
        incarnations.push(log.incarnation().clone());
        log.close().await;
    }
    assert_eq!(incarnations[0], incarnations[1]);
    assert_ne!(incarnations[0], incarnations[2]);
}
