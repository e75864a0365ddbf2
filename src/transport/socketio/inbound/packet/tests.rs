//! How packets of clients are parsed and rewritten.

use EngineProtocol::{V3, V4};

use super::*;

fn passes(protocol: EngineProtocol, packet: &str) -> String {
    match parse_text(protocol, packet) {
        Ok(ClientPacket::SocketIo(message)) => message.text.into_owned(),
        Ok(ClientPacket::Engine(text)) => text.to_owned(),
        other => panic!("{packet}: {other:?}"),
    }
}

#[test]
fn packets_that_socketioxide_accepts_pass_unchanged() {
    for packet in [
        "1",
        "2",
        "3",
        "40",
        "40{}",
        r#"40/chat,{"token":"t"}"#,
        "41",
        "41/chat,",
        r#"42["message",{"room":"r","data":"\u00e4"}]"#,
        r#"42/chat,17["join","r"]"#,
        r#"431[]"#,
        r#"43/chat,0["a"]"#,
        r#"452-["draw",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        r#"461-7[{"_placeholder":true,"num":0}]"#,
    ] {
        assert!(
            !matches!(
                parse_text(V4, packet),
                Ok(ClientPacket::SocketIo(SocketIoPacket {
                    text: Cow::Owned(_),
                    ..
                }))
            ),
            "{packet}"
        );
        assert_eq!(passes(V4, packet), packet);
    }
}

