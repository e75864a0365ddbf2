//! Counts what is dropped of the messages between nodes that Redis does not store.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::retry::{LogLimiter, log_at};

/// Why a message is dropped.
#[derive(Clone, Copy)]
pub(super) enum DropReason {
    /// Too much is queued to be published.
    Full,
    /// More messages came than were taken.
    Overrun,
    /// Redis rejected it.
    Refused,
    /// The connection was lost while it was in flight.
    Lost,
}

impl DropReason {
    const ALL: [Self; 4] = [Self::Full, Self::Overrun, Self::Refused, Self::Lost];

    /// The label in logs and metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Overrun => "overrun",
            Self::Refused => "refused",
            Self::Lost => "lost",
        }
    }
}

/// How many messages were dropped, by reason.
#[derive(Default)]
pub(super) struct DroppedMessages {
    /// In the order of [`DropReason::ALL`].
    counts: [AtomicU64; DropReason::ALL.len()],
    log_rate: LogLimiter,
}

impl DroppedMessages {
    pub(super) fn add(&self, count: usize, reason: DropReason) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.counts[reason as usize].fetch_add(count, Ordering::Relaxed);
        let reason = reason.as_str();
        log_at!(
            self.log_rate,
            warn,
            count,
            reason,
            "dropped messages to or from other nodes"
        );
    }

    /// The counts so far, by the label of their reason.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let count = |reason: DropReason| self.counts[reason as usize].load(Ordering::Relaxed);
        DropReason::ALL
            .map(|reason| (reason.as_str(), count(reason)))
            .into()
    }
}
