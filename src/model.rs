//! The words of the contract as types: parsed once at the door, valid everywhere inside.
//!
//! Nothing here does I/O or knows a protocol. A value of one of these types cannot be malformed, so no code
//! behind a door checks again.

use std::{
    borrow::Borrow,
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// Server time: whole milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    /// From here to `later`, zero if that is past.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

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
            "a {what} has 1 to {most} bytes, this one has {}",
            text.len()
        )));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::bad_request(format!(
            "a {what} has no white space or control characters"
        )));
    }
    Ok(())
}

fn check_room(text: &str) -> Result<()> {
    check_name("room name", text, NAME_BYTES)
}

fn check_user(text: &str) -> Result<()> {
    // The personal room `user:<id>` has to be a room name too.
    check_name("user id", text, NAME_BYTES - PERSONAL.len())
}

fn check_id(text: &str) -> Result<()> {
    let chars = text.chars().count();
    if chars == 0 || chars > ID_CHARS {
        return Err(Error::bad_request(format!(
            "an id has 1 to {ID_CHARS} characters, this one has {chars}"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::bad_request("an id has no control characters"));
    }
    Ok(())
}

/// Event names that only the server, or the socket.io client itself, may emit.
const RESERVED: [&str; 14] = [
    "session",
    "error",
    "typing",
    "presence",
    "read",
    "signal",
    "notification",
    "kicked",
    "draining",
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
];

fn check_event(text: &str) -> Result<()> {
    check_name("event name", text, EVENT_BYTES)?;
    if RESERVED.contains(&text) || text == "removeListener" {
        return Err(Error::bad_request(format!(
            "the event name {text} is reserved; choose another"
        )));
    }
    Ok(())
}

fn check_namespace(text: &str) -> Result<()> {
    check_name("namespace", text, NAME_BYTES)?;
    if !text.starts_with('/') || text.contains([',', '?', '{', '}']) {
        return Err(Error::bad_request(
            "a namespace begins with / and has none of the characters , ? { }",
        ));
    }
    Ok(())
}

name! {
    /// A room's name: 1-128 bytes of UTF-8 without white space or control characters.
    RoomName, check_room
}
name! {
    /// Who a connection speaks for; the alphabet of a room name, and short enough for a personal room.
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
}

/// A message's number in its room: 1, 2, 3 ... without holes. Zero means "before the first".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message's number among all messages of its namespace, in the order every member is given them.
/// It grows and may skip. Clients see it as an opaque string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names the life of a room's log; numbers compare only within one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// A new, random one: 8 lower-case letters and digits.
    pub fn fresh() -> Self {
        use rand::Rng;
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut random = rand::rng();
        let text: String = (0..8)
            .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
            .collect();
        Self(text.into())
    }

    /// An epoch as it was stored or as a client gave it back; any text is one.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a room's log: after the message `seq` of `epoch`. Written `epoch:seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which life of the log.
    pub epoch: Epoch,
    /// The last message before this place; 0 before the first.
    pub seq: Seq,
}

impl Position {
    /// Reads `epoch:seq`.
    pub fn parse(text: &str) -> Result<Self> {
        text.rsplit_once(':')
            .filter(|(epoch, _)| !epoch.is_empty() && epoch.len() <= ID_CHARS)
            .and_then(|(epoch, seq)| {
                Some(Self {
                    epoch: Epoch::from_text(epoch),
                    seq: Seq(seq.parse().ok()?),
                })
            })
            .ok_or_else(|| {
                Error::bad_request(
                    "a position is \"epoch:seq\" or { epoch, seq }, as an earlier answer gave it",
                )
            })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            epoch: String,
            seq: u64,
        }
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "\"epoch:seq\" or { epoch, seq }")]
        enum Form {
            Text(String),
            Parts(Parts),
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Position::parse(&text)
                .map_err(|error| de::Error::custom(error.message().to_owned())),
            Form::Parts(Parts { epoch, seq }) => Ok(Position {
                epoch: Epoch::from_text(&epoch),
                seq: Seq(seq),
            }),
        }
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
mod tests {
    use super::*;

    #[test]
    fn names_with_white_space_control_characters_or_no_fitting_length_are_refused() {
        for good in [
            "a",
            "team-7:general",
            "räume/1",
            "user:alice",
            &"x".repeat(128),
        ] {
            assert!(RoomName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a\n",
            "\u{7f}",
            "a\u{a0}b",
            &"x".repeat(129),
            &"ä".repeat(65),
        ] {
            assert!(RoomName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_user_has_a_personal_room_that_is_a_valid_room_name() {
        let longest = UserId::parse(&"u".repeat(NAME_BYTES - PERSONAL.len())).expect("fits");
        let room = RoomName::personal(&longest);
        assert!(RoomName::parse(room.as_str()).is_ok());
        assert!(room.belongs_to(&longest));
        assert!(!room.belongs_to(&UserId::parse("u").expect("valid")));
    }

    #[test]
    fn events_of_the_server_cannot_be_published() {
        for name in RESERVED {
            assert!(EventName::parse(name).is_err(), "{name}");
        }
        assert!(EventName::parse("message").is_ok());
        assert!(EventName::parse("price").is_ok());
    }

    #[test]
    fn a_position_reads_back_as_it_was_written() {
        let position = Position {
            epoch: Epoch::fresh(),
            seq: Seq(42),
        };
        assert_eq!(
            Position::parse(&position.to_string()).expect("round trip"),
            position
        );
        for bad in ["", "7", ":7", "abc", "abc:", "abc:-1", "abc:x"] {
            assert!(Position::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn data_passes_byte_for_byte() {
        for data in [
            "12345678901234567890",
            "1.0",
            r#"{"b":1,"a":2}"#,
            r#""\u0000""#,
            "1e400",
        ] {
            let message = Message {
                room: RoomKey {
                    namespace: Namespace::root(),
                    room: RoomName::parse("r").expect("valid"),
                },
                id: MessageId::parse("i").expect("valid"),
                seq: Seq(1),
                offset: Offset(1),
                event: EventName::message(),
                from: None,
                data: RawValue::from_string(data.to_owned()).expect("JSON").into(),
                ts: Timestamp(5),
            };
            assert_eq!(
                serde_json::to_string(&message).expect("serializes"),
                format!(
                    r#"{{"room":"r","id":"i","seq":1,"event":"message","from":null,"data":{data},"ts":5}}"#
                )
            );
        }
    }
}
