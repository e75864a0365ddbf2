//! What a message of an emitter or server asks this node for.

use std::time::Duration;

use crate::{
    hub::SocketSet,
    model::{EventPayload, RoomName},
};

/// A message that was understood.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// Send an event.
    Emit(SocketSet, EventPayload),
    /// Send an event, and return the acks of its receivers.
    EmitWithAck {
        to: SocketSet,
        event: EventPayload,
        within: Duration,
        request: RequestId,
    },
    /// Join rooms; a server waits for the answer if it has an id and the socket is here.
    Join(SocketSet, Vec<RoomName>, Option<RequestId>),
    /// Leave rooms, as above.
    Leave(SocketSet, Vec<RoomName>, Option<RequestId>),
    /// Disconnect, as above.
    Disconnect(SocketSet, Option<RequestId>),
    /// Answer a server.
    Query(Query, SocketSet, RequestId),
    /// Nothing: it is for others.
    Ignore,
}

/// What a server asks all others for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// The ids of sockets.
    Ids,
    /// Sockets, with what is known of each.
    Sockets,
    /// The rooms of the namespace.
    Rooms,
    /// What becomes of an event between servers: this node has no use for it.
    ServerEvent,
}

/// The id that a server has given its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId(pub(super) String);
