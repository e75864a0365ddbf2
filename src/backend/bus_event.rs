//! What a bus carries: events that are not stored.

use std::sync::Arc;

use crate::model::{Broadcast, ConnectionId, Ephemeral, RoomKey};

/// An event that is not stored, on the channel of one room.
#[derive(Clone, Debug)]
pub enum BusEvent {
    /// An event of the contract, and a connection that it is not delivered to.
    Ephemeral(Arc<Ephemeral>, Option<ConnectionId>),
    /// An event of an application.
    Broadcast(Arc<Broadcast>),
}

impl BusEvent {
    /// The room whose channel it is carried on.
    pub fn channel(&self) -> RoomKey {
        match self {
            Self::Ephemeral(event, _) => event.room.clone(),
            Self::Broadcast(broadcast) => broadcast.channel(),
        }
    }
}
