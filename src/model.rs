//! The words of the contract as types: parsed once at the door, valid everywhere inside.
//!
//! Nothing here does I/O or knows a protocol. A value of one of these types cannot be malformed, so no code
//! behind a door checks again.

mod message;
mod names;
mod node;
mod pid;
mod position;

pub use message::{ConnectionId, Ephemeral, Message, RoomKey, Sender, Timestamp};
pub use names::{
    EVENT_BYTES, EVENT_SOURCE_OPEN, EventName, ID_CHARS, MessageId, NAME_BYTES, Namespace,
    PERSONAL, RoomName, UserId,
};
pub use node::NodeId;
pub use pid::Pid;
pub use position::{Cursor, Epoch, Offset, Position, Seq};
