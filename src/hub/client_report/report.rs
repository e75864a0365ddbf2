//! What is asked of a node, and what it reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::event_tap::TappedEvent;
use crate::model::{ConnectionId, Namespace, RoomName, Timestamp};

/// What is asked of every node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientReportRequest {
    /// List the sockets of a node that has at most so many.
    pub(crate) max_sockets: usize,
    /// The events after these, by node; `None`: none, and none are kept from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) events_after: Option<BTreeMap<String, u64>>,
}

/// The clients of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClientReport {
    /// The node's name.
    pub(crate) node: String,
    /// The name of its machine, if that is known.
    pub(crate) host: Option<String>,
    /// Its process.
    pub(crate) pid: u32,
    /// Seconds since it was started.
    pub(crate) uptime: f64,
    /// Engine.IO sessions, WebSockets and event streams.
    pub(crate) clients: u64,
    /// Those of them that poll.
    pub(crate) polling: u64,
    /// How many sockets each namespace has.
    pub(crate) namespaces: BTreeMap<Namespace, u64>,
    /// What its clients have done since it was started.
    pub(crate) traffic: Traffic,
    /// Its sockets, if they are not too many.
    pub(crate) sockets: Option<Vec<SocketReport>>,
    /// The events asked for, oldest first.
    pub(crate) events: Vec<TappedEvent>,
}

/// Counters of a node since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Connections opened.
    pub(crate) opened: u64,
    /// Connections closed.
    pub(crate) closed: u64,
    /// Bytes from clients.
    pub(crate) received_bytes: u64,
    /// Bytes to clients.
    pub(crate) sent_bytes: u64,
}

/// A connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SocketReport {
    /// Its id, the client's `socket.id`.
    pub(crate) id: ConnectionId,
    /// Its client: connections to several namespaces have the same.
    pub(crate) client: String,
    /// The namespace that it is connected to.
    pub(crate) namespace: Namespace,
    /// `polling`, `websocket` or `events`.
    pub(crate) transport: String,
    /// The client's address, if it is known.
    pub(crate) address: Option<String>,
    /// When it connected.
    pub(crate) connected_at: Timestamp,
    /// The rooms that it is in, in order.
    pub(crate) rooms: Vec<RoomName>,
    /// What the application keeps with it, or else its user.
    pub(crate) data: Box<RawValue>,
}
