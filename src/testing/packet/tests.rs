//! Packets are read and written as Socket.IO does.

use serde_json::json;

use super::*;

#[test]
fn packets_of_the_clients_namespace_are_read() {
    for (text, namespace, packet) in [
        (r#"0{"sid":"a"}"#, "/", Packet::Open),
        ("2", "/", Packet::Ping),
        (
            r#"40{"sid":"a"}"#,
            "/",
            Packet::Connected(json!({ "sid": "a" })),
        ),
        ("40/chat,{}", "/chat", Packet::Connected(json!({}))),
        ("40/chat,{}", "/", Packet::Other),
        ("41", "/", Packet::Disconnected),
        ("41/chat,", "/chat", Packet::Disconnected),
        (
            r#"42["news",1,"two"]"#,
            "/",
            Packet::Event("news".to_owned(), vec![json!(1), json!("two")], None),
        ),
        (
            r#"42/chat,7["news"]"#,
            "/chat",
            Packet::Event("news".to_owned(), vec![], Some(7)),
        ),
        (
            r#"451-["file",{"_placeholder":true,"num":0}]"#,
            "/",
            Packet::Event(
                "file".to_owned(),
                vec![json!({ "_placeholder": true, "num": 0 })],
                None,
            ),
        ),
        (r"4312[true]", "/", Packet::Ack(12, vec![json!(true)])),
        (r"43/chat,1[]", "/chat", Packet::Ack(1, vec![])),
        (
            r#"44{"message":"no"}"#,
            "/",
            Packet::Refused(json!({ "message": "no" })),
        ),
        ("42[]", "/", Packet::Other),
        ("4", "/", Packet::Other),
        ("", "/", Packet::Other),
    ] {
        assert_eq!(Packet::parse(text, namespace), packet, "{text}");
    }
}

#[test]
fn packets_are_written_with_what_they_have() {
    assert_eq!(encode(0, 0, "/", None, "{}"), "40{}");
    assert_eq!(
        encode(2, 0, "/chat", Some(3), r#"["a"]"#),
        r#"42/chat,3["a"]"#
    );
    assert_eq!(encode(5, 2, "/", Some(3), "[]"), "452-3[]");
}
