//! Frames of plain WebSockets, in both directions.

use super::*;

fn text_of(event: &OutgoingEvent) -> String {
    let bytes = frame(event);
    let start = bytes.iter().position(|byte| *byte == b'{').unwrap();
    String::from_utf8(bytes[start..].to_vec()).unwrap()
}

fn asked(text: &str) -> EnvelopeRequest {
    read(text, Some(&RoomName::parse("here").unwrap()))
}

#[test]
fn notices_name_their_room_in_the_frame_and_in_the_data() {
    let room = RoomName::parse("lobby").unwrap();
    let told = serde_json::json!({ "room": "lobby", "reason": "forbidden" });
    let kicked = text_of(&OutgoingEvent::room_notice("kicked", &room, &told));
    let data = r#"{"event":"kicked","reason":"forbidden","room":"lobby"}"#;
    let expected = format!(r#"{{"type":"system","room":"lobby","data":{data},"timestamp":"#);
    assert!(kicked.starts_with(&expected), "{kicked}");
    let typing = text_of(&OutgoingEvent::room_notice("typing", &room, &told));
    assert!(typing.starts_with(r#"{"type":"typing","room":"lobby","data":{"re"#));
    let nothing = text_of(&OutgoingEvent::notice("draining", &serde_json::json!({})));
    assert!(nothing.contains(r#""data":{"event":"draining"}"#));
}

#[test]
fn a_text_frame_is_a_message_with_the_frames_id() {
    let asked = asked(r#"{"type":"text","id":"m1","data":1.0}"#);
    assert_eq!(asked.id.unwrap().as_str(), "m1");
    let Ok(Request::Publish(publish)) = asked.request else {
        panic!("a message");
    };
    assert_eq!(publish.room.as_str(), "here");
    assert_eq!(publish.id.unwrap().as_str(), "m1");
    assert_eq!(publish.data.get(), "1.0");
}

#[test]
fn the_frames_room_overrides_the_urls() {
    let asked = asked(r#"{"type":"leave","room":"there"}"#);
    assert!(matches!(asked.request, Ok(Request::Leave(room)) if room.as_str() == "there"));
}

#[test]
fn errors_name_the_problem_and_reply_to_their_frame() {
    for (text, part, id) in [
        ("nonsense", "invalid JSON", None),
        ("7", "an object { type", None),
        (r#"{"id":"a"}"#, "type: is missing", Some("a")),
        (r#"{"type":"join","id":""}"#, "1 to 64", None),
        (r#"{"type":"x","id":"a"}"#, "no type of frame", Some("a")),
        (r#"{"type":"text","id":"a"}"#, "data: is missing", Some("a")),
        (
            r#"{"type":"signal","id":"a","data":{}}"#,
            "no type",
            Some("a"),
        ),
        (
            r#"{"type":"join","id":"a","data":{"since":1}}"#,
            "since: ",
            Some("a"),
        ),
    ] {
        let asked = asked(text);
        let error = asked.request.expect_err(text);
        assert!(error.message().contains(part), "{}", error.message());
        assert_eq!(asked.id.as_ref().map(MessageId::as_str), id, "{text}");
    }
}
