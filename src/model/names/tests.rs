//! Validation of names.

use super::*;

#[test]
fn names_with_white_space_control_characters_or_an_invalid_length_are_rejected() {
    for good in [
        "a",
        "team-7:general",
        "räume/1",
        "user:alice",
        &"x".repeat(128),
    ] {
        assert!(RoomName::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a b",
        "a\n",
        "\u{7f}",
        "a\u{a0}b",
        &"x".repeat(129),
        &"ä".repeat(65),
    ] {
        assert!(RoomName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn every_user_has_a_personal_room_that_is_a_valid_room_name() {
    let longest = UserId::parse(&"u".repeat(MAX_NAME_BYTES)).expect("fits");
    assert!(UserId::parse(&"u".repeat(MAX_NAME_BYTES + 1)).is_err());
    let room = RoomName::personal(&longest);
    assert!(RoomName::parse(room.as_str()).is_ok());
    assert!(RoomName::parse(&format!("{room}u")).is_err());
    assert!(
        RoomName::parse(&"user".repeat(33)).is_err(),
        "not a personal room"
    );
    assert!(room.belongs_to(&longest));
    assert!(!room.belongs_to(&UserId::parse("u").expect("valid")));
}

#[test]
fn events_of_the_server_cannot_be_published() {
    for name in RESERVED {
        assert!(EventName::parse(name).is_err(), "{name}");
    }
    for name in [EVENT_SOURCE_OPEN, "error"] {
        let error = EventName::parse_sent(name).unwrap_err();
        assert!(error.message().contains("reserved"), "{name}");
    }
    assert!(EventName::parse("message").is_ok());
    assert!(EventName::parse("price").is_ok());
}
