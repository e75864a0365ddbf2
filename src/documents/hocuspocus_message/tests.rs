//! Messages of Hocuspocus.

use proptest::prelude::*;

use super::*;

/// A frame to the document `ab`.
fn frame(message: &[u8]) -> Vec<u8> {
    [&[2, b'a', b'b'], message].concat()
}

#[test]
fn messages_of_clients_are_parsed() {
    for (bytes, message) in [
        (
            &[0, 0, 1, 0][..],
            ClientMessage::Sync(SyncMessage::Step1(&[0])),
        ),
        (
            &[0, 1, 2, 0, 0],
            ClientMessage::Sync(SyncMessage::Step2(&[0, 0])),
        ),
        (
            &[0, 2, 2, 0, 0],
            ClientMessage::Sync(SyncMessage::Update(&[0, 0])),
        ),
        (
            &[4, 2, 2, 0, 0],
            ClientMessage::Sync(SyncMessage::Update(&[0, 0])),
        ),
        (&[1, 1, 7], ClientMessage::Awareness(&[7])),
        (
            &[2, 0, 1, b't'],
            ClientMessage::Token {
                token: "t",
                version: None,
            },
        ),
        (
            &[2, 0, 0, 5, b'4', b'.', b'5', b'.', b'0'],
            ClientMessage::Token {
                token: "",
                version: Some("4.5.0"),
            },
        ),
        (&[3], ClientMessage::QueryAwareness),
        (&[5, 1, b'x'], ClientMessage::Stateless("x")),
        (&[6, 1, b'x'], ClientMessage::Unknown(6)),
        (&[7], ClientMessage::Close),
    ] {
        let bytes = frame(bytes);
        let expected = ClientFrame::Message(Address("ab"), message);
        assert_eq!(parse(&bytes), Ok(expected));
    }
    assert_eq!(parse(&[10]), Ok(ClientFrame::Pong));
}

#[test]
fn messages_of_the_server_are_written() {
    for (message, bytes) in [
        (
            ServerMessage::Sync(SyncMessage::Step1(&[0])),
            &[0, 0, 1, 0][..],
        ),
        (ServerMessage::Awareness(&[7]), &[1, 1, 7]),
        (ServerMessage::PermissionDenied("n"), &[2, 1, 1, b'n']),
        (
            ServerMessage::Authenticated(Scope::ReadOnly),
            &[2, 2, 8, b'r', b'e', b'a', b'd', b'o', b'n', b'l', b'y'],
        ),
        (ServerMessage::Close("x"), &[7, 1, b'x']),
        (ServerMessage::SyncStatus(true), &[8, 1]),
        (ServerMessage::SyncStatus(false), &[8, 0]),
    ] {
        assert_eq!(message.encode("ab"), frame(bytes));
    }
}

#[test]
fn an_address_has_a_document_and_maybe_a_session() {
    assert_eq!(Address("ab").document(), "ab");
    assert_eq!(Address("ab").session(), None);
    assert_eq!(Address("ab\0s").document(), "ab");
    assert_eq!(Address("ab\0s").session(), Some("s"));
    assert_eq!(Address("ab\0s").as_str(), "ab\0s");
}

#[test]
fn malformed_messages_are_refused() {
    for bytes in [
        &[][..],
        &[0],
        &[0, 3, 0],
        &[1, 2, 0],
        &[2, 1, 0],
        &[2, 0, 0, 9],
        &[5],
    ] {
        assert!(parse(&frame(bytes)).is_err(), "{bytes:?}");
    }
    for bytes in [&[][..], &[9], &[3, b'a'], &[1, 0xff, 3]] {
        assert!(parse(bytes).is_err(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn foreign_frames_never_panic(frame: Vec<u8>) {
        let _ = parse(&frame);
    }
}
