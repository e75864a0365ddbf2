//! A database restored from a copy, and a missing or invalid progress file.

use std::fs;

use super::super::tests::{alone, read_all, send, with_database};
use crate::{
    backend::{
        Log, SessionStore,
        conformance::{draft, named, seqs, sessions::session},
    },
    model::Seq,
};

#[tokio::test]
async fn a_restored_copy_of_the_database_uses_no_number_twice_under_one_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switchboard.db");
    let copy = folder.path().join("copy");
    let log = alone(folder.path(), 0);
    let first = send(&log, named("r", "one")).await.unwrap();
    let alice = session(&[("r", 1)]);
    log.save(alice.clone()).await.unwrap();
    let unwritten = read_all(&log, "unwritten").await.epoch;
    log.close().await;
    fs::copy(&file, &copy).unwrap();

    let log = alone(folder.path(), 0);
    assert_eq!(send(&log, draft("r", "2")).await.unwrap().seq, Seq(2));
    let incarnation = log.incarnation();
    log.close().await;
    fs::copy(&copy, &file).unwrap();

    let log = alone(folder.path(), 0);
    assert_ne!(log.incarnation(), incarnation);
    assert_eq!(log.find(alice.pid).await.unwrap(), None);
    assert_ne!(read_all(&log, "unwritten").await.epoch, unwritten);
    let again = send(&log, named("r", "one")).await.unwrap();
    assert_eq!((again.seq, again.duplicate), (Seq(1), true));
    assert_ne!(again.epoch, first.epoch);
    let second = send(&log, draft("r", "3")).await.unwrap();
    assert_eq!((second.seq, &second.epoch), (Seq(2), &again.epoch));
    let incarnation = log.incarnation();
    log.close().await;

    let log = alone(folder.path(), 0);
    assert_eq!(
        log.incarnation(),
        incarnation,
        "nothing newer was stored elsewhere"
    );
    let page = read_all(&log, "r").await;
    assert_eq!((seqs(&page), &page.epoch), (vec![1, 2], &again.epoch));
    log.close().await;
}

#[tokio::test]
async fn a_log_with_an_invalid_progress_file_opens_in_its_incarnation() {
    let folder = tempfile::tempdir().unwrap();
    let log = alone(folder.path(), 0);
    let incarnation = log.incarnation();
    send(&log, draft("r", "1")).await.unwrap();
    log.close().await;
    for text in ["", "rubbish", "another 99\n", "a b c\n"] {
        fs::write(folder.path().join("switchboard.lock"), text).unwrap();
        let log = alone(folder.path(), 0);
        assert_eq!(log.incarnation(), incarnation, "{text:?}");
        log.close().await;
    }
    assert_eq!(
        with_database(folder.path())
            .query_row("SELECT count(*) FROM rooms", [], |row| row.get::<_, i64>(0))
            .unwrap(),
        1
    );
}
