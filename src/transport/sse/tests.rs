use super::*;

fn request(uri: &str, last: Option<&str>) -> Parts {
    let mut request = Request::builder().uri(uri);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn an_event_is_a_block_of_lines_whatever_lines_its_data_has() {
    let cursor = Cursor::parse("abc~7~9").unwrap();
    assert_eq!(
        block("price", "{\n\"a\":\r\n1}", Some(&cursor)),
        "event: price\ndata: {\ndata: \"a\":\ndata: \ndata: 1}\nid: abc~7~9\n\n"
    );
    assert_eq!(block("typing", "{}", None), "event: typing\ndata: {}\n\n");
}

#[test]
fn what_a_client_gives_back_by_itself_wins_and_is_never_an_error() {
    let asked = |uri: &str, last| wanted(None, &request(uri, last)).map(|it| it.since);
    let cursor = StreamStart::Cursor(Cursor::parse("abc~7~9").unwrap());
    let one = "/events?room=a&since=abc:1";
    assert_eq!(asked(one, Some("abc~7~9")).unwrap(), Some(cursor.clone()));
    assert_eq!(
        asked(one, Some("rubbish")).unwrap(),
        Some(StreamStart::Unknown)
    );
    assert!(matches!(
        asked(one, Some("")).unwrap(),
        Some(StreamStart::Position(_))
    ));
    assert_eq!(
        asked("/events?room=a&since=abc~7~9", None).unwrap(),
        Some(cursor.clone())
    );
    let newer = "/events?room=a&since=abc:1&lastEventId=abc~7~9";
    assert_eq!(asked(newer, None).unwrap(), Some(cursor.clone()));
    assert_eq!(
        asked(newer, Some("abc~8~9")).unwrap(),
        Some(StreamStart::Cursor(Cursor::parse("abc~8~9").unwrap()))
    );
    let rubbish = "/events?room=a&last-event-id=rubbish";
    assert_eq!(asked(rubbish, None).unwrap(), Some(StreamStart::Unknown));
    let two = "/events?room=a&room=b";
    assert_eq!(
        asked(two, Some("abc:1")).unwrap(),
        Some(StreamStart::Unknown)
    );
    for bad in [
        "/events?room=a&room=b&since=abc:1",
        "/events?room=a&since=rubbish",
        "/events?room=a&history=-1",
        "/events?since=abc:1",
        "/events?room=a%20b",
    ] {
        assert!(asked(bad, None).is_err(), "{bad}");
    }
}

#[test]
fn clients_are_told_to_come_back_at_different_times() {
    let base = Duration::from_secs(2);
    let times: std::collections::HashSet<_> = (0..50).map(|_| retry(base)).collect();
    assert!(times.len() > 10);
    for time in times {
        let text = std::str::from_utf8(&time).unwrap();
        let wait: u64 = text["retry: ".len()..].trim().parse().unwrap();
        assert!((1000..3000).contains(&wait), "{text:?}");
    }
}
