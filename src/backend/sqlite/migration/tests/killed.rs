//! A process that is killed while it changes a file of an earlier version leaves one that the next process migrates.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::create_version_1;
use crate::backend::{
    Log,
    sqlite::tests::{alone, with_database},
};

/// The environment variable with the folder of the child's log.
const FOLDER: &str = "SWITCHBOARD_TEST_FOLDER";

/// Enough rooms that the migration takes a while.
const ROOMS: i64 = 4000;

/// The contents of a log's file, as text.
pub(in crate::backend::sqlite) fn contents(folder: &Path) -> Vec<String> {
    let db = with_database(folder);
    let lines = |query: &str| -> Vec<String> {
        let mut statement = db.prepare(query).unwrap();
        let lines = statement.query_map([], |row| row.get(0)).unwrap();
        lines.map(Result::unwrap).collect()
    };
    let mut all = lines("PRAGMA integrity_check");
    all.extend(lines(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name",
    ));
    all.extend(lines(
        r#"SELECT format('%s %s %d %d %d %d', name, epoch, head, oldest, "offset", trimmed) FROM rooms ORDER BY id"#,
    ));
    all.extend(lines(
        r#"SELECT format('%d %d %d %s %s', room, seq, "offset", id, data) FROM messages ORDER BY room, seq"#,
    ));
    all.extend(lines("SELECT CAST(count(*) AS TEXT) FROM life"));
    all
}

pub(super) fn version(folder: &Path) -> i64 {
    with_database(folder)
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

/// Opens the log in the folder that the environment names.
#[tokio::test]
#[ignore = "the child of the test below"]
async fn child() {
    let folder = env::var(FOLDER).unwrap();
    println!("started");
    alone(Path::new(&folder), 0).close().await;
}

#[tokio::test]
async fn a_migration_killed_at_any_moment_is_completed_by_the_next_process() {
    let old = tempfile::tempdir().unwrap();
    create_version_1(old.path());
    let db = with_database(old.path());
    db.execute_batch(&format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROOMS})
         INSERT INTO rooms SELECT n, 1, 'room ' || n, 'e' || n, 3, 2, 1711000000000 FROM numbers;
         INSERT INTO messages SELECT id, 2, id * 2, ts, 'id', 'message', NULL, NULL, '1' FROM rooms WHERE id >= 100;
         INSERT INTO messages SELECT id, 3, id * 2 + 1, ts, 'id', 'message', NULL, NULL, '1' FROM rooms WHERE id >= 100;"
    ))
    .unwrap();
    drop(db);
    let copy = || {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = [&old, &folder].map(|it| it.path().join("switchboard.db"));
        fs::copy(from, to).unwrap();
        folder
    };
    let expected = copy();
    alone(expected.path(), 0).close().await;
    let (expected, newest) = (contents(expected.path()), version(expected.path()));

    let (mut before, mut after) = (0, 0);
    let mut delay = Duration::ZERO;
    // From the first moment until the child is done before it is killed.
    while after < 3 {
        let folder = copy();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture"])
            .arg("backend::sqlite::migration::tests::killed::child")
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = lines
            .map_while(Result::ok)
            .any(|line| line.ends_with("started"));
        assert!(started, "the child does not run");
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
        match version(folder.path()) {
            1 => before += 1,
            version => {
                assert_eq!(version, newest);
                after += 1;
            }
        }
        alone(folder.path(), 0).close().await;
        assert_eq!(contents(folder.path()), expected, "killed after {delay:?}");
        delay += Duration::from_millis(5);
    }
    assert!(before > 0, "no kill came before the migration");
}
