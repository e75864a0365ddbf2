//! Events on their way to connections: each is encoded once per format, however many members receive it.

use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    limits::Reservation,
    model::{
        Broadcast, Ephemeral, EventName, EventPayload, Message, MessageId, Namespace, Offset,
        RoomName, Sender, Seq, Timestamp, UserId,
    },
    sync::lock,
};

/// An event as the hub knows it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A stored message of a room.
    Message(Arc<Message>),
    /// An ephemeral event of a room: it is not stored.
    Ephemeral(Arc<Ephemeral>),
    /// An application's event, for Socket.IO clients.
    Broadcast(Arc<Broadcast>),
    /// A notice of the server: an event name and one argument, and the room it is about, if any.
    Notice(&'static str, Option<RoomName>, Arc<RawValue>),
}

/// What happens to an event for a connection that is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryPolicy {
    /// It is always delivered.
    Always,
    /// It is useful only at once, and may be dropped.
    Droppable,
    /// It is delivered unless that would close the connection as slow.
    IfItFits,
    /// It replaces older events with the same key.
    NewestOnly(Arc<str>),
}

/// An event on its way to connections.
#[derive(Debug)]
pub struct OutgoingEvent {
    event: Event,
    delivery_policy: DeliveryPolicy,
    arguments: OnceLock<Arguments>,
    encoded: [OnceLock<(Namespace, Bytes)>; Format::COUNT],
    /// Memory that is reserved for it, until the encoded bytes take that over.
    reservation: Mutex<Option<Reservation>>,
}

/// How transports encode events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Socket.IO packets.
    Packet,
    /// Socket.IO packets with attachments for Engine.IO 3, which frames bytes in another way.
    LegacyPacket,
    /// The envelopes of plain WebSockets.
    Envelope,
    /// Server-sent events.
    EventStream,
}

impl Format {
    const COUNT: usize = 4;
}

/// An event as a name and positional arguments of JSON text.
#[derive(Debug)]
pub struct Arguments {
    /// The event's name.
    pub name: Box<str>,
    /// One JSON text an argument.
    pub values: Vec<Box<RawValue>>,
}

impl OutgoingEvent {
    /// Wraps an event; nothing is encoded yet.
    pub fn new(event: Event) -> Arc<Self> {
        let delivery_policy = match event {
            Event::Ephemeral(_) => DeliveryPolicy::Droppable,
            Event::Broadcast(_) => DeliveryPolicy::IfItFits,
            Event::Message(_) | Event::Notice(..) => DeliveryPolicy::Always,
        };
        Self::with_policy(event, delivery_policy)
    }

    /// Wraps an event that replaces older ones of the same kind, sender and room.
    pub fn newest(event: Event, room: &RoomName, kind: &str, from: Option<&UserId>) -> Arc<Self> {
        // None of the parts has a line break in it.
        let from = from.map_or("", UserId::as_str);
        let key = format!("{room}\n{kind}\n{from}");
        Self::with_policy(event, DeliveryPolicy::NewestOnly(key.into()))
    }

    fn with_policy(event: Event, delivery_policy: DeliveryPolicy) -> Arc<Self> {
        Arc::new(Self {
            event,
            delivery_policy,
            arguments: OnceLock::new(),
            encoded: Default::default(),
            reservation: Mutex::default(),
        })
    }

    /// Wraps an event for one connection alone, whose bytes stay reserved until they are sent.
    pub(super) fn with_reservation(event: Event, reservation: Option<Reservation>) -> Arc<Self> {
        let mut event = Self::new(event);
        if let Some(event) = Arc::get_mut(&mut event) {
            event.reservation = Mutex::new(reservation);
        }
        event
    }

    /// A notice that is about no room.
    pub fn notice(name: &'static str, argument: &impl Serialize) -> Arc<Self> {
        Self::new(Event::Notice(name, None, encode(argument).into()))
    }

    /// A notice about a room.
    pub fn room_notice(
        name: &'static str,
        room: &RoomName,
        argument: &impl Serialize,
    ) -> Arc<Self> {
        let argument = encode(argument).into();
        Self::new(Event::Notice(name, Some(room.clone()), argument))
    }

