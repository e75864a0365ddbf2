//! What a handler can do: join rooms, publish, emit, keep a state with the connection.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::to_raw_value;

use super::{Emitter, emitter::emit_with_ack};
use crate::{
    auth::Principal,
    error::{Code, Error, Result},
    hub::{
        CloseReason, Connection, Event, Hub, OutgoingEvent, Publish, PublishOutcome, RoomConnection,
    },
    model::{ConnectionId, RoomName, UserId},
    transport::socketio::{SocketIo, SocketRef},
};

/// The context of a handler for an application's event.
///
/// ```
/// use switchboard::{Data, Error, EventContext, Result};
///
/// /// Counts the calls of a connection, also over recoveries.
/// async fn count(context: EventContext, Data(step): Data<u32>) -> Result<u32> {
///     if step == 0 {
///         return Err(Error::bad_request("a step is at least 1"));
///     }
///     #[derive(Default, serde::Serialize, serde::Deserialize)]
///     struct Counter { total: u32 }
///
///     let mut counter: Counter = context.state()?.unwrap_or_default();
///     counter.total += step;
///     context.set_state(&counter)?;
///     Ok(counter.total)
/// }
/// ```
#[derive(Clone)]
pub struct EventContext {
    /// The hub: publishes to rooms, reads history.
    pub hub: Hub,
    /// The connection that sent the event.
    pub connection: Arc<Connection>,
    /// The socket, with everything that socketioxide offers except for disconnect and fallback handlers, which are taken. Rooms
    /// that it joins are stored with the session when a handler returns and when the socket ends: a client that recovers its
    /// session is in them again. Its `extensions` are not stored. `socket.id` is a secret between the server and its client:
    /// show others [`id`](Self::id).
    pub socket: SocketRef,
    /// The handle of socketioxide, which emits to the sockets of all nodes.
    pub io: SocketIo,
    pub(in crate::transport::socketio) recovered: bool,
    /// The rooms that the client was in when it disconnected.
    pub(in crate::transport::socketio) rooms_at_end: Option<Arc<[RoomName]>>,
}

impl EventContext {
    /// The connection's public id, the client's `socket.id`. It survives a recovery, and is also a room of socketioxide:
    /// `to(id)` reaches this client, whichever node it is connected to.
    pub fn id(&self) -> ConnectionId {
        self.connection.id()
    }

    /// Who the client is.
    pub fn principal(&self) -> Arc<Principal> {
        self.connection.principal()
    }

    /// In the handler of `on_connect`: whether the client has resumed its session, with the rooms and the state that it had.
    pub fn is_recovered(&self) -> bool {
        self.recovered
    }

    /// The rooms that the client is in, without its personal room; in the handler of `on_disconnect` those that it was in.
    pub fn rooms(&self) -> Vec<RoomName> {
        let at_end = self.rooms_at_end.as_deref().map(<[_]>::to_vec);
        let mut rooms = at_end.unwrap_or_else(|| self.connection.rooms());
        rooms.retain(|room| !room.is_personal());
        rooms
    }

    /// Makes the client a member of a room, whatever its grants say. It receives what is published and emitted there from now on, and its
    /// membership outlives a recovery.
    ///
    /// # Errors
    /// Fails with `forbidden` for another user's personal room, `bad_request` if the room's name is longer than configured,
    /// `limit_reached` if it is in too many rooms, and `unavailable` if it has disconnected, or storage fails.
    pub async fn join(&self, room: &RoomName) -> Result<()> {
        self.hub.admit(&self.connection, room).await
    }

    /// Ends the client's membership of a room. Does nothing if there is none.
    ///
    /// # Errors
    /// Fails with `forbidden` for the personal room, and `unavailable` if the client has disconnected, or storage fails.
    pub async fn leave(&self, room: &RoomName) -> Result<()> {
        if !self.connection.is_in(room) {
            return Ok(());
        }
        self.hub.leave(&self.connection, room).await
    }

