//! Aborting a connection whose peer does not read.

use tokio_util::sync::CancellationToken;

/// Aborts the connection that a request came over; stored in the request's extensions.
///
/// An event stream whose peer does not read cannot be ended through its body: hyper polls a body only after it has written
/// what it got before. Dropping this does nothing.
#[derive(Clone, Debug)]
pub struct ConnectionAbort(Option<CancellationToken>);

impl ConnectionAbort {
    /// For a connection that carries this request alone; cancelling the token aborts it.
    pub(super) fn of(connection: CancellationToken) -> Self {
        Self(Some(connection))
    }

    /// For a connection that carries many requests, perhaps of many clients behind a proxy, which must not suffer for one.
    /// What a stalled stream holds there is bounded by its send buffer.
    pub(super) fn shared() -> Self {
        Self(None)
    }

    /// Aborts the connection: nothing more is written, and data in flight is lost. Does nothing on HTTP/2, where the
    /// connection is shared, or after an upgrade.
    pub fn abort(&self) {
        if let Some(connection) = &self.0 {
            connection.cancel();
        }
    }
}
