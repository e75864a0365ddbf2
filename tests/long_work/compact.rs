//! `switchboard compact`.

use std::{
    process::{Command, Stdio},
    thread,
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    is_long,
    log_file::{LogFolder, ROOMS},
    run::{Ended, Running, Stderr, command, run, screen},
};

/// How many messages of a room are left.
const KEPT: u64 = 50;

const COMPACT: &[&str] = &["compact", "--history-messages", "50"];

/// A log that trimming leaves little of. In a long run it takes seconds, so that it is shown as users see it.
fn large_log() -> LogFolder {
    LogFolder::of_version_1(if is_long() { 20_000 } else { 2000 }, 100)
}

/// A log of this version that had this many messages in each room, and is mostly free space, as trimming leaves it.
fn mostly_free(messages: u64) -> LogFolder {
    let log = LogFolder::of_version_1(messages, 1000);
    assert_eq!(run(log.path(), &["compact"]).code, Some(0));
    log.delete_all_but(KEPT);
    log
}

/// Compacts with progress in a terminal or elsewhere.
fn shown(log: &LogFolder, arguments: &[&str], stderr: Stderr) -> Ended {
    let arguments: Vec<_> = COMPACT.iter().chain(arguments).copied().collect();
    Running::start(&mut command(log.path(), &arguments, !is_long()), stderr).end()
}

#[track_caller]
fn assert_compacted(ended: &Ended, log: &LogFolder, before: u64) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("given back"), "{}", ended.stdout);
    assert!(log.size() < before / 2, "{} of {before}", log.size());
    assert_eq!(log.messages(), ROOMS * KEPT);
    assert_eq!(log.others(), ["switchboard.lock"]);
}

#[test]
fn in_a_terminal_one_line_is_drawn_again_and_gone_at_the_end() {
    let log = large_log();
    let before = log.size();
    let ended = shown(&log, &[], Stderr::Terminal("xterm"));
    assert_compacted(&ended, &log, before);

    let redraws: Vec<&str> = ended.stderr.split("\r\x1b[K").skip(1).collect();
    let has = |part: &str| redraws.iter().any(|line| line.contains(part));
    assert!(has("trimming the log  ["), "{redraws:#?}");
    assert!(has("% ") && has(" left"), "{redraws:#?}");
    let most = ended.took.as_millis() / 100 + 10;
    assert!((redraws.len() as u128) < most, "{} redraws", redraws.len());

    let screen = screen(&ended.stderr);
    let (last, lines) = screen.split_last().unwrap();
    assert_eq!(last, "", "nothing is left of the line");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("trimming the log: done"))
    );
    for line in lines {
        assert!(line.contains(" INFO "), "mixed with the log: {line:?}");
    }
}

#[test]
fn a_terminal_that_cannot_redraw_and_a_user_without_colors_are_respected() {
    let log = large_log();
    let before = log.size();
    let ended = shown(&log, &[], Stderr::Terminal("dumb"));
    assert_compacted(&ended, &log, before);
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
    assert!(ended.stderr.contains("trimming the log: done"));

    let log = large_log();
    let mut command = command(log.path(), COMPACT, !is_long());
    let ended = Running::start(command.env("NO_COLOR", "1"), Stderr::Terminal("xterm")).end();
    assert_compacted(&ended, &log, before);
    assert!(ended.stderr.contains("\x1b[K") && !ended.stderr.contains("\x1b[3"));
}

#[test]
fn without_a_terminal_there_are_log_lines() {
    let log = large_log();
    let before = log.size();
    let ended = shown(&log, &[], Stderr::Pipe);
    assert_compacted(&ended, &log, before);
    assert!(!ended.stderr.contains(['\r', '\x1b']), "{:?}", ended.stderr);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let begun = lines
        .iter()
        .position(|line| line.contains(" trimming the log: ") && line.contains(" rows, "));
    let done = lines
        .iter()
        .position(|line| line.contains(" trimming the log: done, "));
    assert!(begun.unwrap() < done.unwrap(), "{lines:#?}");

    let log = large_log();
    let ended = shown(&log, &["--log-format", "json"], Stderr::Pipe);
    assert_compacted(&ended, &log, before);
    let lines: Vec<Value> = ended
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let is_end = |line: &Value| {
        let message = line["fields"]["message"].as_str();
        message.is_some_and(|message| message.starts_with("trimming the log: done, "))
    };
    assert!(lines.iter().any(is_end), "{lines:#?}");
}

