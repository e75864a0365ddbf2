//! What a handler can do: publish, emit, keep a state with the connection.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::to_raw_value;

use super::{Emitter, encoding::encode_event};
use crate::{
    error::{Code, Error, Result},
    events::check_name,
    hub::{Connection, Event, Hub, OutgoingEvent, Publish, PublishOutcome},
    model::{Audience, Broadcast, ConnectionId, RoomName, UserId},
    transport::socketio::SocketRef,
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
}

impl EventContext {
    /// The connection's public id, the client's `socket.id`. It survives a recovery, and is also a room of socketioxide:
    /// `to(id)` reaches this client, whichever node it is connected to.
    pub fn id(&self) -> ConnectionId {
        self.connection.id()
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
        self.hub.publish_admitted(&self.connection, publish).await
    }

    /// Emits an event to the client that sent this one, before what is sent to it later, its ack above all. A tuple is several
    /// arguments; bytes are attachments.
    ///
    /// # Errors
    /// Fails with `bad_request` if Socket.IO uses the name itself, with `internal` if the data cannot be encoded.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<()> {
        check_name(event)?;
        let broadcast = Broadcast {
            namespace: self.connection.namespace().clone(),
            to: Audience::Connection(self.id()),
            except: Vec::new(),
            except_rooms: Vec::new(),
            event: encode_event(event, data)?,
        };
        let event = OutgoingEvent::new(Event::Broadcast(Arc::new(broadcast)));
        self.connection.push(&event);
        Ok(())
    }

    /// Emits to the members of a room, on all nodes, without this client.
    pub fn to(&self, room: RoomName) -> Emitter {
        self.emitter(Audience::Rooms(vec![room]))
            .except_connection(self.id())
    }

    /// Emits to everybody in the namespace, on all nodes, without this client.
    pub fn to_others(&self) -> Emitter {
        self.to_all().except_connection(self.id())
    }

    /// Emits to everybody in the namespace, on all nodes.
    pub fn to_all(&self) -> Emitter {
        self.emitter(Audience::Everybody)
    }

    /// Emits to all connections of a user, on all nodes.
    pub fn to_user(&self, user: &UserId) -> Emitter {
        self.emitter(Audience::Rooms(vec![RoomName::personal(user)]))
    }

    /// Emits to one connection, on whatever node it is.
    pub fn to_connection(&self, connection: ConnectionId) -> Emitter {
        self.emitter(Audience::Connection(connection))
    }

    fn emitter(&self, to: Audience) -> Emitter {
        Emitter::new(&self.hub, self.connection.namespace(), to)
    }
}
