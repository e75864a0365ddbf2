//! Compaction: the file becomes smaller, and nothing else changes, whatever happens meanwhile.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    time::Duration,
};

use super::*;
use crate::{
    backend::{
        Log, Retention, SessionStore,
        conformance::{ManualClock, draft, named, policy, seqs, sessions::session},
        sqlite::{
            migration::tests::killed::contents,
            tests::{alone, at, read_all, send, with_database},
        },
    },
    model::Seq,
};

const AGE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A configuration that keeps this many messages of a room, and everything else, however old they are.
fn keeping(folder: &Path, messages: u64) -> SqliteConfig {
    SqliteConfig {
        retention: Retention {
            default: policy(messages, AGE),
            policies: Vec::new(),
            rules: Vec::new(),
        },
        idempotency: AGE,
        session_window: AGE,
        ..SqliteConfig::new(folder)
    }
}

/// A closed log with two rooms of 200 messages, most of which are deleted without the file becoming smaller.
async fn mostly_deleted(folder: &Path) {
    filled(folder).await;
    let db = with_database(folder);
    db.execute_batch(
        r#"DELETE FROM messages WHERE seq <= 190;
           UPDATE rooms SET oldest = 191, trimmed = "offset" - 20;"#,
    )
    .unwrap();
}

/// A closed log with two rooms of 200 messages.
async fn filled(folder: &Path) {
    let log = alone(folder, 0);
    let data = format!("\"{}\"", "x".repeat(3000));
    let mut receipts = Vec::new();
    for nth in 0..400 {
        let room = ["r", "s"][nth % 2];
        receipts.push(log.append(draft(room, &data)).await.unwrap());
    }
    for receipt in receipts {
        receipt.wait().await.unwrap();
    }
    log.close().await;
}

fn compacted(config: &SqliteConfig) -> Compacted {
    compact(config, &Arc::default()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_compacted_log_is_smaller_and_otherwise_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let config = keeping(folder.path(), 1000);
    mostly_deleted(folder.path()).await;
    let log = at(folder.path(), &ManualClock::new()).unwrap();
    let alice = session(&[("r", 5)]);
    log.save(alice.clone()).await.unwrap();
    assert!(!send(&log, named("r", "one")).await.unwrap().duplicate);
    let incarnation = log.incarnation();
    log.close().await;
    let before = contents(folder.path());
    let size = size_of(&folder.path().join(FILE));

    let estimate = estimate(&config).unwrap();
    assert_eq!((estimate.size, estimate.due), (size, 0));
    assert!(estimate.unused > size * 8 / 10, "{estimate:?}");
    assert_eq!(estimate.after + estimate.unused, estimate.size);
    assert!(estimate.disk_free > 0);
    assert_eq!(contents(folder.path()), before);

    let compacted = compacted(&config);
    assert_eq!((compacted.before, compacted.trimmed), (size, 0));
    assert_eq!(compacted.after, size_of(&folder.path().join(FILE)));
    assert!(
        compacted.after <= estimate.after,
        "{compacted:?} {estimate:?}"
    );
    assert_eq!(contents(folder.path()), before);
    assert_eq!(names(folder.path()), [FILE, schema::LOCK_FILE]);

    let log = alone(folder.path(), 0);
    assert_eq!(log.incarnation(), incarnation);
    assert_eq!(log.find(alice.pid).await.unwrap(), Some(alice));
    assert!(send(&log, named("r", "one")).await.unwrap().duplicate);
    assert_eq!(send(&log, draft("r", "1")).await.unwrap().seq, Seq(202));
    assert_eq!(read_all(&log, "s").await.messages.len(), 10);
    log.close().await;
}

#[tokio::test]
async fn what_retention_no_longer_keeps_is_deleted_first() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let size = size_of(&folder.path().join(FILE));
    let config = keeping(folder.path(), 20);
    let estimate = estimate(&config).unwrap();
    assert_eq!(estimate.due, 360);
    assert!(estimate.after < size / 5, "{estimate:?}");
    let compacted = compacted(&config);
    assert_eq!(compacted.trimmed, 360);
    assert!(compacted.after < size / 5, "{compacted:?}");
    assert!(
        compacted.after.abs_diff(estimate.after) < size / 10,
        "{compacted:?} {estimate:?}"
    );

    let log = alone(folder.path(), 0);
    let page = read_all(&log, "r").await;
    assert_eq!((page.head, page.oldest), (Seq(200), Seq(181)));
    assert_eq!(seqs(&page), (181..=200).collect::<Vec<_>>());
    log.close().await;
}

#[tokio::test]
async fn a_log_that_a_server_uses_is_not_compacted_and_can_be_estimated() {
    let folder = tempfile::tempdir().unwrap();
    mostly_deleted(folder.path()).await;
    let config = keeping(folder.path(), 1000);
    let log = alone(folder.path(), 0);
    send(&log, draft("r", "1")).await.unwrap();
    let error = compact(&config, &Arc::default()).unwrap_err();
    assert!(matches!(error, CompactError::InUse { .. }), "{error:?}");
    assert!(
        error.to_string().contains("stop it, compact the log"),
        "{error}"
    );
    assert!(estimate(&config).unwrap().unused > 0);
    assert_eq!(send(&log, draft("r", "1")).await.unwrap().seq, Seq(202));
    log.close().await;
    compacted(&config);
}

