//! What `switchboard compact` prints.

use super::*;

#[test]
fn the_sizes_before_and_after_are_printed() {
    let mut compacted = Compacted {
        path: "/data/switchboard.db".into(),
        before: 3 << 30,
        after: 1 << 30,
        trimmed: 0,
    };
    assert_eq!(
        compacted_text(&compacted),
        "/data/switchboard.db: 3.0 GiB before, 1.0 GiB after, 2.0 GiB given back\n"
    );
    compacted.trimmed = 1_234;
    let text = compacted_text(&compacted);
    assert!(
        text.starts_with("deleted 1,234 messages that retention no longer keeps\n"),
        "{text}"
    );
    // A file without free pages may become a little larger.
    compacted.after = 4 << 30;
    let text = compacted_text(&compacted);
    assert!(text.ends_with("0 bytes given back\n"), "{text}");
}

#[test]
fn an_estimate_says_what_is_gained_and_what_that_needs() {
    let mut estimate = CompactionEstimate {
        path: "/data/switchboard.db".into(),
        size: 10 << 20,
        unused: 4 << 20,
        due: 0,
        after: 6 << 20,
        disk_free: 7 << 30,
    };
    assert_eq!(
        estimate_text(&estimate),
        "/data/switchboard.db: 10.0 MiB, of which 4.0 MiB are free\n\
         compacting would give back at least 4.0 MiB; it needs 6.0 MiB of free disk space while it runs, and 7.0 GiB are free\n"
    );
    (estimate.due, estimate.after) = (1, 1 << 20);
    let text = estimate_text(&estimate);
    assert!(
        text.contains("no longer keeps 1 message, which would be deleted\n"),
        "{text}"
    );
    assert!(text.contains("give back about 9.0 MiB"), "{text}");
}
