//! What a bus carries: events that are not stored.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Broadcast, ConnectionId, Ephemeral, NodeId, RoomKey, RoomName};

/// An event that is not stored, on the channel of one room.
#[derive(Clone, Debug)]
pub enum BusEvent {
    /// An event of the contract, and a connection that it is not delivered to.
    Ephemeral(Arc<Ephemeral>, Option<ConnectionId>),
    /// An event of an application.
    Broadcast(Arc<Broadcast>),
    /// What happened to a document, and the node that says so; `None`: this one, which knows already.
    Document(RoomName, DocumentNotice, Option<NodeId>),
}

/// What nodes tell each other of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentNotice {
    /// An update was stored under a number.
    Update(u64, Bytes),
    /// What clients show of themselves: what is new, or the answer to a query.
    Awareness(Bytes),
    /// A node has opened the document: it asks what the clients of the others show.
    QueryAwareness,
}

impl BusEvent {
    /// The room whose channel it is carried on.
    pub fn channel(&self) -> RoomKey {
        match self {
            Self::Ephemeral(event, _) => event.room.clone(),
            Self::Broadcast(broadcast) => broadcast.channel(),
            Self::Document(name, ..) => RoomKey::of_document(name),
        }
    }
}
