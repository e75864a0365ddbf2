//! The transport's end of a connection, as the hub sees it: where events go, and why a connection is closed.

use std::{net::IpAddr, pin::Pin, time::Duration};

use serde_json::value::RawValue;

use super::ConnectionRates;
use crate::{
    error::{Code, Result},
    hub::OutgoingEvent,
    model::RoomName,
};

/// Receives the events of one connection and sends them to its client. Implemented by transports.
pub trait EventSink: Send + Sync + 'static {
    /// Queues an event behind all earlier ones. Never blocks: a sink whose queue is full closes its connection.
    fn push(&self, event: &OutgoingEvent);

    /// Queues an event that expects a reply; the future waits for the reply `within` this time. `None` if clients of this
    /// transport cannot reply; nothing is sent then.
    fn push_with_reply(&self, event: &OutgoingEvent, within: Duration) -> Option<PendingReply>;

    /// The connection has become a member of `room`.
    fn room_joined(&self, _room: &RoomName) {}

    /// The connection is no longer in `room`.
    fn room_left(&self, _room: &RoomName) {}

    /// This many droppable events were dropped before they reached the sink, because the connection is behind.
    fn dropped(&self, _events: u64) {}

    /// The rooms besides the hub's that an application has joined the connection to.
    fn rooms(&self) -> Vec<String> {
        Vec::new()
    }

    /// Joins the connection to those rooms again.
    fn rejoin_rooms(&self, _rooms: &[String]) {}

    /// The rate buckets of the connection, which a transport shares among consecutive connections to a namespace.
    fn rates(&self) -> ConnectionRates {
        ConnectionRates::default()
    }

    /// What is known of its client, for operators.
    fn client(&self) -> ClientState {
        ClientState::default()
    }

    /// Whether its client polls for now.
    fn polls(&self) -> bool {
        false
    }

    /// Whether so much is queued that messages, which can be read from the log later, should not be pushed now.
    fn is_behind(&self) -> bool;

    /// Ready when little enough is queued again, or nothing is sent any more.
    fn drained(&self) -> Drained;

    /// Closes the connection.
    fn close(&self, reason: CloseReason);
}

/// What a transport knows of a client, for operators.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientState {
    /// `socketio`, `websocket` or `events`.
    pub transport: &'static str,
    /// Its address, if the transport keeps it.
    pub address: Option<IpAddr>,
    /// Tells send queues apart: connections to several namespaces share one.
    pub queue: usize,
    /// Bytes in the send queue.
    pub queued_bytes: usize,
}

/// The future of [`EventSink::drained`].
pub type Drained = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The future of [`EventSink::push_with_reply`]: all arguments of the reply, or why they cannot be passed on. `None` if no
/// reply came in time.
pub type PendingReply = Pin<Box<dyn Future<Output = Option<Result<Vec<Box<RawValue>>>>> + Send>>;

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client read more slowly than events came; it should reconnect.
    Slow,
    /// The node is shutting down; the client should reconnect.
    Draining,
    /// The token expired and was not replaced in time; the client should reconnect with a new one.
    Expired,
    /// The connection cannot be admitted now; the client should reconnect later.
    Refused(Code),
    /// Storage could not serve the connection; the client should reconnect.
    Unavailable,
    /// A handler panicked on one of its events; the client should reconnect.
    Failed,
    /// The client has resumed its session on another connection.
    Replaced,
    /// A back end disconnected the user; the client should not reconnect by itself.
    Removed,
    /// The client kept sending faster than its rate allows.
    Flooding,
    /// The client violated the protocol.
    Malformed,
    /// A message was larger than the transport accepts.
    TooLarge,
}

impl CloseReason {
    /// Name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            CloseReason::Slow => "slow",
            CloseReason::Draining => "draining",
            CloseReason::Expired => "expired",
            CloseReason::Refused(code) => code.as_str(),
            CloseReason::Unavailable => "unavailable",
            CloseReason::Failed => "failed",
            CloseReason::Replaced => "replaced",
            CloseReason::Removed => "removed",
            CloseReason::Flooding => "flooding",
            CloseReason::Malformed => "malformed",
            CloseReason::TooLarge => "too_large",
        }
    }

    /// Whether the session ends with the connection. The client should not reconnect by itself: neither time nor a new token
    /// helps.
    pub const fn ends_session(self) -> bool {
        matches!(self, CloseReason::Removed)
    }
}
