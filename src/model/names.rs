//! Names: of rooms, users, messages, events and namespaces. Each can only be had by parsing.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Limit, Result};

/// Makes a cheap-to-clone string type that can only be had by parsing.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts `text` if it is well formed; otherwise a `bad_request` that says what is expected.
            pub fn parse(text: &str) -> Result<Self> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// What our own log gives back: it was parsed before it was stored.
            pub(crate) fn from_log(text: &str) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(|error| de::Error::custom(error.message().to_owned()))
            }
        }
    };
}

/// Longest room name or user id, in bytes.
pub const NAME_BYTES: usize = 128;
/// Longest message id, in characters.
pub const ID_CHARS: usize = 64;
/// Longest event name, in bytes.
pub const EVENT_BYTES: usize = 64;
/// Every personal room's name begins with this.
pub const PERSONAL: &str = "user:";

fn check_name(what: &str, text: &str, most: usize) -> Result<()> {
    if text.is_empty() || text.len() > most {
        return Err(Error::bad_request(format!(
            "{what} has 1 to {most} bytes, this one has {}",
            text.len()
        ))
        .for_limit(Limit::NameBytes));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::bad_request(format!(
            "{what} has no white space or control characters"
        )));
    }
    Ok(())
}

/// A personal room's name is as long as its user's id is, so that each user has one.
fn check_room(text: &str) -> Result<()> {
    match text.strip_prefix(PERSONAL) {
        Some(user) if text.len() > NAME_BYTES => {
            check_name("the user id in a personal room's name", user, NAME_BYTES)
        }
        _ => check_name("a room name", text, NAME_BYTES),
    }
}

fn check_user(text: &str) -> Result<()> {
    check_name("a user id", text, NAME_BYTES)
}

fn check_id(text: &str) -> Result<()> {
    let chars = text.chars().count();
    if chars == 0 || chars > ID_CHARS {
        return Err(Error::bad_request(format!(
            "an id has 1 to {ID_CHARS} characters, this one has {chars}"
        ))
        .for_limit(Limit::NameBytes));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::bad_request("an id has no control characters"));
    }
    Ok(())
}

/// Event names that only the server, through whichever door, or a client itself may emit.
const RESERVED: [&str; 16] = [
    "session",
    "error",
    "typing",
    "presence",
    "read",
    "signal",
    "notification",
    "kicked",
    "draining",
    "reset",
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// What EventSource fires by itself, besides `error`. What is not published may have this name.
pub const EVENT_SOURCE_OPEN: &str = "open";

fn check_event(text: &str) -> Result<()> {
    check_name("an event name", text, EVENT_BYTES)?;
    if RESERVED.contains(&text) {
        return Err(Error::bad_request(format!(
            "the event name {text} is reserved; choose another"
        )));
    }
    if text == EVENT_SOURCE_OPEN {
        return Err(Error::bad_request(
            "the event name open is reserved: EventSource has an event of its own by that name; choose another",
        ));
    }
    Ok(())
}

fn check_namespace(text: &str) -> Result<()> {
    check_name("a namespace", text, NAME_BYTES)?;
    if !text.starts_with('/') || text.contains([',', '?', '#', '{', '}']) {
        return Err(Error::bad_request(
            "a namespace begins with / and has none of the characters , ? # { }",
        ));
    }
    Ok(())
}

name! {
    /// A room's name: 1-128 bytes of UTF-8 without white space or control characters; in a personal room's, `user:` is not
    /// counted.
    RoomName, check_room
}
name! {
    /// Who a connection speaks for; the alphabet and length of a room name.
    UserId, check_user
}
name! {
    /// A message's id: 1-64 characters, chosen by the sender or a UUIDv7 given by the server.
    MessageId, check_id
}
name! {
    /// The name that a published event is delivered under; names the server itself uses are refused.
    EventName, check_event
}
name! {
    /// A Socket.IO namespace, `/` or `/name`; rooms of different namespaces are different rooms.
    Namespace, check_namespace
}

impl RoomName {
    /// The personal room of a user.
    pub fn personal(user: &UserId) -> Self {
        Self(format!("{PERSONAL}{user}").into())
    }

    /// Its length as limits count it: a personal room's is that of its user's id.
    pub fn bytes(&self) -> usize {
        self.0.strip_prefix(PERSONAL).unwrap_or(&self.0).len()
    }

    /// Whether this is somebody's personal room.
    pub fn is_personal(&self) -> bool {
        self.0.starts_with(PERSONAL)
    }

    /// Whether this is the personal room of `user`.
    pub fn belongs_to(&self, user: &UserId) -> bool {
        self.0.strip_prefix(PERSONAL) == Some(user.as_str())
    }
}

impl MessageId {
    /// A fresh id: UUIDv7, so ids sort by time.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }
}

impl EventName {
    /// The event of an ordinary message.
    pub fn message() -> Self {
        Self(Self::MESSAGE.into())
    }

    /// The name of the ordinary message event.
    pub const MESSAGE: &'static str = "message";

    /// The event of a message to a user's personal room, which the client shows as a notification.
    pub fn notification() -> Self {
        Self(Self::NOTIFICATION.into())
    }

    /// Accepts a name that somebody sends a message under: any that can be published, or that of notifications.
    pub fn parse_sent(text: &str) -> Result<Self> {
        match text {
            Self::NOTIFICATION => Ok(Self::notification()),
            name => Self::parse(name),
        }
    }

    /// The name of the notification event; only a personal room takes it.
    pub const NOTIFICATION: &'static str = "notification";

    /// Whether this is the notification event.
    pub fn is_notification(&self) -> bool {
        &*self.0 == Self::NOTIFICATION
    }

    /// Whether this is the ordinary message event.
    pub fn is_message(&self) -> bool {
        &*self.0 == Self::MESSAGE
    }
}

impl Namespace {
    /// The default namespace, `/`.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Whether it is the default namespace.
    pub fn is_root(&self) -> bool {
        self.as_str() == "/"
    }
}

#[cfg(test)]
mod tests;
