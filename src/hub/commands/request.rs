//! The requests of clients and their replies: the same through every transport.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::hub::{
    HistoryPage, HistoryRequest, Join, Joined, PresencePage, Publish, ReadPosition, Signal,
    SignalReplies,
};
use crate::{
    backend::Appended,
    model::{RoomName, Seq, Timestamp, UserId},
};

/// A request of a client.
#[derive(Debug)]
pub enum Request {
    /// Join a room.
    Join(Join),
    /// Leave a room.
    Leave(RoomName),
    /// Publish a message or an event.
    Publish(Publish),
    /// Read a room's log.
    History(HistoryRequest),
    /// Replace the token.
    Refresh(String),
    /// List the users in a room.
    Presence(PresenceRequest),
    /// Change the user's status.
    Status(SetStatus),
    /// Start or stop typing.
    Typing(RoomName, bool),
    /// Mark a room as read up to a number.
    Read(RoomName, Seq),
    /// Send a signal.
    Signal(Signal),
}

impl Request {
    /// The word for it: the event that asks for it.
    pub(in crate::hub) fn name(&self) -> &'static str {
        match self {
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Publish(_) => "publish",
            Self::History(_) => "history",
            Self::Refresh(_) => "refresh",
            Self::Presence(_) => "presence",
            Self::Status(_) => "status",
            Self::Typing(..) => "typing",
            Self::Read(..) => "read",
            Self::Signal(_) => "signal",
        }
    }

    /// The room that it is about, if it is about one.
    pub(in crate::hub) fn room(&self) -> Option<&RoomName> {
        match self {
            Self::Join(Join { room, .. })
            | Self::Leave(room)
            | Self::Publish(Publish { room, .. })
            | Self::History(HistoryRequest { room, .. })
            | Self::Presence(PresenceRequest { room, .. })
            | Self::Typing(room, _)
            | Self::Read(room, _) => Some(room),
            Self::Refresh(_) | Self::Status(_) | Self::Signal(_) => None,
        }
    }
}

/// Which users of a room to list.
#[derive(Clone, Debug)]
pub struct PresenceRequest {
    /// The room.
    pub room: RoomName,
    /// At most so many.
    pub limit: Option<usize>,
    /// Only users after this one.
    pub after: Option<UserId>,
}

/// The status that a user sets.
#[derive(Debug)]
pub struct SetStatus {
    /// `online`, `away` or any other word.
    pub status: String,
    /// A JSON object to show with it; `None` keeps the present one.
    pub info: Option<Box<RawValue>>,
}

/// The reply to a [`Request`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// The room was joined; its live events come after this.
    Joined(Joined),
    /// The room was left.
    Left {
        /// The room.
        room: RoomName,
    },
    /// The message is stored.
    Stored {
        /// The room.
        room: RoomName,
        /// Its number and id.
        #[serde(flatten)]
        appended: Appended,
    },
    /// The event was sent.
    Sent {
        /// The room.
        room: RoomName,
    },
    /// The messages that were read.
    History(HistoryPage),
    /// The token was accepted.
    Refreshed {
        /// When it expires; `None`: never.
        expires_at: Option<Timestamp>,
    },
    /// Users in the room.
    Presence(PresencePage),
    /// The user's status was changed.
    Status {
        /// The new status.
        status: Arc<str>,
    },
    /// The room was marked as read.
    Read(ReadPosition),
    /// The receivers' replies to a signal.
    Signal(SignalReplies),
}
