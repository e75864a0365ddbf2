//! Messages of emitters and servers for Node, and hostile ones.
#![allow(
    clippy::needless_pass_by_value,
    reason = "JSON is written where it is passed"
)]

use rmpv::Value;
use serde_json::json;

use super::*;
use crate::{
    hub::SocketName,
    model::{ConnectionId, RoomName},
};

fn encode(value: &serde_json::Value) -> Vec<u8> {
    let value: Value = rmpv::ext::to_value(value).unwrap();
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &value).unwrap();
    bytes
}

fn emit(packet: serde_json::Value, options: serde_json::Value) -> Result<Command, Refusal> {
    let message = encode(&json!(["emitter", packet, options]));
    broadcast(&Namespace::root(), &message, &EventLimits::testing())
}

fn packet(data: serde_json::Value) -> serde_json::Value {
    json!({ "type": 2, "data": data, "nsp": "/" })
}

fn ask(request: serde_json::Value) -> Result<Command, Refusal> {
    let limits = EventLimits::testing();
    let root = Namespace::root();
    let as_json = super::request(&root, request.to_string().as_bytes(), &limits);
    let as_msgpack = super::request(&root, &encode(&request), &limits);
    assert_eq!(as_json, as_msgpack);
    as_json
}

fn room(name: &str) -> SocketName {
    SocketName::Room(RoomName::parse(name).unwrap())
}

fn all() -> SocketSet {
    SocketSet {
        namespace: Namespace::root(),
        of: None,
        except: Vec::new(),
    }
}

fn id(text: &str) -> RequestId {
    RequestId(text.to_owned())
}

