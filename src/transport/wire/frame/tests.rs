//! Frames of events and acks.

use super::{
    EngineProtocol::{V3, V4},
    *,
};

fn chat() -> Namespace {
    Namespace::parse("/chat").unwrap()
}

#[test]
fn events_and_acks_are_encoded_as_in_socketio() {
    let value = || RawValue::from_string("{\"a\":1.0}".to_owned()).unwrap();
    let event = Frame::event(&Namespace::root(), "a\"b", &[value(), value()]);
    assert_eq!(event.packets(V4), [r#"42["a\"b",{"a":1.0},{"a":1.0}]"#]);
    let ack = Frame::ack(&chat(), 7, &*value());
    assert_eq!(ack.packets(V4), [r#"43/chat,7[{"a":1.0}]"#]);
    let empty = Frame::ack_payload(&chat(), 7, &payload_event("[]", &[]), V4);
    assert_eq!(empty.packets(V4), ["43/chat,7[]"]);
    let binary = Frame::ack_payload(&chat(), 7, &payload_event("[1,2]", &[b"\x01"]), V4);
    assert_eq!(binary.packets(V4), ["461-/chat,7[1,2]", "bAQ=="]);
}

#[test]
fn a_frame_knows_the_namespace_of_its_event() {
    for namespace in [Namespace::root(), chat()] {
        let event = Frame::event(&namespace, "e,e", &[]);
        assert_eq!(event.namespace(), namespace.as_str());
    }
}

fn payload_event(text: &str, attachments: &[&'static [u8]]) -> EventPayload {
    EventPayload {
        text: text.into(),
        attachments: attachments
            .iter()
            .copied()
            .map(Bytes::from_static)
            .collect(),
    }
}

#[test]
fn the_frames_of_attachments_follow_that_of_their_packet() {
    let text = r#"["draw",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let event = payload_event(text, &[b"\x01\x02", b""]);
    let packet = format!("452-/chat,{text}");
    for (protocol, first) in [
        (V4, &b"\x82\x02\x01\x02\x82\x00"[..]),
        (V3, b"\x82\x03\x04\x01\x02\x82\x01\x04"),
    ] {
        let frame = Frame::payload(&chat(), &event, protocol);
        assert_eq!(
            frame.bytes()[..],
            [&framed(packet.as_bytes()), first].concat()
        );
        assert_eq!(frame.packets(protocol), [&packet, "bAQI=", "b"]);
    }
    let plain = Frame::payload(&Namespace::root(), &payload_event("[5]", &[]), V3);
    assert_eq!(plain.packets(V3), ["42[5]"]);
}

#[test]
fn changing_the_text_of_a_packet_leaves_its_attachments() {
    let event = payload_event(r#"["draw","a"]"#, &[b"\x01"]);
    let frame = Frame::payload(&Namespace::root(), &event, V4);
    let longer = format!("{}]", "x".repeat(300));
    let changed = frame.clone().change_text(|text| {
        assert_eq!(text, r#"451-["draw","a"]"#);
        Some(longer.clone())
    });
    assert_eq!(changed.packets(V4), [&longer, "bAQ=="]);
    assert_eq!(frame.clone().change_text(|_| None), frame);
}
