//! The commands of a shard's subscription.

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::{
    backend::{Appended, BusEvent, closed},
    error::Result,
    model::{Offset, RoomKey},
};

pub(crate) enum SubscriptionCommand {
    /// Deliver what is published in a room from now on, or as soon as Redis can be subscribed to; the reply is an error in
    /// the latter case.
    Follow(RoomKey, oneshot::Sender<Result<()>>),
    Unfollow(RoomKey),
    /// Deliver an event of this node that is not stored.
    Send(BusEvent, OwnedSemaphorePermit),
    /// Settle a receipt behind the delivery of its message.
    Settle(RoomKey, PendingReceipt),
    /// Put a barrier on the stream behind everything that was published before.
    Barrier(oneshot::Sender<()>),
    /// Give the merger a watermark.
    ReportPosition,
    /// Compare all followed rooms with the log.
    Resync,
    /// Redis has lost acknowledged data: begin the log's next incarnation, and resync.
    DataLost,
    /// Deliver what is stored, and end.
    Close(oneshot::Sender<()>),
}

/// A stored message whose receipt is not settled yet.
pub(crate) struct PendingReceipt {
    pub(crate) offset: Offset,
    pub(crate) appended: Appended,
    pub(crate) settle: oneshot::Sender<Result<Appended>>,
    /// The message's share of the bytes that may be in flight.
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl PendingReceipt {
    pub(crate) fn settle(self) {
        // The receipt may have been dropped; the message is stored all the same.
        let _ = self.settle.send(Ok(self.appended));
    }
}

/// Sends a command with a reply channel, and waits for the reply.
///
/// # Errors
/// `unavailable` if the subscription has ended.
pub(crate) async fn request<T>(
    commands: &mpsc::UnboundedSender<SubscriptionCommand>,
    command: impl FnOnce(oneshot::Sender<T>) -> SubscriptionCommand,
) -> Result<T> {
    let (reply, replied) = oneshot::channel();
    commands.send(command(reply)).map_err(|_| closed())?;
    replied.await.map_err(|_| closed())
}