#[test]
fn a_broadcast_is_an_event_for_rooms_without_others() {
    let socket = ConnectionId::generate();
    let options = json!({ "rooms": ["a"], "except": [socket.to_string(), "b c"], "flags": { "volatile": true, "compress": false } });
    let read = emit(packet(json!(["draw", 1.5, null, { "a": "x" }])), options).unwrap();
    let Command::Emit(to, event) = read else {
        panic!("{read:?}");
    };
    assert_eq!(&*event.text, r#"["draw",1.5,null,{"a":"x"}]"#);
    assert_eq!(to.of, Some(vec![room("a")]));
    assert_eq!(to.except, [SocketName::Connection(socket)]);
}

#[test]
fn a_broadcast_without_options_or_namespace_is_for_everybody_in_the_default_one() {
    for options in [json!(null), json!({}), json!({ "rooms": [], "except": [] })] {
        let read = emit(json!({ "type": 2, "data": ["e"] }), options).unwrap();
        assert!(matches!(read, Command::Emit(to, _) if to == all()));
    }
    let other = json!({ "type": 2, "data": ["e"], "nsp": "/other" });
    assert_eq!(emit(other, json!(null)), Ok(Command::Ignore));
}

#[test]
fn wrong_broadcasts_are_refused_by_reason() {
    let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
    let deep: serde_json::Value = serde_json::from_str(&deep).unwrap();
    for (data, reason) in [
        (json!([]), Refusal::Malformed),
        (json!([1]), Refusal::Malformed),
        (json!("e"), Refusal::Malformed),
        (json!({ "e": 1 }), Refusal::Malformed),
        (json!(["connect"]), Refusal::EventName),
        (json!(["x".repeat(1000)]), Refusal::EventName),
        (json!(["e", "x".repeat(70_000)]), Refusal::TooLarge),
        (json!(["e", deep]), Refusal::TooDeep),
        (
            serde_json::Value::Array(
                [vec!["e"; 1], vec!["1"; 2000]]
                    .concat()
                    .into_iter()
                    .map(Into::into)
                    .collect(),
            ),
            Refusal::TooMany,
        ),
    ] {
        assert_eq!(emit(packet(data), json!(null)), Err(reason), "{reason:?}");
    }
    for (packet, options) in [
        (json!({ "type": 0, "data": ["e"] }), json!(null)),
        (json!({ "type": "2", "data": ["e"] }), json!(null)),
        (json!({ "type": 2 }), json!(null)),
        (json!(null), json!(null)),
        (packet(json!(["e"])), json!({ "rooms": { "a": 1 } })),
        (packet(json!(["e"])), json!("x")),
    ] {
        assert_eq!(emit(packet, options), Err(Refusal::Malformed));
    }
    let many: Vec<_> = (0..2000).collect();
    let options = json!({ "rooms": many });
    assert_eq!(emit(packet(json!(["e"])), options), Err(Refusal::TooMany));
}

#[test]
fn a_placeholder_that_names_no_attachment_is_refused_where_there_are_some() {
    let with = |extra: Value| {
        let data = Value::Array(vec!["e".into(), Value::Binary(vec![1]), extra]);
        let packet = Value::Map(vec![("type".into(), 2.into()), ("data".into(), data)]);
        let mut bytes = Vec::new();
        let message = Value::Array(vec!["u".into(), packet, Value::Nil]);
        rmpv::encode::write_value(&mut bytes, &message).unwrap();
        broadcast(&Namespace::root(), &bytes, &EventLimits::testing())
    };
    assert!(
        matches!(with(Value::Nil), Ok(Command::Emit(_, event)) if event.attachments.len() == 1)
    );
    for number in [0, 7] {
        let placeholder = Value::Map(vec![
            ("_placeholder".into(), true.into()),
            ("num".into(), number.into()),
        ]);
        assert_eq!(with(placeholder), Err(Refusal::Malformed));
    }
    let eleven = Value::Array(vec![Value::Binary(vec![1]); 10]);
    assert_eq!(with(eleven), Err(Refusal::TooMany));
}

#[test]
fn requests_that_change_many_sockets_have_no_answer() {
    let options = json!({ "rooms": ["a"], "except": ["b"] });
    let set = SocketSet {
        of: Some(vec![room("a")]),
        except: vec![room("b")],
        ..all()
    };
    let rooms = vec![RoomName::parse("c").unwrap()];
    let of =
        |kind: u8| ask(json!({ "type": kind, "opts": options, "rooms": ["c"], "close": true }));
    assert_eq!(of(2), Ok(Command::Join(set.clone(), rooms.clone(), None)));
    assert_eq!(of(3), Ok(Command::Leave(set.clone(), rooms, None)));
    assert_eq!(of(4), Ok(Command::Disconnect(set, None)));
}

#[test]
fn requests_for_one_socket_are_answered_by_its_server() {
    let socket = ConnectionId::generate();
    let read = ask(json!({ "type": 2, "requestId": "r", "sid": socket, "room": 5 }));
    let set = SocketSet {
        of: Some(vec![SocketName::Connection(socket)]),
        ..all()
    };
    let rooms = vec![RoomName::parse("5").unwrap()];
    assert_eq!(read, Ok(Command::Join(set, rooms, Some(id("r")))));
    assert_eq!(ask(json!({ "type": 4 })), Err(Refusal::Malformed));
}

#[test]
fn requests_for_lists_and_acks_have_an_id() {
    assert_eq!(
        ask(json!({ "uid": "u", "requestId": "r", "type": 1 })),
        Ok(Command::Query(Query::Rooms, all(), id("r")))
    );
    assert_eq!(
        ask(json!({ "requestId": "r", "type": 0, "rooms": [] })),
        Ok(Command::Query(Query::Ids, all(), id("r")))
    );
    assert_eq!(
        ask(json!({ "requestId": "r", "type": 5, "opts": { "rooms": [], "except": [] } })),
        Ok(Command::Query(Query::Sockets, all(), id("r")))
    );
    assert_eq!(
        ask(json!({ "requestId": "r", "type": 6, "data": ["x"] })),
        Ok(Command::Query(Query::ServerEvent, all(), id("r")))
    );
    assert_eq!(
        ask(json!({ "type": 6, "data": ["x"] })),
        Ok(Command::Ignore)
    );
    for kind in [0, 1, 5] {
        assert_eq!(ask(json!({ "type": kind })), Err(Refusal::Malformed));
        let long = "x".repeat(1000);
        let read = ask(json!({ "type": kind, "requestId": long }));
        assert_eq!(read, Err(Refusal::Malformed));
    }
    assert_eq!(
        ask(json!({ "type": 99, "requestId": "r" })),
        Err(Refusal::Unknown)
    );
}

#[test]
fn a_request_for_acks_waits_as_long_as_it_says_within_bounds() {
    for (timeout, seconds) in [
        (json!(1500), 1.5),
        (json!(1e12), 60.0),
        (json!(-1), 5.0),
        (json!(null), 5.0),
    ] {
        let options = json!({ "rooms": [], "except": [], "flags": { "timeout": timeout } });
        let read = ask(
            json!({ "type": 7, "requestId": "r", "packet": packet(json!(["e", 1])), "opts": options }),
        );
        let Ok(Command::EmitWithAck { within, .. }) = read else {
            panic!("{read:?}");
        };
        assert!((within.as_secs_f64() - seconds).abs() < 0.01);
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let (root, limits) = (Namespace::root(), EventLimits::testing());
    for bytes in [
        &b""[..],
        b"{",
        b"{}",
        b"[]",
        b"\x80\x04",
        b"null",
        b"\xff",
        b"{\"type\":\xff}",
    ] {
        assert_eq!(request(&root, bytes, &limits), Err(Refusal::Malformed));
        assert_eq!(broadcast(&root, bytes, &limits), Err(Refusal::Malformed));
    }
    let huge = vec![b'{'; limits.message_bytes + 1];
    assert_eq!(request(&root, &huge, &limits), Err(Refusal::TooLarge));
    assert_eq!(broadcast(&root, &huge, &limits), Err(Refusal::TooLarge));
    let deep = b"{\"a\":".repeat(100_000);
    assert_eq!(request(&root, &deep, &limits), Err(Refusal::TooDeep));
}
