//! Why a client has disconnected, as an application's handler is told.

use socketioxide::socket::DisconnectReason as SocketReason;

use crate::hub::CloseReason;

/// Why a client has disconnected: an argument of the handler of [`on_disconnect`](crate::app::AppBuilder::on_disconnect).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client called `disconnect()`.
    Client,
    /// Its transport was closed: a page that was left, for instance.
    TransportClose,
    /// Its transport failed: the network is gone, or what came is no Engine.IO.
    TransportError,
    /// It did not reply to a ping in time.
    PingTimeout,
    /// The server closed it.
    Server(CloseReason),
}

impl DisconnectReason {
    /// The reason as Socket.IO names it on Node.js. What the server has closed has its own name, such as `slow` or `replaced`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client namespace disconnect",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::Server(CloseReason::Removed) => "server namespace disconnect",
            Self::Server(reason) => reason.as_str(),
        }
    }
}

impl std::fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<SocketReason> for DisconnectReason {
    fn from(reason: SocketReason) -> Self {
        match reason {
            SocketReason::ClientNSDisconnect => Self::Client,
            SocketReason::TransportClose => Self::TransportClose,
            SocketReason::HeartbeatTimeout => Self::PingTimeout,
            SocketReason::ServerNSDisconnect => Self::Server(CloseReason::Removed),
            SocketReason::ClosingServer => Self::Server(CloseReason::Draining),
            SocketReason::MultipleHttpPollingError
            | SocketReason::PacketParsingError
            | SocketReason::TransportError => Self::TransportError,
        }
    }
}
