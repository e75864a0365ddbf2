//! Emits an application's events to others.

use serde::Serialize;

use super::encoding::encode_event;
use crate::{
    error::Result,
    events::check_name,
    hub::Hub,
    model::{Audience, Broadcast, ConnectionId, EventPayload, Namespace, RoomName},
};

/// Emits one event to rooms, to everybody or to one connection, on all nodes. It is not stored. It keeps its place in the order of what
/// a handler does, and among the messages of its room.
///
/// ```
/// use switchboard::{Data, EventContext, Result, model::RoomName};
///
/// async fn draw(context: EventContext, Data((room, line)): Data<(RoomName, Vec<f64>)>) -> Result<()> {
///     context.to(room).emit("drawn", &line).await
/// }
/// ```
#[must_use = "nothing is sent before emit"]
pub struct Emitter {
    hub: Hub,
    broadcast: Broadcast,
}

impl Emitter {
    pub(super) fn new(hub: &Hub, namespace: &Namespace, to: Audience) -> Self {
        Self {
            hub: hub.clone(),
            broadcast: Broadcast {
                namespace: namespace.clone(),
                to,
                except: Vec::new(),
                except_rooms: Vec::new(),
                event: EventPayload::empty(),
            },
        }
    }

    /// Adds the members of another room. A member of several receives the event once.
    pub fn to(mut self, room: RoomName) -> Self {
        if let Audience::Rooms(rooms) = &mut self.broadcast.to
            && !rooms.contains(&room)
        {
            rooms.push(room);
        }
        self
    }

    /// Leaves out the members of a room.
    pub fn except(mut self, room: RoomName) -> Self {
        self.broadcast.except_rooms.push(room);
        self
    }

    /// Leaves out one connection.
    pub fn except_connection(mut self, connection: ConnectionId) -> Self {
        self.broadcast.except.push(connection);
        self
    }

    /// Sends the event. A tuple is several arguments; bytes are attachments.
    ///
    /// # Errors
    /// Fails with `bad_request` if Socket.IO uses the name itself, with `internal` if the data cannot be encoded, and with
    /// `unavailable` if the server is stopping.
    pub async fn emit<T: Serialize + ?Sized>(mut self, event: &str, data: &T) -> Result<()> {
        check_name(event)?;
        self.broadcast.event = encode_event(event, data)?;
        self.hub.broadcast(self.broadcast).await
    }
}
