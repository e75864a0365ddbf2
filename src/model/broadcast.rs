//! Events of an application: relayed or emitted. They are neither numbered nor stored, and their arguments pass as they are.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    connection_id::ConnectionId,
    message::RoomKey,
    names::{Namespace, RoomName},
};

/// An event with any arguments, as it travels: JSON text with placeholders for its binary attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPayload {
    /// The array `["name", argument…]`, byte for byte as it was sent.
    pub text: Arc<str>,
    /// What the placeholders in the text stand for, by their number.
    pub attachments: Vec<Bytes>,
}

impl EventPayload {
    /// No arguments.
    pub fn empty() -> Self {
        Self {
            text: "[]".into(),
            attachments: Vec::new(),
        }
    }

    /// The arguments of the ack of an event that succeeded and has nothing else to say.
    pub fn ok() -> Self {
        Self {
            text: r#"[{"ok":true}]"#.into(),
            attachments: Vec::new(),
        }
    }

    /// Whether the last argument is a string.
    pub fn ends_in_string(&self) -> bool {
        let arguments = self.text.strip_suffix(']').unwrap_or_default();
        arguments.trim_ascii_end().ends_with('"')
    }

    /// Bytes of the text and the attachments.
    pub fn len(&self) -> usize {
        self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Who receives a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All connections of the namespace.
    Everybody,
    /// The members of these rooms. A member of several receives it once.
    Rooms(Vec<RoomName>),
    /// One connection.
    Connection(ConnectionId),
}

/// An event of an application, for connections on all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The namespace.
    pub namespace: Namespace,
    /// Who receives it.
    pub to: Audience,
    /// Connections that do not receive it.
    pub except: Vec<ConnectionId>,
    /// Rooms whose members do not receive it.
    pub except_rooms: Vec<RoomName>,
    /// The event.
    pub event: EventPayload,
}

impl Broadcast {
    /// The room whose channel it travels on: its only room, so that it has its place among the messages there; otherwise what
    /// stands for the whole namespace.
    pub fn channel(&self) -> RoomKey {
        match &self.to {
            Audience::Rooms(rooms) if rooms.len() == 1 => RoomKey {
                namespace: self.namespace.clone(),
                room: rooms[0].clone(),
            },
            _ => RoomKey::of_namespace(&self.namespace),
        }
    }
}
