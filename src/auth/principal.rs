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
pub const SHOWN_NAME_BYTES: usize = 128;
/// Largest `info`, in bytes of JSON.
pub const INFO_BYTES: usize = 1024;

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

/// Accepts a name to show: at most [`SHOWN_NAME_BYTES`] bytes without control characters. Empty text is no name.
pub fn parse_name(text: &str) -> Result<Option<Arc<str>>> {
    if text.len() > SHOWN_NAME_BYTES {
        return Err(Error::bad_request(format!(
            "a name has at most {SHOWN_NAME_BYTES} bytes, this one has {}",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::bad_request("a name has no control characters"));
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

/// Accepts an `info`: a JSON object of at most [`INFO_BYTES`] bytes.
pub fn parse_info(json: Box<RawValue>) -> Result<Arc<RawValue>> {
    if !json.get().starts_with('{') {
        return Err(Error::bad_request("info is a JSON object"));
    }
    if json.get().len() > INFO_BYTES {
        return Err(Error::bad_request(format!(
            "info has at most {INFO_BYTES} bytes, this one has {}",
            json.get().len()
        ))
        .for_limit(Limit::InfoBytes));
    }
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice(grants: &str) -> Principal {
        Principal {
            user: UserId::parse("alice").unwrap(),
            name: None,
            info: None,
            grants: Arc::new(Grants::parse(grants).unwrap()),
            expires_at: None,
        }
    }

    fn allowed(principal: &Principal, room: &str) -> Vec<Permission> {
        let room = RoomName::parse(room).unwrap();
        Permission::ALL
            .into_iter()
            .filter(|each| principal.may(*each, &room))
            .collect()
    }

    #[test]
    fn a_user_may_be_in_and_read_its_own_personal_room_without_any_grant() {
        use Permission::{History, Join, Presence, Publish};
        assert_eq!(allowed(&alice(""), "user:alice"), [Join, History, Presence]);
        assert_eq!(
            allowed(&alice("user:alice=publish"), "user:alice"),
            [Join, Publish, History, Presence]
        );
    }

    #[test]
    fn nobody_joins_the_personal_room_of_another_whatever_the_grants_say() {
        use Permission::{History, Presence, Publish, Signal};
        assert_eq!(allowed(&alice("*=join,publish,history"), "user:bob"), []);
        assert_eq!(
            allowed(
                &alice("user:*=join,publish,history,presence,signal"),
                "user:bob"
            ),
            [Publish, History, Presence, Signal]
        );
        assert_eq!(allowed(&alice("user:bob=publish"), "user:bob"), [Publish]);
        assert_eq!(allowed(&alice("user:bob=publish"), "user:bobby"), []);
    }

    #[test]
    fn in_ordinary_rooms_the_grants_decide() {
        assert_eq!(allowed(&alice("a*=join"), "ab"), [Permission::Join]);
        assert_eq!(allowed(&alice("a*=join"), "b"), []);
        // Only the prefix with its colon is the mark of a personal room.
        assert_eq!(allowed(&alice("*=join"), "users"), [Permission::Join]);
    }

    #[test]
    fn an_identity_ends_at_its_end_and_not_before() {
        let mut alice = alice("");
        assert!(!alice.is_expired(Timestamp(u64::MAX)));
        alice.expires_at = Some(Timestamp(1000));
        assert!(!alice.is_expired(Timestamp(999)));
        assert!(alice.is_expired(Timestamp(1000)));
    }

    #[test]
    fn a_name_that_is_too_long_or_holds_control_characters_is_refused() {
        assert_eq!(parse_name("Alice Ä.").unwrap().as_deref(), Some("Alice Ä."));
        assert_eq!(parse_name("").unwrap(), None);
        assert!(parse_name(&"x".repeat(128)).is_ok());
        assert!(parse_name(&"x".repeat(129)).is_err());
        assert!(parse_name("a\nb").is_err());
    }

    #[test]
    fn info_is_an_object_of_bounded_size() {
        let info = |text: String| parse_info(RawValue::from_string(text).unwrap());
        let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert_eq!(
            info(r#"{"b":1, "a":1.0}"#.into()).unwrap().get(),
            r#"{"b":1, "a":1.0}"#
        );
        assert!(info(sized(1024)).is_ok());
        assert!(info(sized(1025)).is_err());
        assert!(info("[]".into()).is_err());
        assert!(info("null".into()).is_err());
    }
}
