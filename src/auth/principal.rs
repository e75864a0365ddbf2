//! Who a connection or request speaks for, and what it may do.
//!
//! Knows no tokens and no keys: `jwt` and `open` make principals, the hub asks them.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::grants::{Grants, Permission};
use crate::{
    error::{Error, Limit, Result},
    model::{RoomName, Sender, Timestamp, UserId},
};

/// Longest name to show, in bytes.
pub const MAX_DISPLAY_NAME_BYTES: usize = 128;
/// Largest `info`, in bytes of JSON.
pub const MAX_INFO_BYTES: usize = 1024;

/// A verified identity.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user.
    pub user: UserId,
    /// The name to show; made by [`parse_name`].
    pub name: Option<Arc<str>>,
    /// What presence shows about the user besides; made by [`parse_info`].
    pub info: Option<Arc<RawValue>>,
    /// What the identity may do in rooms that are not its own.
    pub grants: Arc<Grants>,
    /// When the identity ends; `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// The user as members see it.
    pub fn sender(&self) -> Sender {
        Sender {
            user: self.user.clone(),
            name: self.name.clone(),
        }
    }

    /// Whether `permission` is granted in `room`.
    ///
    /// A personal room is its user's to be in and to read, and nobody else's to join, whatever the grants say;
    /// anything else there takes a rule that names personal rooms.
    pub fn may(&self, permission: Permission, room: &RoomName) -> bool {
        if room.is_personal() {
            let own = room.belongs_to(&self.user);
            match permission {
                Permission::Join => return own,
                Permission::History | Permission::Presence if own => return true,
                _ => {}
            }
        }
        self.grants.allow(permission, room)
    }

    /// Whether the identity has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

/// Accepts a name to show: at most [`MAX_DISPLAY_NAME_BYTES`] bytes without control characters. Empty text is no name.
pub fn parse_name(text: &str) -> Result<Option<Arc<str>>> {
    if text.len() > MAX_DISPLAY_NAME_BYTES {
        return Err(Error::bad_request(format!(
            "a name has at most {MAX_DISPLAY_NAME_BYTES} bytes, this one has {}",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::bad_request("a name has no control characters"));
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

/// Accepts an `info`: a JSON object of at most [`MAX_INFO_BYTES`] bytes.
pub fn parse_info(json: Box<RawValue>) -> Result<Arc<RawValue>> {
    if !json.get().starts_with('{') {
        return Err(Error::bad_request("info is a JSON object"));
    }
    if json.get().len() > MAX_INFO_BYTES {
        return Err(Error::bad_request(format!(
            "info has at most {MAX_INFO_BYTES} bytes, this one has {}",
            json.get().len()
        ))
        .for_limit(Limit::InfoBytes));
    }
    Ok(json.into())
}

#[cfg(test)]
mod tests;
