//! What names stand for.

use super::*;
use crate::model::ConnectionId;

fn names(json: &str) -> Vec<Name> {
    serde_json::from_str::<Names>(json).unwrap().into_vec()
}

#[test]
fn a_name_is_a_room_or_the_connection_whose_id_it_is() {
    let id = ConnectionId::generate();
    let named = |name: &str| Name::from(name).socket();
    assert_eq!(named(&id.to_string()), Some(SocketName::Connection(id)));
    let room = RoomName::parse("lobby").unwrap();
    assert_eq!(named("lobby"), Some(SocketName::Room(room)));
    for none in ["", "two words", &"x".repeat(1000)] {
        assert_eq!(named(none), None, "{none}");
    }
}

#[test]
fn names_are_one_several_or_none_and_numbers_are_their_digits() {
    assert_eq!(names("null"), []);
    assert_eq!(names("7"), [Name::from("7")]);
    assert_eq!(names(r#"["a", 1]"#), [Name::from("a"), Name::from("1")]);
    for wrong in ["{}", "true", "[[]]", "[null]"] {
        assert!(serde_json::from_str::<Names>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn names_that_no_room_can_have_are_nobody_and_not_everybody() {
    let root = Namespace::root();
    let set = socket_set(&root, &names(r#"["two words"]"#), &[]).unwrap();
    assert_eq!(set.of, Some(Vec::new()));
    assert_eq!(socket_set(&root, &[], &[]).unwrap().of, None);
}

#[test]
fn the_number_of_names_is_bounded() {
    let many = vec![Name::from("a"); MAX_NAMES];
    let root = Namespace::root();
    assert_eq!(socket_set(&root, &many, &[]).unwrap().of.unwrap().len(), 1);
    let one = [Name::from("b")];
    assert_eq!(socket_set(&root, &many, &one), Err(Refusal::TooMany));
    let more = vec![Name::from("a"); MAX_NAMES + 1];
    assert_eq!(rooms(&more), Err(Refusal::TooMany));
}
