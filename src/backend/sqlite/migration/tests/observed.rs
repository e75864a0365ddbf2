//! How far a migration says it is, and a migration that is interrupted.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    super::{super::long_statements, work},
    TABLES_OF_VERSION_1, create_version_1,
    killed::{contents, version},
};
use crate::{
    backend::sqlite::{OpenError, migrate, schema::migrate_from, tests::with_database},
    progress::Progress,
};

/// A file of version 1 with this many rooms, each with this many messages.
fn create_large(folder: &Path, rooms: u64, messages: u64) {
    let db = with_database(folder);
    db.execute_batch(TABLES_OF_VERSION_1).unwrap();
    db.execute_batch(&format!(
        "BEGIN;
         INSERT INTO namespaces VALUES (1, '/', {rooms} * {messages});
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rooms})
         INSERT INTO rooms SELECT n, 1, 'room ' || n, 'e' || n, {messages}, 1, 1711000000000 FROM numbers;
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {messages})
         INSERT INTO messages SELECT rooms.id, n, (rooms.id - 1) * {messages} + n, ts, 'id', 'message', 'alice', 'Alice', '1'
         FROM rooms CROSS JOIN numbers;
         COMMIT;"
    ))
    .unwrap();
}

#[test]
fn the_time_of_a_migration_is_estimated_well() {
    for (rooms, messages) in [(10, 20_000), (20_000, 1), (20_000, 10)] {
        let folder = tempfile::tempdir().unwrap();
        create_large(folder.path(), rooms, messages);
        let mut db = with_database(folder.path());
        let work = work(&db, 1).unwrap();
        assert_eq!(work.rows, rooms * messages + rooms);
        let counted = Arc::new(AtomicU64::new(0));
        let count = counted.clone();
        let done = move |operations| {
            count.store(operations, Ordering::Relaxed);
            0
        };
        long_statements::run(&mut db, &Arc::default(), done, |db| migrate_from(db, 1)).unwrap();
        let needed = counted.load(Ordering::Relaxed);
        let wrong = work.operations.abs_diff(needed) * 100 / needed;
        assert!(
            wrong <= 15,
            "{rooms} rooms with {messages} messages: {needed} operations, {} expected",
            work.operations
        );
    }
}

#[test]
fn a_migration_says_how_many_rows_are_done() {
    let folder = tempfile::tempdir().unwrap();
    create_version_1(folder.path());
    let work = work(&with_database(folder.path()), 1).unwrap();
    assert_eq!(work.rows, 9);
    let all = work.pages + work.operations;
    let rows = [0, work.pages, all, all + 1, 2 * all].map(|it| work.rows_after(it));
    // A file this small is mostly pages.
    assert_eq!(rows, [0, 7, 9, 9, 9]);
}

#[test]
fn a_migration_that_is_interrupted_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    create_large(folder.path(), 1000, 10);
    let before = with_database(folder.path())
        .query_row(
            "SELECT count(*), sum(length(sql)) FROM sqlite_schema",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )
        .unwrap();
    let progress = Arc::new(Progress::default());
    progress.cancel();
    let error = migrate(folder.path(), &progress).unwrap_err();
    assert!(matches!(error, OpenError::Interrupted { .. }), "{error:?}");
    assert!(error.to_string().contains("as it was before"), "{error}");
    assert_eq!(version(folder.path()), 1);
    let after = with_database(folder.path())
        .query_row(
            "SELECT count(*), sum(length(sql)) FROM sqlite_schema",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(before, after);

    migrate(folder.path(), &Arc::default()).unwrap();
    assert_eq!(contents(folder.path())[0], "ok");
    assert!(version(folder.path()) > 1);
}

#[test]
fn a_folder_without_a_log_stays_empty() {
    let folder = tempfile::tempdir().unwrap();
    migrate(folder.path(), &Arc::default()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
