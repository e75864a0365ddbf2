//! What sets of connections are named by, and what can be done to them.

use serde::{Deserialize, Serialize};

use crate::model::{Audience, Broadcast, ConnectionId, EventPayload, Namespace, RoomKey, RoomName};

/// What a member of a [`SocketSet`] is named by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SocketName {
    /// It is in this room.
    Room(RoomName),
    /// It is this connection.
    Connection(ConnectionId),
}

/// Connections to one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketSet {
    /// The namespace.
    pub namespace: Namespace,
    /// Those with one of these names; `None`: all.
    pub of: Option<Vec<SocketName>>,
    /// Without those with one of these names.
    pub except: Vec<SocketName>,
}

/// What can be done to the connections of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SocketChange {
    /// Make them members of a room.
    Join(RoomName),
    /// End their memberships in a room.
    Leave(RoomName),
    /// Disconnect them.
    Disconnect,
}

impl SocketName {
    /// What a name stands for: what looks like the id of a connection is one, anything else a room. `None` if it can be neither.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.parse() {
            Ok(id) => Some(Self::Connection(id)),
            Err(_) => RoomName::parse(name).ok().map(Self::Room),
        }
    }
}

impl SocketSet {
    pub(super) fn key(&self, room: &RoomName) -> RoomKey {
        RoomKey {
            namespace: self.namespace.clone(),
            room: room.clone(),
        }
    }

    /// The broadcasts that send an event to the set, to each connection once.
    pub(super) fn broadcasts(&self, event: EventPayload) -> Vec<Broadcast> {
        let (except_rooms, except) = split(&self.except);
        let whole = Broadcast {
            namespace: self.namespace.clone(),
            to: Audience::Everybody,
            except,
            except_rooms,
            event,
        };
        let Some(of) = &self.of else {
            return vec![whole];
        };
        let (rooms, mut connections) = split(of);
        connections.sort_unstable();
        connections.dedup();
        let to_connections = connections.into_iter().map(|id| {
            let mut one = whole.clone();
            one.to = Audience::Connection(id);
            // As a member of a room it is sent the event already.
            one.except_rooms.extend(rooms.iter().cloned());
            one
        });
        let to_rooms = (!rooms.is_empty()).then(|| Broadcast {
            to: Audience::Rooms(rooms.clone()),
            ..whole.clone()
        });
        to_rooms.into_iter().chain(to_connections).collect()
    }
}

fn split(names: &[SocketName]) -> (Vec<RoomName>, Vec<ConnectionId>) {
    let (mut rooms, mut connections) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            SocketName::Room(room) => rooms.push(room.clone()),
            SocketName::Connection(id) => connections.push(*id),
        }
    }
    (rooms, connections)
}