    /// The connections that are in a room of this namespace, on all nodes, in no order.
    ///
    /// # Errors
    /// Fails with `unavailable` if other nodes cannot be reached.
    pub async fn connections_in(&self, room: &RoomName) -> Result<Vec<RoomConnection>> {
        let key = self.connection.room_key(room);
        self.hub.connections_in(&key).await
    }

    /// Disconnects the client, which does not reconnect by itself.
    pub fn disconnect(&self) {
        self.connection.close(CloseReason::Removed);
    }

    /// The state that [`set_state`](Self::set_state) has set for the connection. It is stored with the session before the
    /// handler's ack is sent, and is restored by a recovery.
    ///
    /// # Errors
    /// Fails with `internal` if the state is not a `T`.
    pub fn state<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(state) = self.connection.state() else {
            return Ok(None);
        };
        let state = serde_json::from_str(state.get()).map_err(|error| {
            Error::new(Code::Internal, "a connection's state is of another form").caused_by(error)
        });
        state.map(Some)
    }

    /// Sets the state of the connection and replaces an earlier one.
    ///
    /// # Errors
    /// Fails with `bad_request` if it is not a JSON object, `too_large` if it has more than 8 KiB, and `internal` if it cannot be encoded.
    pub fn set_state(&self, state: &impl Serialize) -> Result<()> {
        let state = to_raw_value(state).map_err(|error| {
            Error::new(Code::Internal, "a connection's state cannot be encoded").caused_by(error)
        })?;
        self.connection.set_state(Some(state))
    }

    /// Publishes to a room in the sender's name. The sender's grants apply; its rate limit does not, since the handled event
    /// has passed it.
    ///
    /// # Errors
    /// Those of [`Hub::publish`], except `rate_limited`.
    pub async fn publish(&self, publish: Publish) -> Result<PublishOutcome> {
        self.hub.publish_unasked(&self.connection, publish).await
    }

    /// Emits an event to the client that sent this one, before what is sent to it later, its ack above all. It may overtake what was
    /// emitted to others, since that takes the way of messages; [`to_self`](Self::to_self) does not. A tuple is several arguments; bytes are
    /// attachments.
    ///
    /// # Errors
    /// Fails with `bad_request` if Socket.IO uses the name itself, with `internal` if the data cannot be encoded.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<()> {
        let broadcast = self.to_self().encode(event, data)?;
        let event = OutgoingEvent::new(Event::Broadcast(Arc::new(broadcast)));
        self.connection.push(&event);
        Ok(())
    }

    /// Emits an event to the client that sent this one, and waits for its ack, which may take `within`.
    ///
    /// # Errors
    /// Fails with `bad_request` if Socket.IO uses the name itself or the ack is no `T`, with `internal` if the data cannot be encoded, and
    /// with `unavailable` if no ack comes in time.
    pub async fn emit_with_ack<D: Serialize + ?Sized, T: DeserializeOwned + Send + 'static>(
        &self,
        event: &str,
        data: &D,
        within: Duration,
    ) -> Result<T> {
        emit_with_ack(&self.socket, event, data, within).await
    }

    /// Emits to the members of a room, on all nodes, without this client.
    pub fn to(&self, room: RoomName) -> Emitter {
        self.to_others().to(room)
    }

    /// Emits to everybody in the namespace, on all nodes, without this client.
    pub fn to_others(&self) -> Emitter {
        self.to_all().except_connection(self.id())
    }

    /// Emits to everybody in the namespace, on all nodes.
    pub fn to_all(&self) -> Emitter {
        Emitter::new(&self.hub, &self.io, self.connection.namespace())
    }

    /// Emits to all connections of a user, on all nodes.
    pub fn to_user(&self, user: &UserId) -> Emitter {
        self.to_all().to_user(user)
    }

    /// Emits to this client in the order of what is emitted to others: behind what was emitted before, perhaps also behind the ack of this event.
    pub fn to_self(&self) -> Emitter {
        self.to_connection(self.id())
    }

    /// Emits to one connection, on whatever node it is.
    pub fn to_connection(&self, connection: ConnectionId) -> Emitter {
        self.to_all().to_connection(connection)
    }
}
