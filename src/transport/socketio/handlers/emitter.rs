//! Emits an application's events to others.

use std::time::Duration;

use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};
use socketioxide::{AckError, SendError, operators::BroadcastOperators};

use super::encoding::encode_event;
use crate::{
    error::{Code, Error, Result},
    events::check_name,
    hub::Hub,
    model::{Audience, Broadcast, ConnectionId, EventPayload, Namespace, RoomName, UserId},
    transport::socketio::{Adapter, Socket, SocketIo, rooms::mirrored_name},
};

/// Emits one event to rooms, to a user, to one connection or to everybody in a namespace, on all nodes. It is not stored. It keeps its
/// place in the order of what a handler does, and among the messages of its room.
///
/// ```
/// use switchboard::{Data, EventContext, Result, model::RoomName};
///
/// async fn draw(context: EventContext, Data((room, line)): Data<(RoomName, Vec<f64>)>) -> Result<()> {
///     context.to(room).emit("drawn", &line).await
/// }
/// ```
///
/// Outside of handlers:
///
/// ```
/// use switchboard::{Emitter, Result, SocketIo, hub::Hub, model::{Namespace, RoomName}};
///
/// async fn announce(hub: &Hub, io: &SocketIo) -> Result<()> {
///     let lobby = RoomName::parse("lobby")?;
///     Emitter::new(hub, io, &Namespace::root()).to(lobby).emit("news", "it rains").await
/// }
/// ```
#[must_use = "nothing is sent before emit"]
pub struct Emitter {
    hub: Hub,
    io: SocketIo,
    broadcast: Broadcast,
}

/// An [`Emitter`] that waits for the acks of its receivers.
#[must_use = "nothing is sent before emit_with_ack"]
pub struct AckEmitter {
    emitter: Emitter,
    within: Duration,
}

/// What the receivers of an event have acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acks<T> {
    /// The acks, in the order in which they came.
    pub received: Vec<T>,
    /// How many receivers have not acknowledged in time, or not with a `T`.
    pub missing: usize,
}

impl Emitter {
    /// Emits to everybody in a namespace, unless told otherwise.
    pub fn new(hub: &Hub, io: &SocketIo, namespace: &Namespace) -> Self {
        Self {
            hub: hub.clone(),
            io: io.clone(),
            broadcast: Broadcast {
                namespace: namespace.clone(),
                to: Audience::Everybody,
                except: Vec::new(),
                except_rooms: Vec::new(),
                event: EventPayload::empty(),
            },
        }
    }

    /// Emits to the members of a room instead of everybody, or of this room, too. A member of several receives the event once.
    pub fn to(mut self, room: RoomName) -> Self {
        match &mut self.broadcast.to {
            Audience::Rooms(rooms) if rooms.contains(&room) => {}
            Audience::Rooms(rooms) => rooms.push(room),
            to => *to = Audience::Rooms(vec![room]),
        }
        self
    }

    /// Emits to all connections of a user: its personal room.
    pub fn to_user(self, user: &UserId) -> Self {
        self.to(RoomName::personal(user))
    }

    /// Emits to one connection, and to nobody else.
    pub fn to_connection(mut self, connection: ConnectionId) -> Self {
        self.broadcast.to = Audience::Connection(connection);
        self
    }

    /// Leaves out the members of a room.
    pub fn except(mut self, room: RoomName) -> Self {
        self.broadcast.except_rooms.push(room);
        self
    }

    /// Leaves out all connections of a user.
    pub fn except_user(self, user: &UserId) -> Self {
        self.except(RoomName::personal(user))
    }

    /// Leaves out one connection.
    pub fn except_connection(mut self, connection: ConnectionId) -> Self {
        self.broadcast.except.push(connection);
        self
    }

    /// Waits for acks, at most so long.
    pub fn timeout(self, within: Duration) -> AckEmitter {
        AckEmitter {
            emitter: self,
            within,
        }
    }

