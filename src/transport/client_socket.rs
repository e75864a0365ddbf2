//! The WebSocket of a client of a transport that encodes its own frames: how it is opened over an upgraded connection, kept alive, and
//! closed.

use std::{sync::Arc, time::Duration};

use hyper::upgrade::Upgraded;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        error::ProtocolError,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    AdmissionControl, WebSocketSettings,
    close_codes::{NOT_UTF8, PROTOCOL, TOO_LARGE},
    framed_client::{CLOSE_TIMEOUT, FramedClient, Framing},
    message_memory::{MemoryLimitedReader, ReaderContext},
    packet_rate::PacedReader,
    read_buffer::{PARSER_BUFFER, SharedBufferReader},
    wire::{Frame, OutboxStream},
};
use crate::{
    http::upgrade::{StreamReader, split_upgraded},
    hub::CloseReason,
    limits::Account,
};

/// The WebSocket, read through the client's limits and written to by its outbox.
pub(super) type ClientSocket =
    WebSocketStream<OutboxStream<SharedBufferReader<MemoryLimitedReader<StreamReader>>>>;

/// Who closed the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClosedBy {
    /// The server; the client gets a moment to read the last frame.
    Server,
    /// The client, or its network.
    Client,
}

/// Makes the WebSocket of an upgraded connection. `read_size`: how many bytes are read at a time.
pub(super) async fn open<F: Framing>(
    upgraded: Upgraded,
    admission: &AdmissionControl,
    client: &FramedClient<F>,
    account: Arc<Account>,
    (max_payload, read_size): (usize, usize),
) -> ClientSocket {
    let (reader, writer) = split_upgraded(upgraded);
    let context = ReaderContext {
        account,
        outbox: client.outbox().clone(),
        metrics: admission.hub().metrics().clone(),
        stall: admission.hub().limits().stall,
    };
    let paced = PacedReader::new(reader, admission.packet_rate());
    let limited = MemoryLimitedReader::new(paced, context);
    let reader = SharedBufferReader::new(limited, read_size);
    let wire = OutboxStream::for_plain(reader, writer, client.outbox().clone());
    let config = WebSocketConfig::default()
        .read_buffer_size(PARSER_BUFFER)
        .max_message_size(Some(max_payload))
        .max_frame_size(Some(max_payload));
    WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await
}

/// Ends a client's connection. One that the server has closed gets a moment to read what is left for it.
pub(super) async fn end<F: Framing>(
    mut socket: ClientSocket,
    client: &FramedClient<F>,
    closed_by: ClosedBy,
) {
    if closed_by == ClosedBy::Server {
        let draining = Box::pin(socket.get_mut().drain_reader());
        let _ = timeout(CLOSE_TIMEOUT, draining).await;
        client.outbox().end();
    }
}

/// Closes a client whose bytes are no valid frames.
pub(super) fn close_for<F: Framing>(
    client: &FramedClient<F>,
    error: &tungstenite::Error,
) -> ClosedBy {
    let (code, text) = match error {
        tungstenite::Error::Capacity(_) => (TOO_LARGE, "too_large"),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Io(_) => return ClosedBy::Client,
        tungstenite::Error::Utf8(_) => (NOT_UTF8, "bad_request"),
        _ => (PROTOCOL, "bad_request"),
    };
    tracing::debug!(%error, "closing a WebSocket: invalid frame");
    let reason = match code {
        TOO_LARGE => CloseReason::TooLarge,
        _ => CloseReason::Malformed,
    };
    client.count_close(reason.as_str());
    client.close_with(Some(Frame::close(F::close_code(code), text)), true);
    ClosedBy::Server
}

/// When a client is pinged, and when it counts as gone.
pub(super) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    last_read: Instant,
    pinged: bool,
}

impl Heartbeat {
    pub(super) fn new(settings: &WebSocketSettings) -> Self {
        Self {
            interval: settings.ping_interval,
            timeout: settings.ping_timeout,
            last_read: Instant::now(),
            pinged: false,
        }
    }

    /// Something was read from the client, or nothing is read from it now.
    pub(super) fn reset(&mut self) {
        (self.last_read, self.pinged) = (Instant::now(), false);
    }

    /// When [`beat`](Self::beat) is to be called.
    pub(super) fn due(&self) -> Instant {
        let after_ping = if self.pinged {
            self.timeout
        } else {
            Duration::ZERO
        };
        self.last_read + self.interval + after_ping
    }

    /// Pings the client. Returns false, and ends its connection, if it did not answer the last ping.
    pub(super) fn beat<F: Framing>(&mut self, client: &FramedClient<F>) -> bool {
        if self.pinged {
            client.count_close("ping_timeout");
            client.outbox().end();
            return false;
        }
        client.send(Frame::ping());
        self.pinged = true;
        true
    }
}