#[test]
fn of_short_work_nothing_is_shown() {
    let log = LogFolder::of_version_1(2, 10);
    for stderr in [Stderr::Pipe, Stderr::Terminal("xterm")] {
        let mut command = command(log.path(), COMPACT, false);
        // A minute is short, too, so that a busy machine changes nothing.
        command.env("SWITCHBOARD_TEST_PROGRESS_AFTER_MS", "60000");
        let ended = Running::start(&mut command, stderr).end();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_log_that_a_server_uses_is_refused_and_can_be_estimated() {
    let log = mostly_free(150);
    let before = log.size();
    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let mut server = Running::start(&mut command(log.path(), &arguments, true), Stderr::Pipe);
    assert!(server.line().contains("listens on"));
    let refused = run(log.path(), &["compact"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("a server uses the log in"),
        "{}",
        refused.stderr
    );
    let estimate = run(log.path(), &["compact", "--dry-run"]);
    assert_eq!(estimate.code, Some(0), "{}", estimate.stderr);
    let says = "compacting would give back at least";
    assert!(estimate.stdout.contains(says), "{}", estimate.stdout);
    assert_eq!(log.size(), before);
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, Some(0));
    assert_compacted(&run(log.path(), &["compact"]), &log, before);
}

#[test]
fn a_compaction_killed_at_any_moment_leaves_a_complete_log() {
    let kills = if is_long() { 20 } else { 8 };
    let base = mostly_free(150);
    let (before, contents) = (base.size(), base.contents());
    let whole = base.copy();
    let took = run(whole.path(), &["compact"]).took;
    assert_eq!(whole.contents(), contents);
    let (mut large, mut small) = (0, 0);
    for nth in 0..=kills {
        let log = base.copy();
        let running = Running::start(&mut command(log.path(), &["compact"], true), Stderr::Pipe);
        thread::sleep(took * nth / kills);
        running.kill();
        match log.size() == before {
            true => large += 1,
            false => small += 1,
        }
        assert_eq!(log.contents(), contents, "kill {nth}");
        assert_compacted(&run(log.path(), &["compact"]), &log, before);
    }
    assert!(large > 0, "no kill came before the end; {small} after it");
}

#[test]
fn a_compaction_that_is_interrupted_says_so_and_leaves_the_log_as_it_was() {
    // Copying it takes a moment.
    let log = LogFolder::of_version_1(1000, 200);
    assert_eq!(run(log.path(), &["compact"]).code, Some(0));
    let (before, contents) = (log.size(), log.contents());
    let mut command = command(log.path(), &["compact"], true);
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = Running::start(&mut command, Stderr::Terminal("xterm"));
        let new = log.path().join("switchboard.db-compacting");
        running.wait_until("the new file is there", || new.exists());
        running.signal_now(signal);
        let ended = running.end();
        assert_eq!(ended.code, Some(130), "{}{}", ended.stdout, ended.stderr);
        let screen = screen(&ended.stderr).join("\n");
        assert!(screen.contains("stopped; the log in"), "{screen}");
        assert!(
            screen.contains("is complete, and as large as before"),
            "{screen}"
        );
        assert_eq!(log.others(), ["switchboard.lock"]);
        assert_eq!((log.size(), log.contents()), (before, contents.clone()));
    }
    assert_compacted(&run(log.path(), COMPACT), &log, before);
}

/// Runs a shell script with the arguments `binary` and `folder`.
fn shell(script: &str, folder: &LogFolder) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_switchboard")])
        .arg(folder.path());
    command
}

#[test]
fn a_disk_that_fails_meanwhile_leaves_the_log_as_it_was() {
    let log = mostly_free(150);
    let (before, contents) = (log.size(), log.contents());
    // No file may become larger than 1 MiB.
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$1\" compact --data \"$2\"";
    let ended = Running::start(&mut shell(script, &log), Stderr::Pipe).end();
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stderr.contains("cannot be compacted"),
        "{}",
        ended.stderr
    );
    assert_eq!(log.others(), ["switchboard.lock"]);
    assert_eq!((log.size(), log.contents()), (before, contents));
    assert_compacted(&run(log.path(), &["compact"]), &log, before);
}

#[test]
fn a_disk_with_too_little_space_is_noticed_before_anything_is_written() {
    let may_mount = Command::new("unshare")
        .args(["-rm", "true"])
        .stderr(Stdio::null())
        .status();
    if !may_mount.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a disk of its own needs unshare and user namespaces");
        return;
    }
    let log = mostly_free(150);
    let mib = log.size() >> 20;
    // With room for the log and little more.
    let size = mib + 4;
    let script = format!(
        "unshare -rm sh -c 'mkdir \"$1/disk\" && mount -t tmpfs -o size={size}m none \"$1/disk\" &&
         cp \"$1/switchboard.db\" \"$1/disk\" && \"$0\" compact --data \"$1/disk\"; code=$?
         ls \"$1/disk\"; exit $code' \"$1\" \"$2\""
    );
    let ended = Running::start(&mut shell(&script, &log), Stderr::Pipe).end();
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stderr.contains("of free disk space in"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("free some, and try again"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stdout, "switchboard.db\nswitchboard.lock\n");
}

#[test]
fn other_stores_have_nothing_to_compact() {
    let log = LogFolder::of_version_1(1, 1);
    for (arguments, says) in [
        (
            ["--store", "memory"],
            "store = memory keeps messages in memory",
        ),
        (
            ["--redis-url", "redis://127.0.0.1:1"],
            "the log is in Redis",
        ),
    ] {
        let [flag, value] = arguments;
        let ended = run(log.path(), &["compact", flag, value]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}
