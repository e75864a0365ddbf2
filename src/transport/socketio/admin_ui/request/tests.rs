use serde_json::{Value, json};

use super::*;
use crate::model::ConnectionId;

fn parse(event: &str, arguments: Value) -> Result<OperatorRequest> {
    let arguments: Vec<Box<RawValue>> = serde_json::from_value(arguments).expect("an array");
    let arguments: Vec<&RawValue> = arguments.iter().map(|it| &**it).collect();
    OperatorRequest::parse(event, &arguments)
}

fn all() -> SocketSet {
    SocketSet {
        namespace: Namespace::root(),
        of: None,
        except: Vec::new(),
    }
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).expect("a room")
}

#[test]
fn a_filter_is_a_room_or_a_socket_and_nothing_means_all() {
    let id = ConnectionId::generate();
    let of = |name| SocketSet {
        of: Some(vec![name]),
        ..all()
    };
    for (filter, expected) in [
        (json!([]), all()),
        (json!([null]), all()),
        (json!([""]), all()),
        (json!(["lobby"]), of(SocketName::Room(room("lobby")))),
        (json!([id]), of(SocketName::Connection(id))),
    ] {
        let filter = filter.as_array().cloned().unwrap_or_default();
        let join = [vec![json!("/"), json!("hall")], filter.clone()].concat();
        assert_eq!(
            parse("join", join.into()).ok(),
            Some(OperatorRequest::Change(
                expected.clone(),
                SocketChange::Join(room("hall"))
            ))
        );
        let disconnect = [vec![json!("/"), json!(true)], filter].concat();
        assert_eq!(
            parse("_disconnect", disconnect.into()).ok(),
            Some(OperatorRequest::Change(expected, SocketChange::Disconnect))
        );
    }
}

#[test]
fn an_event_is_emitted_with_its_arguments_as_they_are() {
    let Ok(OperatorRequest::Emit(broadcast)) = parse(
        "emit",
        json!(["/chat", "lobby", "news", { "n": 1.50 }, null]),
    ) else {
        panic!("not an event");
    };
    assert_eq!(&*broadcast.event.text, r#"["news",{"n":1.5},null]"#);
    assert_eq!(broadcast.namespace.as_str(), "/chat");
    assert_eq!(broadcast.to, Audience::Rooms(vec![room("lobby")]));
}

#[test]
fn what_is_wrong_is_refused() {
    for (event, arguments) in [
        ("emit", json!([])),
        ("emit", json!(["/"])),
        ("emit", json!(["/", null])),
        ("emit", json!(["/", null, 7])),
        ("emit", json!(["/", null, "disconnect"])),
        ("emit", json!(["/", { "a": 1 }, "news"])),
        ("emit", json!(["no namespace", null, "news"])),
        ("join", json!(["/"])),
        ("join", json!(["/", "no room"])),
        ("leave", json!(["/", "lobby", "no room"])),
        ("_disconnect", json!([null, true])),
        ("all_sockets", json!(["/"])),
    ] {
        assert!(
            parse(event, arguments.clone()).is_err(),
            "{event} {arguments}"
        );
    }
}
