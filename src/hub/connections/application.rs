//! What an embedding application keeps with a connection: a state of its own, and the rooms of socketioxide that it has joined
//! the connection to. Both are stored with the session and restored when that is resumed.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Memberships;
use crate::{
    auth::{Permission, Principal},
    error::{Code, Error, Result},
    hooks::PermittedIdentity,
    model::RoomName,
};

pub use crate::limits::STATE_BYTES;

/// Bytes of the names of rooms that are stored; rooms beyond that are not joined again.
const ROOM_NAMES_BYTES: usize = 32 << 10;

/// What a session stores of the application.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ApplicationData {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rooms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Arc<RawValue>>,
    #[serde(default, skip_serializing_if = "GrantedRooms::is_empty")]
    pub(super) granted: GrantedRooms,
    /// What a hook has decided about the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<Arc<PermittedIdentity>>,
}

/// Rooms of the hub that the application has let a connection into, whatever its identity may do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct GrantedRooms(BTreeSet<RoomName>);

impl GrantedRooms {
    /// Whether a connection may be in a room: by its identity's grants, or because the application has made it a member.
    pub(super) fn may_be_in(&self, principal: &Principal, room: &RoomName) -> bool {
        principal.may(Permission::Join, room) || self.0.contains(room)
    }

    /// Whether the application has made the connection a member of a room.
    pub(super) fn contains(&self, room: &RoomName) -> bool {
        self.0.contains(room)
    }

    /// The application has let the connection into a room.
    pub(super) fn grant(&mut self, room: &RoomName) {
        self.0.insert(room.clone());
    }

    /// The connection has left a room.
    pub(super) fn revoke(&mut self, room: &RoomName) {
        self.0.remove(room);
    }

    /// Revokes all but those that the connection is a member of.
    pub(super) fn retain_joined(&mut self, joined: &Memberships) {
        self.0.retain(|room| joined.contains_key(room));
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ApplicationData {
    /// The state, and as many of `rooms` as fit.
    pub(super) fn new(
        mut rooms: Vec<String>,
        state: Option<Arc<RawValue>>,
        granted: GrantedRooms,
    ) -> Self {
        let mut left = ROOM_NAMES_BYTES;
        let fitting = rooms.iter().take_while(|room| {
            // With its quotes and a comma.
            let bytes = room.len() + 3;
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        });
        rooms.truncate(fitting.count());
        Self {
            rooms,
            state,
            granted,
            identity: None,
        }
    }

    /// Parses what was stored.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let parsed = text.map(serde_json::from_str);
        parsed.and_then(Result::ok).unwrap_or_default()
    }

    /// The text to store; `None` if there is nothing.
    pub(super) fn to_text(&self) -> Option<String> {
        let is_empty = self.rooms.is_empty() && self.state.is_none() && self.granted.is_empty();
        if is_empty && self.identity.is_none() {
            return None;
        }
        serde_json::to_string(self).ok()
    }
}

/// The application's state of a live connection.
#[derive(Debug, Default)]
pub(super) struct ApplicationState {
    state: Option<Arc<RawValue>>,
    pub(super) granted: GrantedRooms,
    pub(super) identity: Option<Arc<PermittedIdentity>>,
    /// The [`ApplicationData`] that is stored.
    stored: Option<String>,
}

impl ApplicationState {
    /// The state of a resumed connection.
    pub(super) fn restored(data: ApplicationData) -> Self {
        Self {
            state: data.state,
            granted: data.granted,
            identity: data.identity,
            stored: None,
        }
    }

    pub(super) fn get(&self) -> Option<Arc<RawValue>> {
        self.state.clone()
    }

    /// Replaces the state; `None` deletes it.
    pub(super) fn set(&mut self, state: Option<Box<RawValue>>) -> Result<()> {
        if let Some(state) = &state {
            let bytes = state.get().len();
            if !state.get().starts_with('{') {
                return Err(Error::bad_request(
                    "the state of a connection must be a JSON object",
                ));
            }
            if bytes > STATE_BYTES {
                let message = format!(
                    "the state of a connection may have {STATE_BYTES} bytes, this one has {bytes}"
                );
                return Err(Error::new(Code::TooLarge, message));
            }
        }
        self.state = state.map(Arc::from);
        Ok(())
    }

    pub(super) fn is_stored(&self, text: Option<&str>) -> bool {
        self.stored.as_deref() == text
    }

    pub(super) fn set_stored(&mut self, text: Option<String>) {
        self.stored = text;
    }
}

#[cfg(test)]
mod tests;
