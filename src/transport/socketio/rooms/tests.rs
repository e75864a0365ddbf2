//! Names of mirrored rooms.

use super::*;

#[test]
fn no_mirrored_room_has_the_name_of_a_connection() {
    let id = ConnectionId::generate().to_string();
    for name in [id.as_str(), &id.to_uppercase()] {
        let room = RoomName::parse(name).unwrap();
        let mirrored = mirrored_name(&room);
        assert_ne!(mirrored, name);
        assert!(RoomName::parse(&mirrored).is_err(), "no other room has it");
    }
    let lobby = RoomName::parse("lobby").unwrap();
    assert_eq!(mirrored_name(&lobby), "lobby");
}
