//! Parsing of client requests.

use super::*;
use crate::{error::Code, hub::SignalTarget};

fn parse(event: &str, value: &str) -> Result<Request> {
    let value: Box<RawValue> = serde_json::from_str(value).unwrap();
    super::parse(event, &value, None).expect("a request")
}

#[test]
fn a_bare_string_is_a_room() {
    assert!(matches!(parse("join", "\"lobby\""), Ok(Request::Join(join))
            if join.room.as_str() == "lobby" && join.replay == Replay::Nothing));
    assert!(
        matches!(parse("leave", "\"lobby\""), Ok(Request::Leave(room)) if room.as_str() == "lobby")
    );
    assert!(
        matches!(parse("history", "\"lobby\""), Ok(Request::History(history))
            if history.range == Range::Last)
    );
}

#[test]
fn a_position_is_a_string_or_an_object() {
    for since in [r#""abc:7""#, r#"{"epoch":"abc","seq":7}"#] {
        let request = parse("join", &format!(r#"{{"room":"r","since":{since}}}"#)).unwrap();
        assert!(
            matches!(request, Request::Join(Join { replay: Replay::Since(position, None), .. })
                if position.to_string() == "abc:7")
        );
    }
}

#[test]
fn data_is_any_json_even_null() {
    for data in [
        "null",
        "12345678901234567890",
        "1.0",
        r#"{"b":1,"a":2}"#,
        r#""\u0000""#,
    ] {
        let request = parse("message", &format!(r#"{{"room":"r","data":{data}}}"#)).unwrap();
        assert!(matches!(request, Request::Publish(publish) if publish.data.get() == data));
    }
}

#[test]
fn names_may_be_written_with_any_escapes() {
    let escaped = |text: &str| {
        let units = text.encode_utf16();
        let escapes: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{escapes}\"")
    };
    let (room, event, id) = (escaped("größe"), escaped("a\"b/😀"), escaped("m-1"));
    let text = format!(r#"{{"room":{room},"event":{event},"data":1,"id":{id}}}"#);
    let Ok(Request::Publish(publish)) = parse("publish", &text) else {
        panic!("{text} is refused");
    };
    assert_eq!(publish.room.as_str(), "größe");
    assert_eq!(publish.event.as_str(), "a\"b/😀");
    assert_eq!(publish.id.unwrap().as_str(), "m-1");
    assert!(
        matches!(parse("join", &room), Ok(Request::Join(join)) if join.room.as_str() == "größe")
    );
}

#[test]
fn errors_mention_no_line_and_column() {
    for (event, value, part) in [
        ("join", "[]", "a room's name or { room, since?, history? }"),
        ("join", r#"{"room":"a b"}"#, "white space"),
        ("join", r#"{"room":"r","since":7}"#, "since: \"epoch:seq\""),
        ("join", r#"{"room":"r","history":-1}"#, "history: a whole"),
        ("message", r#"{"room":"r"}"#, "data: is missing"),
        (
            "message",
            r#"{"room":"r","data":1,"id":[]}"#,
            "id: a string",
        ),
        (
            "publish",
            r#"{"room":"r","event":"session","data":1}"#,
            "reserved",
        ),
        (
            "history",
            r#"{"room":"r","before":1,"after":2}"#,
            "not both",
        ),
        ("refresh", r#"{"token":null}"#, "token: a string"),
    ] {
        let error = parse(event, value).expect_err(value);
        assert_eq!(error.code(), Code::BadRequest);
        assert!(error.message().contains(part), "{}", error.message());
        assert!(!error.message().contains("line"), "{}", error.message());
    }
}

#[test]
fn numbers_are_accepted_as_ids_and_unknown_fields_are_ignored() {
    let room = |request| match request {
        Ok(Request::Join(join)) => join.room.as_str().to_owned(),
        _ => panic!("a join"),
    };
    for value in [
        "7",
        r#"{"room":7}"#,
        r#"{"room":"7","trace":{"of":"ours"}}"#,
    ] {
        assert_eq!(room(parse("join", value)), "7", "{value}");
    }
    let Ok(Request::Publish(message)) = parse("message", r#"{"room":7,"data":1,"id":12345}"#)
    else {
        panic!("a message");
    };
    assert_eq!(
        (message.room.as_str(), message.id.unwrap().as_str()),
        ("7", "12345")
    );
    let signal = parse("signal", r#"{"to":{"user":7},"event":"e","data":1}"#);
    assert!(
        matches!(signal, Ok(Request::Signal(signal)) if matches!(&signal.to, SignalTarget::User(user) if user.as_str() == "7"))
    );
}

#[test]
fn an_error_names_a_room_only_where_the_request_does() {
    for (event, value, room) in [
        ("join", "\"lobby\"", Some("lobby")),
        ("join", "7", Some("7")),
        ("message", r#"{"room":"lobby"}"#, Some("lobby")),
        ("message", r#"{"room":"lobby","data":[1,2]}"#, Some("lobby")),
        ("join", "\"a b\"", None),
        ("join", r#"{"room":"a b"}"#, None),
        // A text, a status, a token: of these events a string alone is no room.
        ("message", "\"hello\"", None),
        ("status", "\"away\"", None),
        ("refresh", "\"secret\"", None),
        ("chat message", "\"hello\"", None),
        ("chat message", r#"{"room":"lobby"}"#, None),
    ] {
        let value: Box<RawValue> = serde_json::from_str(value).unwrap();
        let named = named_room(event, &value);
        assert_eq!(
            named.as_ref().map(RoomName::as_str),
            room,
            "{event} {value}"
        );
    }
}

#[test]
fn every_request_event_is_parsed() {
    for event in CONTRACT_EVENTS {
        assert!(
            super::parse(event, RawValue::NULL, None).is_some(),
            "{event}"
        );
    }
}
