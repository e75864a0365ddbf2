use super::*;

#[test]
fn rooms_come_by_the_path_and_the_query_with_whatever_their_names_hold() {
    let read = |uri: &str| Wanted::read(Some("here"), &uri.parse().unwrap());
    let wanted =
        read("/?room=a%2Bb%2Fc&room=here&x&token=t&room=r%C3%A4ume&history=7&since=").unwrap();
    let rooms: Vec<_> = wanted.rooms.iter().map(RoomName::as_str).collect();
    assert_eq!(rooms, ["here", "a+b/c", "räume"]);
    assert_eq!((wanted.since, wanted.history), (None, 7));
    for name in [
        "lastEventId",
        "Last-Event-ID",
        "last-event-id",
        "lastEventID",
        "last_event_id",
    ] {
        let wanted = read(&format!("/?{name}=1&since=2&{name}=3&{name}=")).unwrap();
        assert_eq!(wanted.last_event.as_deref(), Some("3"), "{name}");
        assert_eq!(wanted.since.as_deref(), Some("2"));
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
