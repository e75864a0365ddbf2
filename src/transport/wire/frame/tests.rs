//! Frames of events and acks.

use super::*;

fn chat() -> Namespace {
    Namespace::parse("/chat").unwrap()
}

#[test]
fn events_and_acks_are_encoded_as_in_socketio() {
    let value = || RawValue::from_string("{\"a\":1.0}".to_owned()).unwrap();
    let event = Frame::event(&Namespace::root(), "a\"b", &[value(), value()]);
    assert_eq!(event.packet(), r#"42["a\"b",{"a":1.0},{"a":1.0}]"#);
    let ack = Frame::ack(&chat(), 7, &*value());
    assert_eq!(ack.packet(), r#"43/chat,7[{"a":1.0}]"#);
}

#[test]
fn a_frame_knows_the_namespace_of_its_event() {
    for namespace in [Namespace::root(), chat()] {
        let event = Frame::event(&namespace, "e,e", &[]);
        assert_eq!(event.namespace(), namespace.as_str());
    }
}
