//! Event stream encoding, start positions, reconnect delays.

use super::*;

fn request(uri: &str, last: Option<&str>) -> Parts {
    let mut request = Request::builder().uri(uri);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn line_breaks_in_data_become_lines_of_data() {
    let cursor = Cursor::parse("abc~7~9").unwrap();
    assert_eq!(
        block("price", "{\n\"a\":\r\n1}", Some(&cursor)),
        "event: price\ndata: {\ndata: \"a\":\ndata: \ndata: 1}\nid: abc~7~9\n\n"
    );
    assert_eq!(block("typing", "{}", None), "event: typing\ndata: {}\n\n");
}

#[test]
fn an_id_that_a_client_resends_wins_and_is_never_an_error() {
    let start = |uri: &str, last| stream_request(None, &request(uri, last)).map(|it| it.since);
    let cursor = StreamStart::Cursor(Cursor::parse("abc~7~9").unwrap());
    let one = "/events?room=a&since=abc:1";
    assert_eq!(start(one, Some("abc~7~9")).unwrap(), Some(cursor.clone()));
    assert_eq!(
        start(one, Some("rubbish")).unwrap(),
        Some(StreamStart::Unknown)
    );
    assert!(matches!(
        start(one, Some("")).unwrap(),
        Some(StreamStart::Position(_))
    ));
    assert_eq!(
        start("/events?room=a&since=abc~7~9", None).unwrap(),
        Some(cursor.clone())
    );
    let newer = "/events?room=a&since=abc:1&lastEventId=abc~7~9";
    assert_eq!(start(newer, None).unwrap(), Some(cursor.clone()));
    assert_eq!(
        start(newer, Some("abc~8~9")).unwrap(),
        Some(StreamStart::Cursor(Cursor::parse("abc~8~9").unwrap()))
    );
    let rubbish = "/events?room=a&last-event-id=rubbish";
    assert_eq!(start(rubbish, None).unwrap(), Some(StreamStart::Unknown));
    let two = "/events?room=a&room=b";
    assert_eq!(
        start(two, Some("abc:1")).unwrap(),
        Some(StreamStart::Unknown)
    );
    for bad in [
        "/events?room=a&room=b&since=abc:1",
        "/events?room=a&since=rubbish",
        "/events?room=a&history=-1",
        "/events?since=abc:1",
        "/events?room=a%20b",
    ] {
        assert!(start(bad, None).is_err(), "{bad}");
    }
}

#[test]
fn streams_get_different_reconnect_delays() {
    let base = Duration::from_secs(2);
    let times: std::collections::HashSet<_> = (0..50).map(|_| retry(base)).collect();
    assert!(times.len() > 10);
    for time in times {
        let text = std::str::from_utf8(&time).unwrap();
        let wait: u64 = text["retry: ".len()..].trim().parse().unwrap();
        assert!((1000..3000).contains(&wait), "{text:?}");
    }
}
