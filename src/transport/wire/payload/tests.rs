use serde_json::value::RawValue;

use super::{super::frame::MARK, *};
use crate::model::Namespace;

const TEXT: Encoding = Encoding::Counted { binary: false };
const BYTES: Encoding = Encoding::Counted { binary: true };

fn ours() -> Vec<Frame> {
    let value = RawValue::from_string("\"ä😀\"".to_owned()).unwrap();
    let event = || Frame::event(&Namespace::root(), "e", std::slice::from_ref(&value));
    vec![event(), event()]
}

fn through(body: &str, encoding: Encoding, frames: Vec<Frame>) -> Option<Answer> {
    let mut frames = Some(frames);
    let splice = || frames.take().unwrap_or_default();
    rewrite(body.as_bytes(), encoding, splice, |_| None, false)
}

fn text(answer: Answer) -> String {
    assert!(!answer.binary);
    String::from_utf8(answer.bytes).unwrap()
}

#[test]
fn packets_of_ours_take_the_place_of_the_mark_in_every_encoding() {
    let event = "42[\"e\",\"ä😀\"]";
    let body = format!("2\u{1e}42[\"{MARK}\"]\u{1e}40/x,");
    let passed = through(&body, Encoding::Separated, ours()).unwrap();
    assert_eq!(
        text(passed),
        format!("2\u{1e}{event}\u{1e}{event}\u{1e}40/x,")
    );
    for encoding in [TEXT, BYTES] {
        let passed = through(&body, encoding, ours()).unwrap();
        assert_eq!(text(passed), format!("1:213:{event}13:{event}5:40/x,"));
    }
    let passed = through(&format!("{body}\u{1e}bAQL/"), BYTES, ours()).unwrap();
    assert!(passed.binary);
    let event = [&[0, 1, 6, 0xff][..], event.as_bytes()].concat();
    let expected = [
        b"\x00\x01\xff2".to_vec(),
        event.clone(),
        event,
        b"\x00\x05\xff40/x,".to_vec(),
        b"\x01\x04\xff\x04\x01\x02\xff".to_vec(),
    ];
    assert_eq!(passed.bytes, expected.concat());
}

#[test]
fn bytes_reach_a_client_of_engine_io_3_as_it_takes_them() {
    let body = "451-[\"draw\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQL/";
    let header = &body[..42];
    assert_eq!(
        through(body, Encoding::Separated, Vec::new())
            .map(text)
            .as_deref(),
        Some(body)
    );
    let passed = through(body, TEXT, Vec::new()).unwrap();
    assert_eq!(text(passed), format!("42:{header}6:b4AQL/"));
    let passed = through(body, BYTES, Vec::new()).unwrap();
    let expected = [
        &[0, 4, 2, 0xff],
        header.as_bytes(),
        b"\x01\x04\xff\x04\x01\x02\xff",
    ];
    assert_eq!((passed.bytes, passed.binary), (expected.concat(), true));
}

#[test]
fn an_answer_that_was_a_mark_alone_has_a_packet_all_the_same() {
    let mark = format!("42[\"{MARK}\"]");
    for (encoding, nothing) in [(Encoding::Separated, "6"), (TEXT, "1:6"), (BYTES, "1:6")] {
        let passed = through(&mark, encoding, Vec::new()).unwrap();
        assert_eq!(text(passed), nothing);
    }
    assert_eq!(text(through("1:6", BYTES, Vec::new()).unwrap()), "1:6");
}

#[test]
fn one_ping_is_taken_out_of_an_answer() {
    assert_eq!(without_ping(b"2").unwrap(), b"");
    assert_eq!(without_ping(b"2\x1e40{}").unwrap(), b"40{}");
    assert_eq!(without_ping(b"40{}\x1e2\x1e2").unwrap(), b"40{}\x1e2");
    assert!(without_ping(b"42[2]").is_none());
}

#[test]
fn what_does_not_concern_us_stays_as_it_is() {
    assert!(through("2", Encoding::Separated, ours()).is_none());
    for encoding in [Encoding::Separated, TEXT, BYTES] {
        assert!(through("", encoding, ours()).is_none());
    }
    let message = "42[\"a\",40]";
    let passed = through(message, Encoding::Separated, ours()).unwrap();
    assert_eq!(text(passed), message);
}

#[test]
fn a_packet_is_rewritten_behind_what_goes_before_it() {
    let mark = format!("42[\"{MARK}\"]");
    let body = format!("42[\"a\"]\u{1e}{mark}\u{1e}42[\"a\"]\u{1e}2");
    let spliced = std::cell::Cell::new(0);
    let splice = || {
        spliced.set(1);
        ours()
    };
    let rewritten = |text: &str| (text != "2").then(|| format!("{text}{}", spliced.get()));
    let passed = rewrite(
        body.as_bytes(),
        Encoding::Separated,
        splice,
        rewritten,
        false,
    )
    .unwrap();
    let event = "42[\"e\",\"ä😀\"]";
    assert_eq!(
        text(passed),
        format!("42[\"a\"]0\u{1e}{event}\u{1e}{event}\u{1e}42[\"a\"]1\u{1e}2")
    );
}

#[test]
fn packets_that_a_poll_would_have_had_are_the_same_as_frames() {
    let text = b"\x81\x0542[1]".to_vec();
    let v4 = [text.clone(), b"\x82\x03\x01\x02\x03".to_vec()].concat();
    assert_eq!(frames(b"42[1]\x1ebAQID", Encoding::Separated), v4);
    // Engine.IO 3 has the kind of packet in front of the bytes.
    let v3 = [text, b"\x82\x04\x04\x01\x02\x03".to_vec()].concat();
    assert_eq!(frames(b"42[1]\x1ebAQID", TEXT), v3);
    for nothing in ["", "6", "1:6"] {
        assert!(frames(nothing.as_bytes(), BYTES).is_empty());
    }
}

#[test]
fn the_last_answer_of_a_session_says_that_it_is_closed() {
    let last = |body: &str, encoding| {
        let passed = rewrite(body.as_bytes(), encoding, Vec::new, |_| None, true);
        text(passed.unwrap())
    };
    let mark = format!("42[\"{MARK}\"]");
    for nothing in ["", "6", "1:6", &mark] {
        assert_eq!(last(nothing, Encoding::Separated), "1");
        assert_eq!(last(nothing, BYTES), "1:1");
    }
    assert_eq!(last("42[1]", Encoding::Separated), "42[1]\x1e1");
    assert_eq!(last("42[1]", TEXT), "5:42[1]1:1");
}
