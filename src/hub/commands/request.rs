//! What a client can ask of its connection, and what it is answered: the same through every door.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::hub::{
    History, HistoryPage, Join, Joined, PresencePage, Publish, ReadTo, Replies, Signal,
};
use crate::{
    backend::Appended,
    model::{RoomName, Seq, Timestamp, UserId},
};

/// Something that a client asks for.
#[derive(Debug)]
pub enum Request {
    /// To become a member.
    Join(Join),
    /// To be one no more.
    Leave(RoomName),
    /// To send.
    Publish(Publish),
    /// To read.
    History(History),
    /// To go on with this token.
    Refresh(String),
    /// To be told who is here.
    Presence(Roll),
    /// To be shown like this.
    Status(Status),
    /// To be shown as typing, or not any more.
    Typing(RoomName, bool),
    /// To have read up to a number.
    Read(RoomName, Seq),
    /// To say a word to somebody.
    Signal(Signal),
}

/// Which users of a room to show.
#[derive(Clone, Debug)]
pub struct Roll {
    /// The room.
    pub room: RoomName,
    /// At most so many.
    pub limit: Option<usize>,
    /// Those behind this one.
    pub after: Option<UserId>,
}

/// How a user says it is.
#[derive(Debug)]
pub struct Status {
    /// In a word.
    pub status: String,
    /// What to show besides; `None` leaves it as it was.
    pub info: Option<Box<RawValue>>,
}

/// What became of a [`Request`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The room was joined; its live events come behind this.
    Joined(Joined),
    /// The room was left.
    Left {
        /// Which.
        room: RoomName,
    },
    /// The message is stored.
    Stored {
        /// Where.
        room: RoomName,
        /// As what.
        #[serde(flatten)]
        appended: Appended,
    },
    /// It was passed on.
    Sent {
        /// Where.
        room: RoomName,
    },
    /// What was read.
    History(HistoryPage),
    /// The token is good.
    Refreshed {
        /// Until when; `None`: for ever.
        expires_at: Option<Timestamp>,
    },
    /// Who is here.
    Presence(PresencePage),
    /// The user is shown like this.
    Status {
        /// In a word.
        status: Arc<str>,
    },
    /// What counts as read.
    Read(ReadTo),
    /// What others answered.
    Replies(Replies),
}
