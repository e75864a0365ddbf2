//! Permissions in personal and ordinary rooms, names and info.

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
fn a_user_may_join_and_read_its_personal_room_without_grants() {
    use Permission::{History, Join, Presence, Publish};
    assert_eq!(allowed(&alice(""), "user:alice"), [Join, History, Presence]);
    assert_eq!(
        allowed(&alice("user:alice=publish"), "user:alice"),
        [Join, Publish, History, Presence]
    );
}

#[test]
fn a_personal_room_is_joined_by_its_user_only_whatever_the_grants() {
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
    // Only the prefix with its colon marks a personal room.
    assert_eq!(allowed(&alice("*=join"), "users"), [Permission::Join]);
}

#[test]
fn an_identity_expires_at_its_end() {
    let mut alice = alice("");
    assert!(!alice.is_expired(Timestamp(u64::MAX)));
    alice.expires_at = Some(Timestamp(1000));
    assert!(!alice.is_expired(Timestamp(999)));
    assert!(alice.is_expired(Timestamp(1000)));
}

#[test]
fn a_name_that_is_too_long_or_has_control_characters_is_rejected() {
    assert_eq!(parse_name("Alice Ä.").unwrap().as_deref(), Some("Alice Ä."));
    assert_eq!(parse_name("").unwrap(), None);
    assert!(parse_name(&"x".repeat(128)).is_ok());
    assert!(parse_name(&"x".repeat(129)).is_err());
    assert!(parse_name("a\nb").is_err());
}

#[test]
fn info_is_an_object_of_limited_size() {
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
