//! Messages of y-websocket.

use proptest::prelude::*;

use super::*;

fn parse_all(frame: &[u8]) -> Result<Vec<Message<'_>>, Malformed> {
    parse(frame).collect()
}

#[test]
fn messages_have_the_bytes_of_y_websocket() {
    for (message, frame) in [
        (Message::Sync(SyncMessage::Step1(&[0])), &[0, 0, 1, 0][..]),
        (Message::Sync(SyncMessage::Step2(&[0, 0])), &[0, 1, 2, 0, 0]),
        (
            Message::Sync(SyncMessage::Update(&[0, 0])),
            &[0, 2, 2, 0, 0],
        ),
        (Message::Awareness(&[7]), &[1, 1, 7]),
        (Message::PermissionDenied("no"), &[2, 0, 2, b'n', b'o']),
        (Message::QueryAwareness, &[3]),
    ] {
        assert_eq!(message.encode(), frame);
        assert_eq!(parse_all(frame), Ok(vec![message]));
    }
}

#[test]
fn a_frame_has_several_messages() {
    let frame = [0, 0, 1, 0, 3, 1, 1, 7];
    let messages = parse_all(&frame).unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!(parse_all(&[]), Ok(vec![]));
}

#[test]
fn a_malformed_frame_ends_with_an_error() {
    for frame in [
        &[4][..],
        &[0],
        &[0, 3, 0],
        &[0, 0, 2, 0],
        &[1, 1],
        &[2, 1, 0],
        &[2, 0, 1, 0xff],
    ] {
        assert!(parse_all(frame).is_err(), "{frame:?}");
    }
    let mut messages = parse(&[3, 9, 3]);
    assert_eq!(messages.next(), Some(Ok(Message::QueryAwareness)));
    assert!(messages.next().is_some_and(|message| message.is_err()));
    assert_eq!(messages.next(), None);
}

proptest! {
    #[test]
    fn foreign_frames_never_panic(frame: Vec<u8>) {
        let _ = parse_all(&frame);
    }
}
