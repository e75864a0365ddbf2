//! The end of a socket: the worker of its connection waits for it, and asks why.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use super::handlers::DisconnectReason;

/// Tells a connection's worker that its socket has ended. It holds nothing that holds the socket.
#[derive(Default)]
pub(super) struct SocketEnd {
    ended: CancellationToken,
    reason: OnceLock<DisconnectReason>,
}

impl SocketEnd {
    /// The socket has ended.
    pub(super) fn set(&self, reason: DisconnectReason) {
        let _ = self.reason.set(reason);
        self.ended.cancel();
    }

    /// Cancelled when the socket has ended.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.ended
    }

    /// Why it has ended, as socketioxide knows.
    pub(super) fn reason(&self) -> DisconnectReason {
        let reason = self.reason.get().copied();
        reason.unwrap_or(DisconnectReason::TransportClose)
    }
}
