//! Poll responses in every encoding.

use serde_json::value::RawValue;

use super::{super::engine_frame::BARRIER_EVENT, *};
use crate::model::Namespace;

const TEXT: PollEncoding = PollEncoding::LengthPrefixed { binary: false };
const BYTES: PollEncoding = PollEncoding::LengthPrefixed { binary: true };

fn held_packets() -> Vec<Frame> {
    let value = RawValue::from_string("\"ä😀\"".to_owned()).unwrap();
    let event = || Frame::event(&Namespace::root(), "e", std::slice::from_ref(&value));
    vec![event(), event()]
}

fn rewrite_body(body: &str, encoding: PollEncoding, frames: Vec<Frame>) -> Option<PollingResponse> {
    let mut frames = Some(frames);
    let take_held = || frames.take().unwrap_or_default();
    rewrite(body.as_bytes(), encoding, take_held, |_| None, false)
}

fn text(response: PollingResponse) -> String {
    assert!(!response.binary);
    String::from_utf8(response.bytes).unwrap()
}

#[test]
fn held_packets_replace_the_barrier_in_every_encoding() {
    let event = "42[\"e\",\"ä😀\"]";
    let body = format!("2\u{1e}42[\"{BARRIER_EVENT}\"]\u{1e}40/x,");
    let response = rewrite_body(&body, PollEncoding::Separated, held_packets()).unwrap();
    assert_eq!(
        text(response),
        format!("2\u{1e}{event}\u{1e}{event}\u{1e}40/x,")
    );
    for encoding in [TEXT, BYTES] {
        let response = rewrite_body(&body, encoding, held_packets()).unwrap();
        assert_eq!(text(response), format!("1:213:{event}13:{event}5:40/x,"));
    }
    let response = rewrite_body(&format!("{body}\u{1e}bAQL/"), BYTES, held_packets()).unwrap();
    assert!(response.binary);
    let event = [&[0, 1, 6, 0xff][..], event.as_bytes()].concat();
    let expected = [
        b"\x00\x01\xff2".to_vec(),
        event.clone(),
        event,
        b"\x00\x05\xff40/x,".to_vec(),
        b"\x01\x04\xff\x04\x01\x02\xff".to_vec(),
    ];
    assert_eq!(response.bytes, expected.concat());
}

#[test]
fn bytes_are_encoded_as_a_client_of_engine_io_3_accepts_them() {
    let body = "451-[\"draw\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQL/";
    let header = &body[..42];
    assert_eq!(
        rewrite_body(body, PollEncoding::Separated, Vec::new())
            .map(text)
            .as_deref(),
        Some(body)
    );
    let response = rewrite_body(body, TEXT, Vec::new()).unwrap();
    assert_eq!(text(response), format!("42:{header}6:b4AQL/"));
    let response = rewrite_body(body, BYTES, Vec::new()).unwrap();
    let expected = [
        &[0, 4, 2, 0xff],
        header.as_bytes(),
        b"\x01\x04\xff\x04\x01\x02\xff",
    ];
    assert_eq!((response.bytes, response.binary), (expected.concat(), true));
}

#[test]
fn a_response_with_only_a_barrier_becomes_a_noop() {
    let barrier = format!("42[\"{BARRIER_EVENT}\"]");
    for (encoding, nothing) in [
        (PollEncoding::Separated, "6"),
        (TEXT, "1:6"),
        (BYTES, "1:6"),
    ] {
        let response = rewrite_body(&barrier, encoding, Vec::new()).unwrap();
        assert_eq!(text(response), nothing);
    }
    assert_eq!(text(rewrite_body("1:6", BYTES, Vec::new()).unwrap()), "1:6");
}

#[test]
fn one_ping_is_stripped_from_a_response() {
    assert_eq!(strip_ping(b"2").unwrap(), b"");
    assert_eq!(strip_ping(b"2\x1e40{}").unwrap(), b"40{}");
    assert_eq!(strip_ping(b"40{}\x1e2\x1e2").unwrap(), b"40{}\x1e2");
    assert!(strip_ping(b"42[2]").is_none());
}

#[test]
fn other_responses_pass_unchanged() {
    assert!(rewrite_body("2", PollEncoding::Separated, held_packets()).is_none());
    for encoding in [PollEncoding::Separated, TEXT, BYTES] {
        assert!(rewrite_body("", encoding, held_packets()).is_none());
    }
    let message = "42[\"a\",40]";
    let response = rewrite_body(message, PollEncoding::Separated, held_packets()).unwrap();
    assert_eq!(text(response), message);
}

#[test]
fn packets_are_rewritten_in_the_order_in_which_they_are_sent() {
    let barrier = format!("42[\"{BARRIER_EVENT}\"]");
    let body = format!("42[\"a\"]\u{1e}{barrier}\u{1e}42[\"a\"]\u{1e}2");
    let taken = std::cell::Cell::new(0);
    let take_held = || {
        taken.set(1);
        held_packets()
    };
    let rewritten = |text: &str| (text != "2").then(|| format!("{text}{}", taken.get()));
    let response = rewrite(
        body.as_bytes(),
        PollEncoding::Separated,
        take_held,
        rewritten,
        false,
    )
    .unwrap();
    let event = "42[\"e\",\"ä😀\"]";
    assert_eq!(
        text(response),
        format!("42[\"a\"]0\u{1e}{event}\u{1e}{event}\u{1e}42[\"a\"]1\u{1e}2")
    );
}

#[test]
fn packets_of_a_poll_response_are_encoded_as_frames() {
    let text = b"\x81\x0542[1]".to_vec();
    let v4 = [text.clone(), b"\x82\x03\x01\x02\x03".to_vec()].concat();
    assert_eq!(
        websocket_frames(b"42[1]\x1ebAQID", PollEncoding::Separated),
        v4
    );
    // Engine.IO 3 has the packet type before the bytes.
    let v3 = [text, b"\x82\x04\x04\x01\x02\x03".to_vec()].concat();
    assert_eq!(websocket_frames(b"42[1]\x1ebAQID", TEXT), v3);
    for nothing in ["", "6", "1:6"] {
        assert!(websocket_frames(nothing.as_bytes(), BYTES).is_empty());
    }
}

#[test]
fn the_last_response_of_a_session_closes_it() {
    let last = |body: &str, encoding| {
        let response = rewrite(body.as_bytes(), encoding, Vec::new, |_| None, true);
        text(response.unwrap())
    };
    let barrier = format!("42[\"{BARRIER_EVENT}\"]");
    for nothing in ["", "6", "1:6", &barrier] {
        assert_eq!(last(nothing, PollEncoding::Separated), "1");
        assert_eq!(last(nothing, BYTES), "1:1");
    }
    assert_eq!(last("42[1]", PollEncoding::Separated), "42[1]\x1e1");
    assert_eq!(last("42[1]", TEXT), "5:42[1]1:1");
}
