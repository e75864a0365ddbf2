//! Rooms and history in a URL.

use super::*;

#[test]
fn rooms_are_read_from_path_and_query_with_all_characters() {
    let read = |uri: &str| RoomQuery::parse(Some("here"), &uri.parse().unwrap());
    let query =
        read("/?room=a%2Bb%2Fc&room=here&x&token=t&room=r%C3%A4ume&history=7&since=").unwrap();
    let rooms: Vec<_> = query.rooms.iter().map(RoomName::as_str).collect();
    assert_eq!(rooms, ["here", "a+b/c", "räume"]);
    assert_eq!((query.since, query.history), (None, 7));
    for name in [
        "lastEventId",
        "Last-Event-ID",
        "last-event-id",
        "lastEventID",
        "last_event_id",
    ] {
        let query = read(&format!("/?{name}=1&since=2&{name}=3&{name}=")).unwrap();
        assert_eq!(query.last_event.as_deref(), Some("3"), "{name}");
        assert_eq!(query.since.as_deref(), Some("2"));
    }
    for name in ["event", "lastEvent", "lastEventIds"] {
        assert_eq!(
            read(&format!("/?{name}=1")).unwrap().last_event,
            None,
            "{name}"
        );
    }
    for bad in [
        "/?room=a%20b",
        "/?room=a+b",
        "/?room=",
        "/?history=x",
        "/?history=-1",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
