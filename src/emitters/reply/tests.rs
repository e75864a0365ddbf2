//! Answers as servers read them.

use serde_json::{Value, value::to_raw_value};

use super::*;

fn id() -> RequestId {
    RequestId("r\"1".to_owned())
}

fn parsed(answer: &[u8]) -> Value {
    serde_json::from_slice(answer).unwrap()
}

#[test]
fn answers_have_the_id_of_their_request() {
    let value = to_raw_value(&[1]).unwrap();
    for (answer, expected) in [
        (done(&id()), json!({ "requestId": "r\"1" })),
        (
            server_event(&id()),
            json!({ "type": 6, "requestId": "r\"1", "data": null }),
        ),
        (
            client_count(&id(), 3),
            json!({ "type": 8, "requestId": "r\"1", "clientCount": 3 }),
        ),
        (
            client_ack(&id(), Some(&value)),
            json!({ "type": 9, "requestId": "r\"1", "packet": [1] }),
        ),
        (
            client_ack(&id(), None),
            json!({ "type": 9, "requestId": "r\"1" }),
        ),
    ] {
        assert_eq!(parsed(&answer), expected);
    }
}

#[test]
fn lists_are_arrays_also_when_they_are_empty_and_are_cut_when_they_are_long() {
    let room = |nth: usize| RoomName::parse(&format!("{nth:0100}")).unwrap();
    let empty = rooms(&id(), std::iter::empty(), std::iter::empty());
    assert_eq!(parsed(&empty), json!({ "requestId": "r\"1", "rooms": [] }));
    let socket = ConnectionId::generate();
    let both = rooms(&id(), [room(1)].into_iter(), [socket].into_iter());
    assert_eq!(parsed(&both)["rooms"], json!([room(1), socket]));
    let cut = rooms(&id(), (0..100_000).map(room), std::iter::empty());
    assert!(cut.len() <= MAX_BYTES + 2);
    assert!(parsed(&cut)["rooms"].as_array().unwrap().len() > 70_000);
}
