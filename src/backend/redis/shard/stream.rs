//! What a shard's subscription delivers, and where to: straight to the hub, or to the merger.

use tokio::sync::mpsc;

use crate::{backend::Delivery, model::Offset};

/// What a shard gives the merger.
#[derive(Debug)]
pub(crate) enum ShardItem {
    Delivery(Delivery),
    /// Everything behind this has a higher offset.
    Watermark(Offset),
    /// The shard has no followed room any more since this activation.
    Idle(u64),
}

/// Where a subscription delivers to.
pub(crate) enum ShardOutput {
    /// The only shard: straight to the hub.
    Hub(mpsc::Sender<Delivery>),
    Merger(mpsc::Sender<ShardItem>),
}

impl ShardOutput {
    /// Delivers, and waits while the stream is full. A delivery is dropped if nobody receives any more.
    pub(crate) async fn send(&self, delivery: Delivery) {
        let _ = match self {
            Self::Hub(stream) => stream.send(delivery).await.is_ok(),
            Self::Merger(stream) => stream.send(ShardItem::Delivery(delivery)).await.is_ok(),
        };
    }

    /// Waits until the stream has room for one item.
    pub(crate) async fn ready(&self) {
        let _ = match self {
            Self::Hub(stream) => stream.reserve().await.is_ok(),
            Self::Merger(stream) => stream.reserve().await.is_ok(),
        };
    }

    /// Delivers something that may be dropped; false if the merger's queue is full.
    pub(crate) async fn try_send(&self, delivery: Delivery) -> bool {
        match self {
            Self::Hub(_) => self.send(delivery).await,
            Self::Merger(stream) => return stream.try_send(ShardItem::Delivery(delivery)).is_ok(),
        }
        true
    }

    /// Whether the merger's queue of this shard is full.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Merger(stream) if stream.capacity() == 0)
    }

    /// Whether deliveries go straight to the hub.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self, Self::Hub(_))
    }

    /// Tells the merger a watermark, or that the shard is idle.
    pub(crate) async fn announce(&self, item: ShardItem) {
        if let Self::Merger(stream) = self {
            let _ = stream.send(item).await;
        }
    }
}
