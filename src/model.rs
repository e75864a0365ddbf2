//! The vocabulary of the protocol as types: parsed once at the edge, valid everywhere inside.
//!
//! Nothing here does I/O or knows a transport. A value of one of these types is never malformed, so no code behind the
//! edge validates it again.
//!
//! ```
//! use switchboard::model::RoomName;
//!
//! assert_eq!(RoomName::parse("team:7")?.as_str(), "team:7");
//! assert!(RoomName::parse("no spaces").is_err());
//! # Ok::<(), switchboard::Error>(())
//! ```

mod broadcast;
mod connection_id;
mod date;
mod message;
mod names;
mod node_id;
mod pid;
mod position;
mod timestamp;

pub use connection_id::ConnectionId;
pub use message::{Message, RoomKey, Sender};
pub use names::{
    EventName, MAX_EVENT_BYTES, MAX_ID_CHARS, MAX_NAME_BYTES, MessageId, Namespace,
    PERSONAL_ROOM_PREFIX, RoomName, UserId,
};
pub use position::{Epoch, Offset, Position, Seq};
pub use timestamp::Timestamp;

pub(crate) use broadcast::{Audience, Broadcast, EventPayload};
pub(crate) use date::iso_date;
pub(crate) use message::{DOCUMENTS, Ephemeral};
pub(crate) use node_id::NodeId;
pub(crate) use pid::Pid;
pub(crate) use position::{Cursor, Incarnation};
