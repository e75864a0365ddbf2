//! Other nodes over the same log: who is in rooms there, what they say, and how to ask them.
//!
//! Each node says what it has itself, and nothing of what another one has. Who is in a room is all of that together, so nodes
//! cannot disagree for long, and a node that has died is taken out as a whole.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::{
    error::Result,
    model::{ConnectionId, Namespace, NodeId, RoomKey, RoomName, Seq, Timestamp, UserId},
};

/// What one node has of a user in a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PresenceEntry {
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// What it says: `online`, `away` or any other word.
    pub status: Arc<str>,
    /// A JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Arc<RawValue>>,
    /// Connections it has in the room there; 0 during the grace time.
    pub connections: usize,
    /// When it came with its first connection there.
    pub since: Timestamp,
    /// It has done nothing there for a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
    /// When the user said what this shows, on whatever node; 0: it said nothing. What was said last counts.
    #[serde(default)]
    pub changed: Timestamp,
}

/// Something that a node tells the others of a room, and that nobody keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Notice {
    /// A connection types, or does so no more.
    Typing {
        /// Which.
        connection: ConnectionId,
        /// Whose it is.
        user: UserId,
        /// The name to show.
        name: Option<Arc<str>>,
        /// Whether it types.
        typing: bool,
    },
    /// A user has read up to a number.
    Read {
        /// Who.
        user: UserId,
        /// Up to this.
        seq: Seq,
    },
    /// How a user is by its word. In its personal room, which all nodes follow that have connections of it: they need share no
    /// other room.
    Status {
        /// Who.
        user: UserId,
        /// `online`, `away` or any other word.
        status: Arc<str>,
        /// A JSON object.
        info: Option<Arc<RawValue>>,
        /// When it said so; 0: it said nothing that the node knows of, which would like to.
        changed: Timestamp,
    },
}

/// What other nodes say of a room.
#[derive(Clone, Debug)]
pub enum RemoteEvent {
    /// All that they have there, in place of whatever was known.
    Snapshot(Vec<(NodeId, UserId, PresenceEntry)>),
    /// What one of them has of a user now; `None`: nothing more.
    UserChanged(NodeId, UserId, Option<PresenceEntry>),
    /// One of them has gone, with all users that it had there.
    NodeLeft(NodeId),
    /// Something of the moment.
    Notice(Notice),
}

/// What another node asks. Not to answer is an answer, too.
#[derive(Debug)]
pub struct PeerRequest {
    /// What it says.
    pub text: String,
    /// Takes the answer.
    pub answer: oneshot::Sender<String>,
}

/// Some of the users of a room, over all nodes.
#[derive(Clone, Debug, Default)]
pub struct RosterPage {
    /// Users, each counted once.
    pub count: usize,
    /// Their connections.
    pub connections: usize,
    /// Some of them, in the order of their ids, one entry for each node that has them.
    pub users: Vec<(UserId, PresenceEntry)>,
    /// More of them exist behind those.
    pub more: bool,
}

/// The nodes that share a log.
#[async_trait]
pub trait ClusterNodes: Send + Sync + 'static {
    /// Notes what this node has of a user in a room, `None`: nothing more. The nodes that follow the room are told, in the order of
    /// calls for it. Never waits: while the store is away, what is noted is stored as soon as it can be.
    fn set_presence(&self, room: &RoomKey, user: &UserId, attending: Option<PresenceEntry>);

    /// Tells the other nodes that follow a room, unless they cannot be reached now.
    fn notify(&self, room: &RoomKey, notice: Notice);

    /// Reads who is in a room: `limit` users behind `after`.
    async fn room_users(
        &self,
        room: &RoomKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<RosterPage>;

    /// Rooms that somebody is in, over all nodes: those with names that begin with `prefix`, `limit` of them behind `after`, by name.
    async fn occupied_rooms(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<RoomName>>;

    /// Asks all other nodes, and waits until all that live have answered, or so long; if that is no time, they are only told.
    /// Fails if they cannot be reached.
    async fn request_all(&self, text: String, within: Duration) -> Result<Vec<String>>;
}
