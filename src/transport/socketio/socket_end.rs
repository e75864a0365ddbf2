//! The end of a socket: the worker of its connection waits for it, and asks why.

use std::sync::OnceLock;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handlers::DisconnectReason;

/// Tells a connection's worker that its socket has ended. It holds nothing that holds the socket.
#[derive(Default)]
pub(super) struct SocketEnd {
    ended: CancellationToken,
    at: OnceLock<(DisconnectReason, Instant)>,
}

impl SocketEnd {
    /// The socket has ended.
    pub(super) fn set(&self, reason: DisconnectReason) {
        let _ = self.at.set((reason, Instant::now()));
        self.ended.cancel();
    }

    /// Cancelled when the socket has ended.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.ended
    }

    /// Why it has ended, as socketioxide knows.
    pub(super) fn reason(&self) -> DisconnectReason {
        let reason = self.at.get().map(|(reason, _)| *reason);
        reason.unwrap_or(DisconnectReason::TransportClose)
    }

    /// When it has ended, if it has.
    pub(super) fn instant(&self) -> Option<Instant> {
        self.at.get().map(|(_, at)| *at)
    }
}
