//! A server that starts with a log of an earlier version.

use rustix::process::Signal;

use super::{
    is_long,
    log_file::{LogFolder, ROOMS},
    run::{Running, Stderr, command, screen},
};

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0"];

/// A log that takes a moment to migrate; in a long run, seconds.
fn old_log() -> LogFolder {
    LogFolder::of_version_1(messages(), 100)
}

fn messages() -> u64 {
    if is_long() { 30_000 } else { 3000 }
}

#[test]
fn a_migration_shows_how_far_it_is_and_the_server_starts() {
    for stderr in [Stderr::Pipe, Stderr::Terminal("xterm")] {
        let log = old_log();
        let mut server = Running::start(&mut command(log.path(), SERVE, !is_long()), stderr);
        let banner = server.line();
        assert!(banner.contains("listens on"), "{}", server.end().stderr);
        server.signal(Signal::TERM);
        let ended = server.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let lines = screen(&ended.stderr);
        let has = |part: &str| lines.iter().any(|line| line.contains(part));
        assert!(has("migrating the log to version 8: done, "), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), "");
        let drawn = ended
            .stderr
            .contains("\r\x1b[Kmigrating the log to version 8  ");
        assert_eq!(drawn, stderr != Stderr::Pipe, "{:?}", ended.stderr);
        assert_eq!((log.version(), log.messages()), (8, ROOMS * messages()));
    }
}

#[test]
fn a_migration_that_is_interrupted_leaves_the_old_log_and_the_next_start_migrates_it() {
    let log = old_log();
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Running::start(&mut command(log.path(), SERVE, true), Stderr::Pipe);
        // It is there from the moment before the migration.
        let wal = log.path().join("switchboard.db-wal");
        server.wait_until("the migration", || wal.exists());
        server.signal_now(signal);
        let ended = server.end();
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stdout, "", "it did not listen");
        assert!(
            ended.stderr.contains("stopped while migrating"),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains("the next start migrates it"),
            "{}",
            ended.stderr
        );
        assert_eq!(log.version(), 1);
    }
    let mut server = Running::start(&mut command(log.path(), SERVE, true), Stderr::Pipe);
    assert!(server.line().contains("listens on"));
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, Some(0));
    assert_eq!((log.version(), log.messages()), (8, ROOMS * messages()));
}
