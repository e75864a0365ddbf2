use super::*;

#[test]
fn no_room_of_the_hub_is_called_as_a_connection() {
    let id = ConnectionId::fresh().to_string();
    for name in [id.as_str(), &id.to_uppercase()] {
        let room = RoomName::parse(name).unwrap();
        let mirrored = mirrored(&room);
        assert_ne!(mirrored, name);
        assert!(RoomName::parse(&mirrored).is_err(), "no other room is");
    }
    let lobby = RoomName::parse("lobby").unwrap();
    assert_eq!(mirrored(&lobby), "lobby");
}