    /// Sends the event. A tuple is several arguments; bytes are attachments.
    ///
    /// # Errors
    /// Fails with `bad_request` if Socket.IO uses the name itself, with `internal` if the data cannot be encoded, and with
    /// `unavailable` if the server is stopping.
    pub async fn emit<T: Serialize + ?Sized>(self, event: &str, data: &T) -> Result<()> {
        let hub = self.hub.clone();
        hub.emit(self.encode(event, data)?).await
    }

    /// An event that is encoded already, for its receivers.
    pub(in crate::transport::socketio) fn into_broadcast(
        mut self,
        event: EventPayload,
    ) -> Broadcast {
        self.broadcast.event = event;
        self.broadcast
    }

    /// The event, for its receivers.
    pub(super) fn encode<T: Serialize + ?Sized>(
        mut self,
        event: &str,
        data: &T,
    ) -> Result<Broadcast> {
        check_name(event)?;
        self.broadcast.event = encode_event(event, data)?;
        Ok(self.broadcast)
    }

    /// The receivers as socketioxide addresses them.
    fn operators(&self) -> Option<BroadcastOperators<Adapter>> {
        let broadcast = &self.broadcast;
        let operators = self.io.of(broadcast.namespace.as_str())?;
        let name = |room: &RoomName| mirrored_name(room).into_owned();
        let operators = match &broadcast.to {
            Audience::Everybody => operators,
            Audience::Rooms(rooms) => operators.to(rooms.iter().map(name).collect::<Vec<_>>()),
            Audience::Connection(id) => operators.to(id.to_string()),
        };
        let connections = broadcast.except.iter().map(ToString::to_string);
        let except = connections.chain(broadcast.except_rooms.iter().map(name));
        Some(operators.except(except.collect::<Vec<_>>()))
    }
}

impl AckEmitter {
    /// Sends the event and waits until every receiver has acknowledged it, or until the time is over. A tuple is several arguments; so is
    /// an ack of several values. What was emitted before to receivers on this node comes first.
    ///
    /// # Errors
    /// Fails with `bad_request` if Socket.IO uses the name itself, and with `internal` if the event cannot be sent.
    pub async fn emit_with_ack<D: Serialize + ?Sized, T: DeserializeOwned + Send + 'static>(
        self,
        event: &str,
        data: &D,
    ) -> Result<Acks<T>> {
        check_name(event)?;
        let Self { emitter, within } = self;
        let mut acks = Acks {
            received: Vec::new(),
            missing: 0,
        };
        let Some(operators) = emitter.operators() else {
            return Ok(acks); // nobody has ever connected there
        };
        emitter.hub.flush_broadcasts().await;
        let replies = operators.timeout(within).emit_with_ack::<D, T>(event, data);
        let mut replies = Box::pin(replies.await.map_err(|error| not_sent(&error))?);
        while let Some((_, reply)) = replies.next().await {
            match reply {
                Ok(reply) => acks.received.push(reply),
                Err(_) => acks.missing += 1,
            }
        }
        Ok(acks)
    }
}

/// Emits an event to one socket and waits for its ack.
pub(super) async fn emit_with_ack<D: Serialize + ?Sized, T: DeserializeOwned + Send + 'static>(
    socket: &Socket,
    event: &str,
    data: &D,
    within: Duration,
) -> Result<T> {
    check_name(event)?;
    let reply = socket.timeout(within).emit_with_ack::<D, T>(event, data);
    let reply = reply.map_err(|error| match error {
        SendError::Socket(error) => {
            Error::unavailable("the client has gone, or does not read").caused_by(error)
        }
        SendError::Serialize(error) => not_sent(&error),
    });
    match reply?.await {
        Ok(reply) => Ok(reply),
        Err(AckError::Decode(error)) => {
            Err(Error::bad_request(format!("the ack does not fit: {error}")))
        }
        Err(_) => {
            let message = "the client has not acknowledged in time";
            Err(Error::unavailable(message))
        }
    }
}

fn not_sent(error: &dyn std::fmt::Display) -> Error {
    Error::new(Code::Internal, format!("the event cannot be sent: {error}"))
}