    /// A notice that replaces older ones about the same user in the same room.
    pub fn newest_notice(
        name: &'static str,
        room: &RoomName,
        user: &UserId,
        argument: &impl Serialize,
    ) -> Arc<Self> {
        let event = Event::Notice(name, Some(room.clone()), encode(argument).into());
        Self::newest(event, room, name, Some(user))
    }

    /// What happens to it for a connection that is behind.
    pub fn delivery_policy(&self) -> &DeliveryPolicy {
        &self.delivery_policy
    }

    /// The event itself.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The offset of a stored message: its place in the order of the namespace.
    pub fn offset(&self) -> Option<Offset> {
        match &self.event {
            Event::Message(message) => Some(message.offset),
            Event::Ephemeral(_) | Event::Broadcast(_) | Event::Notice(..) => None,
        }
    }

    /// Bytes that holding this event costs; a fair estimate.
    pub fn cost(&self) -> usize {
        match &self.event {
            Event::Message(message) => message.cost(),
            Event::Ephemeral(event) => size_of::<Ephemeral>() + event.data.get().len(),
            Event::Broadcast(broadcast) => broadcast.event.len(),
            Event::Notice(_, _, argument) => argument.get().len(),
        }
    }

    /// The event in a format. It is encoded by the first call; members of a room are all in one namespace.
    pub fn encoded(
        &self,
        format: Format,
        namespace: &Namespace,
        encode: impl Fn(&Self) -> Bytes,
    ) -> Bytes {
        let (made_for, bytes) = self.encoded[format as usize]
            .get_or_init(|| (namespace.clone(), self.attach_reservation(encode(self))));
        if made_for == namespace {
            return bytes.clone();
        }
        encode(self)
    }

    /// Hands the event's reservation over to its bytes.
    fn attach_reservation(&self, bytes: Bytes) -> Bytes {
        match lock(&self.reservation).take() {
            None => bytes,
            Some(reservation) => reservation.attach_to(bytes),
        }
    }

    /// The event's name and arguments, encoded by the first call.
    pub fn arguments(&self) -> &Arguments {
        self.arguments.get_or_init(|| Arguments::of(&self.event))
    }
}

impl Arguments {
    /// Those of an event that was checked when it came.
    fn of_payload(event: &EventPayload) -> Self {
        let mut values: Vec<Box<RawValue>> = serde_json::from_str(&event.text).unwrap_or_default();
        let name = match values.is_empty() {
            true => String::new(),
            false => serde_json::from_str(values.remove(0).get()).unwrap_or_default(),
        };
        Self {
            name: name.into(),
            values,
        }
    }

    fn of(event: &Event) -> Self {
        match event {
            Event::Message(message) if is_sent_as_object(&message.event) => Self {
                name: message.event.as_str().into(),
                values: vec![encode(message), encode(&message.offset.to_string())],
            },
            Event::Message(message) => Self {
                name: message.event.as_str().into(),
                values: vec![
                    message.data.as_ref().to_owned(),
                    encode(&Meta {
                        room: &message.room.room,
                        id: Some(&message.id),
                        seq: Some(message.seq),
                        event: &message.event,
                        from: message.from.as_ref(),
                        ts: message.ts,
                    }),
                    encode(&message.offset.to_string()),
                ],
            },
            Event::Ephemeral(event) => Self {
                name: event.event.as_str().into(),
                values: vec![
                    event.data.as_ref().to_owned(),
                    encode(&Meta {
                        room: &event.room.room,
                        id: event.id.as_ref(),
                        seq: None,
                        event: &event.event,
                        from: event.from.as_ref(),
                        ts: event.ts,
                    }),
                ],
            },
            Event::Broadcast(broadcast) => Self::of_payload(&broadcast.event),
            Event::Notice(name, _, argument) => Self {
                name: (*name).into(),
                values: vec![argument.as_ref().to_owned()],
            },
        }
    }
}

/// Whether a message of this event is sent as one object, and not as its data followed by its metadata.
fn is_sent_as_object(event: &EventName) -> bool {
    event.is_message() || event.is_notification()
}

/// A message's metadata.
#[derive(Serialize)]
struct Meta<'a> {
    room: &'a RoomName,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    event: &'a EventName,
    from: Option<&'a Sender>,
    ts: Timestamp,
}

fn encode(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).expect("strings, numbers and raw JSON always serialize")
}

#[cfg(test)]
mod tests;
