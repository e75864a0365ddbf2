//! Outbound side of a client connection: what is sent to it, in which order, and within which bounds. Nothing else builds
//! or parses the server's WebSocket frames.
//!
//! socketioxide is given a stream, [`OutboxStream`], in place of a socket. What it writes there is split into whole frames
//! ([`engine_frame`]) and queued in the session's [`Outbox`], together with the hub's packets, which are framed once for all
//! recipients. The [`send_gate`] decides when the hub's packets may go; a few tasks write ([`writer_pool`]). For a session
//! that polls, poll responses pass through [`payload`]; what goes over WebTransport is turned from frames into packets at the very end
//! (`webtransport_packets`).

mod document_namespace;
mod engine_frame;
mod engine_protocol;
mod frame;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
pub(super) mod other_parser;
mod outbox;
mod payload;
mod refusal;
mod rewrite;
mod send_gate;
mod stream;
#[cfg(feature = "webtransport")]
mod webtransport_packets;
mod write_queue;
mod writer_pool;

use crate::hub::CloseReason;

pub(super) use document_namespace::{SHARED_NAMESPACE, document_of, parse_document, to_shared};
pub(super) use engine_frame::BARRIER_EVENT;
pub(super) use engine_protocol::EngineProtocol;
pub(super) use frame::{Frame, binary_frame};
pub(super) use outbox::{Outbox, OutboxLimits};
pub(super) use payload::{
    PollEncoding, PollingResponse, noop_response, rewrite_poll_response, strip_ping,
    websocket_frames,
};
pub(super) use refusal::{
    RESERVED_PREFIX, SUPPRESSED_REFUSAL, document_error, encode_refusal, refused_document_connect,
    unidentified, unidentified_connect,
};
pub(super) use rewrite::ConnectReply;
pub(super) use stream::OutboxStream;
#[cfg(feature = "webtransport")]
pub(super) use webtransport_packets::{PacketReader, PacketStream, PacketWriter};
pub(super) use write_queue::WriteQueue;
pub(super) use writer_pool::WriterPool;

/// The session that an [`Outbox`] sends for, as far as the outbox has to query or notify it.
pub(super) trait OutboxOwner: Send + Sync {
    /// Closes the session in a moment: for a caller that holds the outbox's lock.
    fn close_later(&self, _why: CloseReason) {}

    /// Closes the session; the reason is counted.
    fn close(&self, why: CloseReason);

    /// What to write into the reply to a namespace's CONNECT.
    fn take_connect_reply(&self, _namespace: &str) -> Option<ConnectReply> {
        None
    }

    /// The document that the session is of, if it is of one.
    fn document(&self) -> Option<&str> {
        None
    }

    /// Sends a barrier through socketioxide. Returns false if no namespace is connected.
    ///
    /// # Errors
    /// socketioxide's channel for the session is full.
    fn send_barrier(&self) -> Result<bool, ChannelFull> {
        Ok(false)
    }

    /// An upgrade has failed after its client stopped polling.
    fn end_polling(&self) {}
}

/// socketioxide's own channel for a session is full.
pub(super) struct ChannelFull;

#[cfg(test)]
pub(super) mod testing;
