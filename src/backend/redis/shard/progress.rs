//! How far the merger has forwarded a shard's messages to the hub, and since when the shard takes part in the order.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::model::Offset;

/// Shared by a shard's subscription and the merger.
#[derive(Default)]
pub(crate) struct MergeProgress {
    /// How often the shard went from no followed room to one.
    activations: AtomicU64,
    forwarded: AtomicU64,
    forwarded_changed: Notify,
}

impl MergeProgress {
    /// The first room of the shard is about to be followed: the merger waits for the shard from now on.
    pub(crate) fn activate(&self) {
        self.activations.fetch_add(1, Ordering::SeqCst);
    }

    /// How often the shard was activated.
    pub(crate) fn activations(&self) -> u64 {
        self.activations.load(Ordering::SeqCst)
    }

    /// A message of the shard was forwarded to the hub.
    pub(crate) fn set_forwarded(&self, offset: Offset) {
        self.forwarded.store(offset.0, Ordering::Release);
        self.forwarded_changed.notify_one();
    }

    /// The offset of the last message that was forwarded.
    pub(crate) fn forwarded(&self) -> Offset {
        Offset(self.forwarded.load(Ordering::Acquire))
    }

    /// Waits until another message is forwarded.
    pub(crate) async fn forwarded_changed(&self) {
        self.forwarded_changed.notified().await;
    }
}
