//! Names of rooms, users, messages, events and namespaces. Each is valid by construction.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    error::{Error, Limit, Result},
    pattern::Pattern,
};

/// Defines a cheap-to-clone string type that only parsing constructs.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            ///
            /// # Errors
            /// Fails with `bad_request` and a message that says what is expected.
            pub fn parse(text: &str) -> Result<Self> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// Skips the checks, for names read from our own log, which were parsed before they were stored.
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

/// The maximum length of a room name or user id, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// The maximum length of a message id, in characters.
pub const MAX_ID_CHARS: usize = 64;
/// The maximum length of an event name, in bytes.
pub const MAX_EVENT_BYTES: usize = 64;
/// The prefix of the names of personal rooms; the user id follows.
pub const PERSONAL_ROOM_PREFIX: &str = "user:";

fn check_name(what: &str, text: &str, max: usize) -> Result<()> {
    if text.is_empty() || text.len() > max {
        return Err(Error::bad_request(format!(
            "{what} has 1 to {max} bytes, this one has {}",
            text.len()
        ))
        .for_limit(Limit::NameBytes));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::bad_request(format!(
            "{what} must not contain white space or control characters"
        )));
    }
    Ok(())
}

/// The prefix of a personal room does not count, so that every user has one.
fn check_room(text: &str) -> Result<()> {
    match text.strip_prefix(PERSONAL_ROOM_PREFIX) {
        Some(user) if text.len() > MAX_NAME_BYTES => check_name(
            "the user id in a personal room's name",
            user,
            MAX_NAME_BYTES,
        ),
        _ => check_name("a room name", text, MAX_NAME_BYTES),
    }
}

fn check_user(text: &str) -> Result<()> {
    check_name("a user id", text, MAX_NAME_BYTES)
}

fn check_id(text: &str) -> Result<()> {
    let chars = text.chars().count();
    if chars == 0 || chars > MAX_ID_CHARS {
        return Err(Error::bad_request(format!(
            "an id has 1 to {MAX_ID_CHARS} characters, this one has {chars}"
        ))
        .for_limit(Limit::NameBytes));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::bad_request(
            "an id must not contain control characters",
        ));
    }
    Ok(())
}

/// Event names that only the server, through any transport, or a client library emits.
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

/// The event that EventSource fires itself, besides `error`. Only published messages must not use it.
pub const EVENT_SOURCE_OPEN: &str = "open";

fn check_event(text: &str) -> Result<()> {
    check_name("an event name", text, MAX_EVENT_BYTES)?;
    if RESERVED.contains(&text) {
        return Err(Error::bad_request(format!(
            "the event name {text} is reserved; choose another"
        )));
    }
    if text == EVENT_SOURCE_OPEN {
        return Err(Error::bad_request(
            "the event name open is reserved by EventSource; choose another",
        ));
    }
    Ok(())
}

fn check_namespace(text: &str) -> Result<()> {
    check_name("a namespace", text, MAX_NAME_BYTES)?;
    if !text.starts_with('/') || text.contains([',', '?', '#', '{', '}']) {
        return Err(Error::bad_request(
            "a namespace begins with / and contains none of the characters , ? # { }",
        ));
    }
    Ok(())
}

name! {
    /// The name of a room: 1-128 bytes of UTF-8 without white space or control characters. In the name of a personal room,
    /// `user:` does not count.
    ///
    /// ```
    /// use switchboard::model::{RoomName, UserId};
    ///
    /// let alice = UserId::parse("alice")?;
    /// let personal = RoomName::personal(&alice);
    /// assert_eq!(personal.as_str(), "user:alice");
    /// assert!(personal.belongs_to(&alice));
    /// assert!(!RoomName::parse("team:7")?.is_personal());
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    RoomName, check_room
}
name! {
    /// The id of a user, of the same form as a room name.
    ///
    /// ```
    /// use switchboard::{Code, model::UserId};
    ///
    /// assert_eq!(UserId::parse("alice@example.com")?.as_str(), "alice@example.com");
    /// assert_eq!(UserId::parse("two words").unwrap_err().code(), Code::BadRequest);
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    UserId, check_user
}
name! {
    /// The id of a message: 1-64 characters chosen by the sender, or a UUIDv7 generated by the server.
    MessageId, check_id
}
name! {
    /// The name of an event that can be published. Names that the server uses itself are reserved.
    EventName, check_event
}
name! {
    /// A Socket.IO namespace, `/` or `/name`. Rooms of the same name in different namespaces are distinct.
    Namespace, check_namespace
}

impl RoomName {
    /// Whether a pattern is meant for the room: for a personal room it has to name personal rooms.
    pub(crate) fn is_matched_by(&self, pattern: &Pattern) -> bool {
        (!self.is_personal() || pattern.as_str().starts_with(PERSONAL_ROOM_PREFIX))
            && pattern.matches(self.as_str())
    }

    /// The personal room of a user.
    pub fn personal(user: &UserId) -> Self {
        Self(format!("{PERSONAL_ROOM_PREFIX}{user}").into())
    }

    /// The length that limits apply to; for a personal room the length of the user id.
    pub(crate) fn bytes(&self) -> usize {
        self.personal_user().unwrap_or(&self.0).len()
    }

    /// Whether this is a personal room.
    pub fn is_personal(&self) -> bool {
        self.0.starts_with(PERSONAL_ROOM_PREFIX)
    }

    /// The user whose personal room this is.
    pub(crate) fn personal_user(&self) -> Option<&str> {
        self.0.strip_prefix(PERSONAL_ROOM_PREFIX)
    }

    /// Whether this is the personal room of `user`.
    pub fn belongs_to(&self, user: &UserId) -> bool {
        self.personal_user() == Some(user.as_str())
    }
}

impl MessageId {
    /// A new id: a UUIDv7, so ids sort by time.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }
}

impl EventName {
    /// The default event, `message`.
    pub fn message() -> Self {
        Self(Self::MESSAGE.into())
    }

    /// The name of the default event.
    pub const MESSAGE: &'static str = "message";

    /// The event of a message in a personal room that the client shows as a notification.
    pub fn notification() -> Self {
        Self(Self::NOTIFICATION.into())
    }

    /// Parses the event of a message to send: any that can be published, or `notification`.
    ///
    /// # Errors
    /// Fails with `bad_request` and a message that says what is expected.
    pub fn parse_sent(text: &str) -> Result<Self> {
        match text {
            Self::NOTIFICATION => Ok(Self::notification()),
            name => Self::parse(name),
        }
    }

    /// The name of the notification event, which only personal rooms accept.
    pub const NOTIFICATION: &'static str = "notification";

    /// Whether this is the notification event.
    pub fn is_notification(&self) -> bool {
        &*self.0 == Self::NOTIFICATION
    }

    /// Whether this is the default event.
    pub fn is_message(&self) -> bool {
        &*self.0 == Self::MESSAGE
    }
}

impl Namespace {
    /// The default namespace, `/`.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Whether this is the default namespace.
    pub fn is_root(&self) -> bool {
        self.as_str() == "/"
    }
}

#[cfg(test)]
mod tests;
