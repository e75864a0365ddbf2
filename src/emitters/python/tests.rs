//! Messages of python-socketio, and hostile ones.
#![allow(
    clippy::needless_pass_by_value,
    reason = "JSON is written where it is passed"
)]

use serde_json::json;

use super::*;
use crate::hub::SocketName;

fn read_json(message: serde_json::Value) -> Result<Command, Refusal> {
    read(message.to_string().as_bytes(), &EventLimits::testing())
}

/// The text and the attachments of an event with this data.
fn event(data: serde_json::Value, binary: bool) -> (String, Vec<Bytes>) {
    let message = json!({ "method": "emit", "event": "e", "data": data, "binary": binary, "namespace": "/", "room": null, "skip_sid": null, "callback": null, "host_id": "h" });
    match read_json(message) {
        Ok(Command::Emit(_, event)) => (event.text.to_string(), event.attachments),
        other => panic!("{other:?}"),
    }
}

#[test]
fn data_is_the_arguments_and_none_is_none() {
    let text = |data| event(data, false).0;
    assert_eq!(text(json!([null])), r#"["e"]"#);
    assert_eq!(text(json!([])), r#"["e"]"#);
    assert_eq!(text(json!([1, null])), r#"["e",1,null]"#);
    assert_eq!(text(json!([{ "a": [1.5] }])), r#"["e",{"a":[1.5]}]"#);
}

#[test]
fn binary_data_comes_behind_the_arguments_in_base64() {
    let placeholder = json!({ "_placeholder": true, "num": 0 });
    let (text, attachments) = event(json!([[1, placeholder], "AQI="]), true);
    assert_eq!(text, r#"["e",1,{"_placeholder":true,"num":0}]"#);
    assert_eq!(attachments, [&[1u8, 2][..]]);
}

#[test]
fn rooms_and_skipped_sockets_are_one_or_several() {
    let message = json!({ "method": "emit", "event": "e", "data": [1], "namespace": "/chat", "room": ["a"], "skip_sid": "b" });
    let Ok(Command::Emit(to, _)) = read_json(message) else {
        panic!("not an event");
    };
    let room = |name| SocketName::Room(crate::model::RoomName::parse(name).unwrap());
    assert_eq!(to.namespace.as_str(), "/chat");
    assert_eq!(to.of, Some(vec![room("a")]));
    assert_eq!(to.except, [room("b")]);
}

#[test]
fn sockets_enter_leave_and_disconnect_and_rooms_are_closed() {
    let of = |method: &str| {
        read_json(json!({ "method": method, "sid": "s", "room": "r", "namespace": "/" }))
    };
    assert!(matches!(of("enter_room"), Ok(Command::Join(_, rooms, None)) if rooms.len() == 1));
    assert!(matches!(of("leave_room"), Ok(Command::Leave(_, rooms, None)) if rooms.len() == 1));
    assert!(matches!(of("close_room"), Ok(Command::Leave(_, rooms, None)) if rooms.len() == 1));
    assert!(matches!(of("disconnect"), Ok(Command::Disconnect(_, None))));
    assert_eq!(of("callback"), Ok(Command::Ignore));
    assert_eq!(of("eval"), Err(Refusal::Unknown));
}

#[test]
fn pickles_are_never_read_and_the_rest_is_refused_by_reason() {
    let refused = |message: &[u8]| read(message, &EventLimits::testing()).unwrap_err();
    assert_eq!(refused(b"\x80\x04\x95cos\nsystem\n"), Refusal::Pickle);
    for wrong in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"cos\nsystem\n(S'x'\ntR.",
    ] {
        assert_eq!(refused(wrong), Refusal::Malformed);
    }
    assert_eq!(refused(&b"[".repeat(100_000)), Refusal::TooDeep);
    assert_eq!(refused(&vec![b' '; (1 << 20) + 1]), Refusal::TooLarge);
    for (message, reason) in [
        (json!({ "method": "emit", "data": [1] }), Refusal::Malformed),
        (
            json!({ "method": "emit", "event": "disconnect", "data": [] }),
            Refusal::EventName,
        ),
        (
            json!({ "method": "emit", "event": "e", "data": 1 }),
            Refusal::Malformed,
        ),
        (
            json!({ "method": "emit", "event": "e", "data": [], "binary": true }),
            Refusal::Malformed,
        ),
        (
            json!({ "method": "emit", "event": "e", "data": [[], "?"], "binary": true }),
            Refusal::Malformed,
        ),
        (
            json!({ "method": "emit", "event": "e", "data": [], "namespace": "a b" }),
            Refusal::Malformed,
        ),
        (json!({ "method": "disconnect" }), Refusal::Malformed),
        (json!({ "method": "close_room" }), Refusal::Malformed),
        (json!({ "method": 1 }), Refusal::Malformed),
    ] {
        assert_eq!(read_json(message.clone()), Err(reason), "{message}");
    }
}
