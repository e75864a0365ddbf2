//! Ending a connection whose peer does not read.

use tokio_util::sync::CancellationToken;

/// Ends the connection that a request came by; stands in the request's extensions.
///
/// A stream of events whose peer does not read cannot be ended through its body: hyper asks a body for more only once
/// what it has is written. Dropping this does nothing.
#[derive(Clone, Debug)]
pub struct Cut(Option<CancellationToken>);

impl Cut {
    /// For a connection that carries this request alone; it ends with the token.
    pub(super) fn of(connection: CancellationToken) -> Self {
        Self(Some(connection))
    }

    /// For a connection that carries many requests, perhaps of many clients behind a proxy, which must not suffer for
    /// one. What a stalled stream holds there is bounded by its send buffer.
    pub(super) fn shared() -> Self {
        Self(None)
    }

    /// Ends the connection at once: nothing more is written, and what is on its way is lost. Does nothing to a
    /// connection of HTTP/2, which others share, or to one that was upgraded.
    pub fn now(&self) {
        if let Some(connection) = &self.0 {
            connection.cancel();
        }
    }
}
