//! A change of who is in a room or of what is shown of a user, as members are told.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    hub::rooms::user_status::UserStatus,
    model::{RoomName, Timestamp, UserId},
};

/// One change that the members of a room are told.
#[derive(Clone, Debug)]
pub struct PresenceChange {
    /// What happened.
    pub kind: ChangeKind,
    /// Whose presence changed.
    pub user: UserId,
    /// The status to show, after an update the new one.
    pub status: UserStatus,
    /// Users in the room after the change.
    pub count: usize,
}

/// What can happen to a user: first a join, then updates, then one leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The user has entered the room.
    Join,
    /// The user has left the room.
    Leave,
    /// What is shown of the user is different.
    Update,
}

impl PresenceChange {
    /// The argument of the `presence` event:
    /// `{ room, event: "join"|"leave"|"update", user, name?, status, info?, count, ts }`.
    pub fn event<'a>(&'a self, room: &'a RoomName, ts: Timestamp) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Argument<'a> {
            room: &'a RoomName,
            event: ChangeKind,
            user: &'a UserId,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            status: std::sync::Arc<str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            info: Option<&'a RawValue>,
            count: usize,
            ts: Timestamp,
        }
        Argument {
            room,
            event: self.kind,
            user: &self.user,
            name: self.status.name.as_deref(),
            status: self.status.displayed(),
            info: self.status.info.as_deref(),
            count: self.count,
            ts,
        }
    }
}
