//! Why a client is closed for what it sent.

use crate::hub::CloseReason;

/// A WebSocket close code (RFC 6455, 7.4.1), and what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::socketio) struct ProtocolError {
    pub(in crate::transport::socketio) code: u16,
    pub(in crate::transport::socketio) message: &'static str,
}

impl ProtocolError {
    /// More than `socketio.max_payload` bytes.
    pub(in crate::transport::socketio) const TOO_LARGE: Self = Self {
        code: 1009,
        message: "larger than socketio.max_payload",
    };

    /// Socket.IO's own server closes such a session, too.
    pub(in crate::transport::socketio) const OVERLAPPING_POST: Self =
        Self::new("a POST while another one is under way");

    pub(super) const NOT_UTF8: Self = Self {
        code: 1007,
        message: "text is not UTF-8",
    };

    /// A defect: socketioxide goes on ignoring a CONNECT.
    pub(super) const CONNECT_IGNORED: Self = Self {
        code: 1013,
        message: "a CONNECT could not be answered",
    };

    /// There is no memory for an update of a document.
    pub(super) const NO_MEMORY: Self = Self {
        code: 1013,
        message: "limits.memory is reached",
    };

    /// The client does not follow the protocol.
    pub(super) const fn new(message: &'static str) -> Self {
        Self {
            code: 1002,
            message,
        }
    }

    /// The reason as it is counted.
    pub(super) fn close_reason(self) -> CloseReason {
        match self.code {
            1009 => CloseReason::TooLarge,
            1013 => CloseReason::Failed,
            _ => CloseReason::Malformed,
        }
    }
}
