//! A process that is killed: the next one knows whom it had.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use super::{alone, lines, send, set, told};
use crate::backend::{Log, Outbox};

/// The environment variable with the folder of the child's log.
const FOLDER: &str = "SWITCHBOARD_TEST_FOLDER";

/// Stores something in the log in the folder that the environment names, and waits to be killed.
#[tokio::test]
#[ignore = "the child of the test below"]
async fn child() {
    let folder = env::var(FOLDER).unwrap();
    let log = alone(Path::new(&folder), 0);
    send(&log, told("r", "1")).await.unwrap();
    for user in ["alice", "bob"] {
        set(&log, "r", user, true);
        set(&log, &format!("user:{user}"), user, true);
    }
    log.save_endpoint("one", "here".to_owned()).await.unwrap();
    println!("stored");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn members_of_a_killed_process_leave_unless_the_next_one_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("backend::sqlite::outbox::tests::killed::child")
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap()).lines();
    let stored = output
        .map_while(Result::ok)
        .any(|line| line.ends_with("stored"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(stored, "the child did not run");

    let log = alone(folder.path(), 0);
    let before = [
        "message r 1",
        "room.occupied r -",
        "member.joined r alice",
        "user.online user:alice alice",
        "member.joined r bob",
        "user.online user:bob bob",
    ];
    assert_eq!(lines(&log).await, before);
    set(&log, "r", "alice", true);
    set(&log, "user:alice", "alice", true);
    assert_eq!(lines(&log).await, before, "they have not left meanwhile");
    log.remove_stale_members().await.unwrap();
    assert_eq!(
        lines(&log).await[before.len()..],
        ["member.left r bob", "user.offline user:bob bob"]
    );
    let record = log.claim_endpoint("one").await.unwrap();
    assert_eq!(record.state.as_deref(), Some("here"));
    log.close().await;
}
