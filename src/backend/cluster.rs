//! Other nodes over the same log: who is in their rooms, the events they send, and requests to them.
//!
//! Each node reports only its own users. The roster of a room is the union of all reports, so nodes cannot disagree for long,
//! and a node that has died is removed as a whole.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::{
    error::Result,
    model::{ConnectionId, Namespace, NodeId, RoomKey, RoomName, Seq, Timestamp, UserId},
};

/// One node's entry for a user in a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PresenceEntry {
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// The user's status: `online`, `away` or any other word.
    pub status: Arc<str>,
    /// Details of the status, a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Arc<RawValue>>,
    /// The user's connections in the room on that node; 0 during the grace time.
    pub connections: usize,
    /// When the first of them joined.
    pub since: Timestamp,
    /// The user has been inactive there for a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
    /// When the user set this status, on any node; 0 if never. The status set last wins.
    #[serde(default)]
    pub changed: Timestamp,
}

/// Something that a node sends to the others about a room, and that is not stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ClusterNotice {
    /// A connection has started or stopped typing.
    Typing {
        /// The connection.
        connection: ConnectionId,
        /// Its user.
        user: UserId,
        /// The name to show.
        name: Option<Arc<str>>,
        /// Whether it is typing.
        typing: bool,
    },
    /// A user has read up to a number.
    Read {
        /// The user.
        user: UserId,
        /// The number.
        seq: Seq,
    },
    /// A user's status. Sent in the user's personal room, to which all nodes with connections of the user are subscribed:
    /// they need not share another room.
    Status {
        /// The user.
        user: UserId,
        /// `online`, `away` or any other word.
        status: Arc<str>,
        /// Details of the status, a JSON object.
        info: Option<Arc<RawValue>>,
        /// When the user set it; 0: the node knows of none, and asks for it.
        changed: Timestamp,
    },
}

/// An event from other nodes about a room.
#[derive(Clone, Debug)]
pub enum RemoteEvent {
    /// All entries of all other nodes, in place of what was known.
    Snapshot(Vec<(NodeId, UserId, PresenceEntry)>),
    /// A node's entry for a user has changed; `None`: it was removed.
    UserChanged(NodeId, UserId, Option<PresenceEntry>),
    /// A node has left, with all users that it had in the room.
    NodeLeft(NodeId),
    /// A notice that is not stored.
    Notice(ClusterNotice),
}

/// A request from another node. Dropping `reply` sends no reply, which is allowed.
#[derive(Debug)]
pub struct PeerRequest {
    /// The request.
    pub text: String,
    /// Where the reply goes.
    pub reply: oneshot::Sender<String>,
}

/// Some of the users of a room, over all nodes.
#[derive(Clone, Debug, Default)]
pub struct RosterPage {
    /// How many users there are, each counted once.
    pub count: usize,
    /// How many connections they have.
    pub connections: usize,
    /// A page of users, in the order of their ids, with one entry for each node that has them.
    pub users: Vec<(UserId, PresenceEntry)>,
    /// There are more users after this page.
    pub more: bool,
}

/// The nodes that share a log.
#[async_trait]
pub trait ClusterNodes: Send + Sync + 'static {
    /// Sets this node's entry for a user in a room, or removes it with `None`. The nodes that are subscribed to the room
    /// receive the changes in the order of the calls. Never waits: while the store is unreachable, changes are queued.
    fn set_presence(&self, room: &RoomKey, user: &UserId, entry: Option<PresenceEntry>);

    /// Sends a notice to the other nodes that are subscribed to a room. It is lost if they cannot be reached now.
    fn notify(&self, room: &RoomKey, notice: ClusterNotice);

    /// Reads a page of a room's roster: `limit` users after `after`.
    async fn room_users(
        &self,
        room: &RoomKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<RosterPage>;

    /// Lists rooms with members on any node, by name: those whose names begin with `prefix`, `limit` of them after `after`.
    async fn occupied_rooms(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<RoomName>>;

    /// Sends a request to all other nodes, and waits for the responses of all live ones, at most for `within`; with zero, it
    /// does not wait.
    ///
    /// # Errors
    /// Fails if the other nodes cannot be reached.
    async fn request_all(&self, text: String, within: Duration) -> Result<Vec<String>>;
}
