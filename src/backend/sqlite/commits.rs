//! How far commits have got: begun, and published. A commit can be read from the database before it is published.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Counts commits. Shared by the writer, those who publish, and those who wait for that.
#[derive(Default)]
pub(super) struct Commits {
    /// Commits that may be visible in the database.
    begun: AtomicU64,
    /// Commits whose messages are on the stream.
    published: watch::Sender<u64>,
}

impl Commits {
    /// The writer is about to commit.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    /// The number of the last commit that was begun.
    pub(super) fn last(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    pub(super) fn record_published(&self, commits: u64) {
        self.published.send_replace(commits);
    }

    /// Waits until every message that can be read now is on the stream.
    pub(super) async fn published(&self) {
        let begun = self.last();
        let mut published = self.published.subscribe();
        // Fails never: `self` has the sender.
        let _ = published.wait_for(|published| *published >= begun).await;
    }
}
