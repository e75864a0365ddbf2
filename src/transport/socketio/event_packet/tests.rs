//! Which event packets are accepted.

use super::*;

fn packet(text: &str) -> EventPacket {
    EventPacket {
        text: text.to_owned().into(),
        attachments: None,
        ack: None,
        is_json: serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
    }
}

#[test]
fn arguments_keep_their_bytes() {
    let packet = packet(r#"["message", {"data": 1.0 } ,12345678901234567890]"#);
    let arguments = packet.arguments(64).unwrap();
    assert_eq!(arguments.event, "message");
    let texts: Vec<_> = arguments.values().iter().map(|value| value.get()).collect();
    assert_eq!(texts, [r#"{"data": 1.0 }"#, "12345678901234567890"]);
    assert!(arguments.single().is_err());
}

#[test]
fn an_event_nested_too_deeply_is_refused_whatever_its_size() {
    let nested = |levels: usize| format!("[\"e\",{}{}]", "[".repeat(levels), "]".repeat(levels));
    assert!(packet(&nested(64)).arguments(64).is_ok());
    assert_eq!(
        packet(&nested(65)).arguments(64).err().unwrap().code(),
        Code::TooLarge
    );
    assert!(packet(&nested(200_000)).arguments(64).is_err());
}

#[test]
fn an_event_with_too_many_arguments_is_refused() {
    let event = |arguments: usize| format!("[\"e\"{}]", ",1".repeat(arguments));
    assert!(packet(&event(MAX_ARGUMENTS)).arguments(64).is_ok());
    let refused = packet(&event(MAX_ARGUMENTS + 1))
        .arguments(64)
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::TooLarge);
}

#[test]
fn malformed_events_are_refused() {
    for text in ["", "[]", "{}", "[1]", "[null]", "[\"a\"", "[\"a\",]", "7"] {
        assert!(packet(text).arguments(64).is_err(), "{text}");
    }
}