#[test]
fn events_that_socketioxide_would_not_accept_are_rewritten() {
    for (packet, passed) in [
        (r#"42["j\u006fin","r"]"#, r#"42["join","r"]"#),
        ("421[1,2]", r#"421["1",2]"#),
        (
            r#"42/chat,3["a\"b",1]"#,
            r#"42/chat,3["switchboard:raw"]["a\"b",1]"#,
        ),
        (
            r#"42["switchboard:raw"]"#,
            r#"42["switchboard:raw"]["switchboard:raw"]"#,
        ),
        ("42", r#"42["switchboard:raw"]"#),
        ("427", r#"427["switchboard:raw"]"#),
        ("42[", r#"42["switchboard:raw"]["#),
        (r#"42["a",]"#, r#"42["switchboard:raw"]["a",]"#),
        (r#"42["a"]["b"]"#, r#"42["switchboard:raw"]["a"]["b"]"#),
        ("42[null,1]", r#"42["switchboard:raw"][null,1]"#),
        ("2probe", "2"),
        ("3probe", "3"),
    ] {
        assert_eq!(passes(V4, packet), passed, "{packet}");
    }
}

#[test]
fn the_query_of_client_2_is_parsed_behind_its_namespace() {
    for (packet, namespace, passed) in [
        ("40/chat?user=alice,", "/chat", "40/chat,user=alice"),
        ("40/chat?user=alice", "/chat", "40/chat,user=alice"),
        ("40/a?b?c,", "/a", "40/a,b?c"),
        ("40/chat,", "/chat", "40/chat,"),
        (
            r#"42/chat?user=alice,1["a?b"]"#,
            "/chat",
            r#"42/chat,1["a?b"]"#,
        ),
        (r#"42/chat?q,1[5]"#, "/chat", r#"42/chat,1["5"]"#),
        ("41/chat?q,", "/chat", "41/chat,"),
        (
            r#"451-/chat?q,["e",{"_placeholder":true,"num":0}]"#,
            "/chat",
            r#"451-/chat,["e",{"_placeholder":true,"num":0}]"#,
        ),
    ] {
        let Ok(ClientPacket::SocketIo(message)) = parse_text(V3, packet) else {
            panic!("{packet}");
        };
        assert_eq!((message.namespace, &*message.text), (namespace, passed));
    }
    let Ok(ClientPacket::SocketIo(message)) = parse_text(V4, "40/chat?user=alice,{}") else {
        panic!("a CONNECT");
    };
    assert_eq!(message.namespace, "/chat?user=alice");
}

#[test]
fn white_space_is_parsed_as_in_javascript() {
    for (packet, passed) in [
        (r#"42 ["join","r"]"#, r#"420["join","r"]"#),
        (r#"421 ["join","r"]"#, r#"421["join","r"]"#),
        ("42\t 1\n[\"join\",\"r\"]", r#"421["join","r"]"#),
        (
            "42/chat,1\u{a0}\u{feff}\u{c}[\"join\"]",
            r#"42/chat,1["join"]"#,
        ),
        (r#"42[ "join" , "r" ] "#, r#"42[ "join" , "r" ] "#),
        (r#"421 2["join"]"#, r#"42["join"]"#),
        (r#"421 ["j\u006fin"]"#, r#"421["join"]"#),
        (r#"421 [1]"#, r#"421["1"]"#),
        (r#"421 [null]"#, r#"421["switchboard:raw"][null]"#),
        (r#"431 [1]"#, "431[1]"),
        ("43 [1]", "430[1]"),
        (
            r#"451-1 ["a",{"_placeholder":true,"num":0}]"#,
            r#"451-1["a",{"_placeholder":true,"num":0}]"#,
        ),
        (r#"40 {"user":"alice"}"#, r#"40{"user":"alice"}"#),
        (r#"40/chat, {}"#, "40/chat,{}"),
        ("40 ", "40"),
        ("40{} ", "40{}"),
    ] {
        assert_eq!(passes(V4, packet), passed, "{packet}");
    }
    assert!(parse_text(V4, "42\u{85}[\"join\"]").is_err());
    assert_eq!(passes(V3, r#"421 ["join"]"#), r#"421["join"]"#);
    assert_eq!(passes(V3, r#"42/a?b=c,1 ["e"]"#), r#"42/a,1["e"]"#);
}

#[test]
fn malformed_packets_are_protocol_errors() {
    for packet in [
        "",
        "x",
        "abc",
        "7",
        "\u{1f980}",
        "4",
        "4abc",
        "47",
        "4\u{1f980}",
        "42{}",
        r#"42"a""#,
        r#"42abc["message-to-server",1,2,3]"#,
        r#"42-1["a"]"#,
        "40[]",
        "40{",
        "4012",
        "431{}",
        "43abc",
        "45",
        "45-[\"a\"]",
        r#"45x-["a"]"#,
        r#"45+1-["a"]"#,
        r#"45999999999999999999999-["a"]"#,
    ] {
        assert!(parse_text(V4, packet).is_err(), "{packet}");
    }
}

#[test]
fn packets_without_a_meaning_to_a_server_are_ignored() {
    for packet in [
        "0{}",
        "5",
        "6",
        "44{}",
        "43",
        "43[1]",
        "431",
        "4399999999999999999999[]",
    ] {
        assert!(
            matches!(parse_text(V4, packet), Ok(ClientPacket::Ignored(_))),
            "{packet}"
        );
    }
    assert!(matches!(parse_text(V3, "bx"), Ok(ClientPacket::Ignored(_))));
    assert!(matches!(
        parse_binary(V3, &[2, 1]),
        ClientPacket::Ignored(_)
    ));
    assert!(matches!(parse_binary(V3, &[]), ClientPacket::Ignored(_)));
}

#[test]
fn base64_is_decoded_as_in_node() {
    for (protocol, packet, bytes) in [
        (
            V4,
            "bAAEeYv+ADQo=",
            &[0, 1, 0x1e, 0x62, 255, 128, 13, 10][..],
        ),
        (V4, "bAAEeYv-ADQo", &[0, 1, 0x1e, 0x62, 255, 128, 13, 10]),
        (
            V4,
            "bAA EeY v+ADQo=garbage",
            &[0, 1, 0x1e, 0x62, 255, 128, 13, 10],
        ),
        (V4, "b4AAA", &[0xe0, 0, 0]),
        (V3, "b4AAAA", &[0, 0, 0]),
        (V4, "b", &[]),
        (V4, "bA", &[]),
    ] {
        assert_eq!(
            parse_text(protocol, packet),
            Ok(ClientPacket::Attachment(Cow::Owned(bytes.to_vec()))),
            "{packet}"
        );
    }
}
