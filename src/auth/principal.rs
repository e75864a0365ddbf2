//! The identity of a connection or request, and what it may do.
//!
//! Knows no tokens and no keys: `jwt` and `open_mode` create principals, the hub queries them.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::grants::{Grants, Permission};
use crate::{
    error::{Error, Limit, Result},
    model::{RoomName, Sender, Timestamp, UserId},
};

/// The maximum length of a display name, in bytes.
pub const MAX_DISPLAY_NAME_BYTES: usize = 128;
/// The maximum size of `info`, in bytes of JSON.
pub const MAX_INFO_BYTES: usize = 1024;

/// A verified identity.
///
/// ```
/// use std::sync::Arc;
/// use switchboard::{
///     auth::{Grants, Permission, Principal},
///     model::{RoomName, UserId},
/// };
///
/// let alice = Principal {
///     user: UserId::parse("alice")?,
///     name: None,
///     info: None,
///     grants: Arc::new(Grants::parse("team:*=join,publish")?),
///     expires_at: None,
/// };
/// assert!(alice.may(Permission::Publish, &RoomName::parse("team:7")?));
/// assert!(alice.may(Permission::Join, &RoomName::personal(&alice.user)));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user.
    pub user: UserId,
    /// The display name, from [`parse_name`].
    pub name: Option<Arc<str>>,
    /// Additional data for presence, from [`parse_info`].
    pub info: Option<Arc<RawValue>>,
    /// What the identity may do in rooms other than its own personal room.
    pub grants: Arc<Grants>,
    /// When the identity expires; `None` is never.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// A user that may do what `grants` say, without a name and without an end.
    pub fn new(user: UserId, grants: Grants) -> Self {
        Self {
            user,
            name: None,
            info: None,
            grants: Arc::new(grants),
            expires_at: None,
        }
    }

    /// The user as members see it.
    pub fn sender(&self) -> Sender {
        Sender {
            user: self.user.clone(),
            name: self.name.clone(),
        }
    }

    /// Whether `permission` is granted in `room`.
    ///
    /// Only its user may join a personal room, and may always read it, whatever the grants say. Anything else there takes a
    /// rule that names personal rooms.
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

    /// Whether the identity has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

/// Parses a display name: at most [`MAX_DISPLAY_NAME_BYTES`] bytes without control characters. Empty text is no name.
///
/// # Errors
/// Fails with `bad_request` if it is too long or has control characters.
pub fn parse_name(text: &str) -> Result<Option<Arc<str>>> {
    if text.len() > MAX_DISPLAY_NAME_BYTES {
        return Err(Error::bad_request(format!(
            "a name has at most {MAX_DISPLAY_NAME_BYTES} bytes, this one has {}",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::bad_request(
            "a name must not contain control characters",
        ));
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

/// Parses an `info`: a JSON object of at most [`MAX_INFO_BYTES`] bytes.
///
/// # Errors
/// Fails with `bad_request` if it is not an object or too large.
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