#[tokio::test]
async fn a_file_that_another_program_reads_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    mostly_deleted(folder.path()).await;
    let before = contents(folder.path());
    let other = with_database(folder.path());
    let count = || -> i64 {
        let query = "SELECT count(*) FROM messages";
        other.query_row(query, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(), 20);
    let config = keeping(folder.path(), 1000);
    let error = compact(&config, &Arc::default()).unwrap_err();
    assert!(
        matches!(error, CompactError::OpenElsewhere { .. }),
        "{error:?}"
    );
    assert_eq!(count(), 20);
    drop(other);
    assert_eq!(contents(folder.path()), before);
    compacted(&config);
    assert_eq!(contents(folder.path()), before);
}

#[tokio::test]
async fn others_are_locked_out_while_the_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let target = Target::find(folder.path()).unwrap();
    let db = with_database(folder.path());
    target.lock_out_others(&db).unwrap();
    let other = with_database(folder.path());
    other.busy_timeout(Duration::ZERO).unwrap();
    let read = other.query_row("SELECT count(*) FROM rooms", [], |_| Ok(()));
    let code = read.unwrap_err().sqlite_error_code();
    assert_eq!(code, Some(ErrorCode::DatabaseBusy));
    // Nothing stays beside it that could be taken for a part of another file.
    assert_eq!(names(folder.path()), [FILE, schema::LOCK_FILE]);
}

#[tokio::test]
async fn a_compaction_that_is_cancelled_leaves_the_log_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    mostly_deleted(folder.path()).await;
    // Enough rows that copying them is looked at.
    with_database(folder.path())
        .execute_batch(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)
             INSERT INTO marks SELECT 1, 'user ' || n, 1, 1796000000000 FROM numbers;",
        )
        .unwrap();
    let before = contents(folder.path());
    let config = keeping(folder.path(), 1000);
    let progress = Arc::new(Progress::default());
    progress.cancel();
    let error = compact(&config, &progress).unwrap_err();
    assert!(matches!(error, CompactError::Cancelled { .. }), "{error:?}");
    assert_eq!(contents(folder.path()), before);

    // While the new file is written.
    let target = Target::find(folder.path()).unwrap();
    let mut db = with_database(folder.path());
    let replacement = Replacement::create(&target.path, &target.metadata).unwrap();
    let error = replacement.fill(&mut db, 1, &progress).unwrap_err();
    let error = target.failed(error);
    assert!(matches!(error, CompactError::Cancelled { .. }), "{error:?}");
    drop(replacement);
    drop(db);
    assert_eq!(names(folder.path()), [FILE, schema::LOCK_FILE]);
    assert_eq!(contents(folder.path()), before);
    compacted(&config);
}

#[tokio::test]
async fn what_a_killed_compaction_left_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    mostly_deleted(folder.path()).await;
    let leave = || {
        for name in [
            "switchboard.db-compacting",
            "switchboard.db-compacting-journal",
        ] {
            fs::write(folder.path().join(name), "half of a file").unwrap();
        }
    };
    let config = keeping(folder.path(), 1000);
    let before = contents(folder.path());
    leave();
    compacted(&config);
    assert_eq!(names(folder.path()), [FILE, schema::LOCK_FILE]);
    assert_eq!(contents(folder.path()), before);

    leave();
    alone(folder.path(), 0).close().await;
    assert!(
        !names(folder.path())
            .iter()
            .any(|name| name.contains("compacting"))
    );
}

#[tokio::test]
async fn a_compacted_file_keeps_its_permissions_and_its_place() {
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    mostly_deleted(elsewhere.path()).await;
    let (file, link) = (elsewhere.path().join(FILE), folder.path().join(FILE));
    symlink(&file, &link).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let compacted = compacted(&keeping(folder.path(), 1000));
    assert!(compacted.after < compacted.before / 5, "{compacted:?}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    for file in [&file, &folder.path().join(schema::LOCK_FILE)] {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{}", file.display());
    }
    assert_eq!(contents(elsewhere.path())[0], "ok");
}

#[tokio::test]
async fn a_folder_without_a_log_and_a_file_that_is_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = keeping(folder.path(), 1000);
    let refused = || {
        let errors = [
            compact(&config, &Arc::default()).unwrap_err(),
            estimate(&config).unwrap_err(),
        ];
        errors.map(|error| error.to_string())
    };
    for error in refused() {
        assert!(error.contains("there is no log in"), "{error}");
    }
    assert!(names(folder.path()).is_empty(), "nothing is created");
    let garbage = "not a database ".repeat(1000);
    fs::write(folder.path().join(FILE), &garbage).unwrap();
    for error in refused() {
        assert!(error.contains("is not a log, or is damaged"), "{error}");
    }
    let after = fs::read_to_string(folder.path().join(FILE)).unwrap();
    assert_eq!(after, garbage);
}

#[test]
fn a_full_disk_is_called_so_by_whoever_notices() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "").unwrap();
    let target = Target::find(folder.path()).unwrap();
    let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
    let errors = [
        target.failed(rusqlite::Error::SqliteFailure(full, None)),
        target.not_written(io::ErrorKind::StorageFull.into()),
    ];
    for error in errors {
        assert!(matches!(error, CompactError::DiskFull { .. }), "{error:?}");
    }
}
