//! What is sent: messages, which are stored and numbered, and events that are not.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

use super::{EventName, MessageId, Namespace, Offset, RoomName, Seq, UserId};

/// Server time: whole milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The present.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// This time less `age`, not before the epoch.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The present, or if that is not after `other`, the millisecond after that.
    #[must_use]
    pub fn now_after(other: Self) -> Self {
        Self::now().max(Self(other.0.saturating_add(1)))
    }

    /// From here to `later`, zero if that is past.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// A room within its namespace: what a log is kept for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey {
    /// The namespace; rooms of different namespaces are different rooms.
    pub namespace: Namespace,
    /// The room.
    pub room: RoomName,
}

/// Who sent a message, as members see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sender {
    /// The user.
    pub user: UserId,
    /// The name to show, if the identity has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
}

/// Names one connection to everybody: opaque, unguessable, and never the Engine.IO session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u128);

impl ConnectionId {
    /// A new one, 128 random bits.
    pub fn fresh() -> Self {
        Self(rand::random())
    }
}

impl FromStr for ConnectionId {
    type Err = Error;

    /// Any text is the id of some connection, if not of one that there is; only what was given out can be found.
    fn from_str(text: &str) -> Result<Self> {
        let known = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(id) if known => Ok(Self(id)),
            _ => Err(Error::bad_request(
                "a connection's id is the text of 32 characters that session told",
            )),
        }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConnectionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A stored, numbered message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The room it was sent to.
    pub room: RoomKey,
    /// Its id: the sender's, or one the server gave.
    pub id: MessageId,
    /// Its number in the room.
    pub seq: Seq,
    /// Its number in the namespace.
    pub offset: Offset,
    /// The name it is delivered under.
    pub event: EventName,
    /// Who sent it; `None` when a back end sent it in nobody's name.
    pub from: Option<Sender>,
    /// What was sent, byte for byte.
    pub data: Arc<RawValue>,
    /// When it was stored.
    pub ts: Timestamp,
    /// The connection that is not to get it back (`echo: false`). Nobody is shown this.
    pub except: Option<ConnectionId>,
}

impl Message {
    /// Bytes that keeping this message costs, for bounds; a fair estimate.
    pub fn cost(&self) -> usize {
        let names = self.id.as_str().len() + self.event.as_str().len();
        let from = self.from.as_ref().map_or(0, |from| {
            from.user.as_str().len() + from.name.as_deref().map_or(0, str::len)
        });
        std::mem::size_of::<Self>() + names + from + self.data.get().len()
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_struct("Message", 7)?;
        message.serialize_field("room", &self.room.room)?;
        message.serialize_field("id", &self.id)?;
        message.serialize_field("seq", &self.seq)?;
        message.serialize_field("event", &self.event)?;
        message.serialize_field("from", &self.from)?;
        message.serialize_field("data", &self.data)?;
        message.serialize_field("ts", &self.ts)?;
        message.end()
    }
}

impl Serialize for Ephemeral {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 5 + usize::from(self.id.is_some());
        let mut event = serializer.serialize_struct("Ephemeral", fields)?;
        event.serialize_field("room", &self.room.room)?;
        if let Some(id) = &self.id {
            event.serialize_field("id", id)?;
        }
        event.serialize_field("event", &self.event)?;
        event.serialize_field("from", &self.from)?;
        event.serialize_field("data", &self.data)?;
        event.serialize_field("ts", &self.ts)?;
        event.end()
    }
}

/// An event that is neither numbered nor kept.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    /// The room it was sent to.
    pub room: RoomKey,
    /// The sender's id for it, if it gave one.
    pub id: Option<MessageId>,
    /// The name it is delivered under.
    pub event: EventName,
    /// Who sent it.
    pub from: Option<Sender>,
    /// What was sent, byte for byte.
    pub data: Arc<RawValue>,
    /// When it was sent.
    pub ts: Timestamp,
}

#[cfg(test)]
mod tests;
