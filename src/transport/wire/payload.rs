//! The answers to polls: packets of ours go where a mark stands, some of socketioxide's are rewritten, and all of them are put
//! together as the client's protocol has it.
//!
//! engineioxide is asked for every answer as Engine.IO 4 has it, by all sessions: it frames binary packets for Engine.IO 3 as
//! version 4 does. There, version 4 is text alone, with bytes as base64 behind a `b`.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    frame::{Frame, Packet, binary_frame, framed},
    outbox::Outbox,
};

/// How the packets of one answer are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Encoding {
    /// Engine.IO 4: separated by a control character.
    Separated,
    /// Engine.IO 3: each behind its length in UTF-16 units, bytes as base64. If the client takes them, answers with
    /// bytes have each packet behind its kind and its length in bytes, digit by digit.
    Counted {
        /// Whether the client takes bytes as they are.
        binary: bool,
    },
}

/// An answer to a poll.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport) struct Answer {
    pub(in crate::transport) bytes: Vec<u8>,
    /// It is no text.
    pub(in crate::transport) binary: bool,
}

const SEPARATOR: char = '\u{1e}';
/// What base64 stands behind.
const BASE64: char = 'b';
/// Engine.IO's packet that means nothing: an answer has one packet at least.
const NOTHING: &str = "6";
const PING: &str = "2";
/// Engine.IO's packet that ends a session.
const CLOSE: &str = "1";
/// The same as engineioxide frames it for a session of Engine.IO 3 that it upgrades, whatever it was asked for.
const COUNTED_NOTHING: &[u8] = b"1:6";
/// Engine.IO's kind of packet that carries one of Socket.IO's.
const MESSAGE: u8 = 4;

impl Encoding {
    /// That of a session: `base64` is what its handshake says of bytes.
    pub(in crate::transport) fn of(protocol: u8, base64: bool) -> Self {
        match protocol {
            3 => Self::Counted { binary: !base64 },
            _ => Self::Separated,
        }
    }
}

/// Passes on the answer to a poll; `None` if it stays as it is. At most `budget` bytes of ours are put in. The last answer
/// of a session says that it is closed: a client that waits for it before it upgrades would otherwise wait for its ping timeout.
pub(in crate::transport) fn pass(
    body: &[u8],
    encoding: Encoding,
    outbox: &Arc<Outbox>,
    budget: usize,
) -> Option<Answer> {
    let rewritten = |packet: &str| outbox.rewritten(packet);
    let last = outbox.has_ended();
    rewrite(body, encoding, || outbox.spliced(budget), rewritten, last)
}

fn rewrite(
    body: &[u8],
    encoding: Encoding,
    mut splice: impl FnMut() -> Vec<Frame>,
    rewritten: impl Fn(&str) -> Option<String>,
    last: bool,
) -> Option<Answer> {
    let concerns = |kind: &[u8]| body.windows(kind.len()).any(|window| window == kind);
    let stays = match encoding {
        Encoding::Separated => ![b"40", b"42", b"44", b"45"]
            .into_iter()
            .any(|kind| concerns(kind)),
        Encoding::Counted { .. } => body.is_empty(),
    };
    if stays && !last {
        return None;
    }
    let mut packets = Vec::new();
    for packet in packets_of(body)? {
        match Packet::of(packet) {
            _ if packet.is_empty() || last && packet == NOTHING => {}
            Packet::Mark => {
                let ours = splice();
                packets.extend(
                    ours.iter()
                        .map(|frame| Cow::Owned(frame.packet().to_owned())),
                );
            }
            _ => packets.push(rewritten(packet).map_or(Cow::Borrowed(packet), Cow::Owned)),
        }
    }
    if last {
        packets.push(Cow::Borrowed(CLOSE));
    }
    Some(answer(&packets, encoding))
}

/// The packets of an answer of engineioxide's; `None` if it is none that it makes.
fn packets_of(body: &[u8]) -> Option<std::str::Split<'_, char>> {
    let body = if body == COUNTED_NOTHING {
        NOTHING.as_bytes()
    } else {
        body
    };
    Some(std::str::from_utf8(body).ok()?.split(SEPARATOR))
}

/// An answer of engineioxide's without the ping in it; `None` if there is none.
pub(in crate::transport) fn without_ping(body: &[u8]) -> Option<Vec<u8>> {
    let mut found = false;
    let rest = packets_of(body)?.filter(|packet| {
        let ping = *packet == PING && !found;
        found |= ping;
        !ping
    });
    let rest: Vec<&str> = rest.collect();
    found.then(|| rest.join(&*SEPARATOR.to_string()).into_bytes())
}

/// The packets of an answer of engineioxide's as frames of a WebSocket, for a client that upgrades before it takes them.
pub(in crate::transport) fn frames(body: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut frames = Vec::new();
    for packet in packets_of(body).into_iter().flatten() {
        let bytes = packet
            .strip_prefix(BASE64)
            .map(|text| BASE64_STANDARD.decode(text));
        let frame = match (bytes, encoding) {
            _ if packet.is_empty() || packet == NOTHING => continue,
            (Some(Ok(bytes)), Encoding::Separated) => binary_frame(&[&bytes]),
            (Some(Ok(bytes)), Encoding::Counted { .. }) => binary_frame(&[&[MESSAGE], &bytes]),
            _ => framed(packet.as_bytes()),
        };
        frames.extend_from_slice(&frame);
    }
    frames
}

/// An answer that says nothing.
pub(in crate::transport) fn nothing(encoding: Encoding) -> Answer {
    answer(&[], encoding)
}

/// Puts packets together.
fn answer(packets: &[Cow<'_, str>], encoding: Encoding) -> Answer {
    let nothing = [Cow::Borrowed(NOTHING)];
    let packets = if packets.is_empty() {
        &nothing
    } else {
        packets
    };
    let has_bytes = || packets.iter().any(|packet| packet.starts_with(BASE64));
    let (bytes, binary) = match encoding {
        Encoding::Separated => (packets.join(&*SEPARATOR.to_string()).into_bytes(), false),
        Encoding::Counted { binary: true } if has_bytes() => (in_bytes(packets), true),
        Encoding::Counted { .. } => (counted(packets).into_bytes(), false),
    };
    Answer { bytes, binary }
}

/// Engine.IO 3 as text.
fn counted(packets: &[Cow<'_, str>]) -> String {
    let mut text = String::new();
    for packet in packets {
        let packet = match packet.strip_prefix(BASE64) {
            Some(bytes) => Cow::Owned(format!("{BASE64}{MESSAGE}{bytes}")),
            None => Cow::Borrowed(&**packet),
        };
        let length = packet.encode_utf16().count().to_string();
        text.extend([&*length, ":", &*packet]);
    }
    text
}

/// Engine.IO 3 as bytes.
fn in_bytes(packets: &[Cow<'_, str>]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut add = |kind: u8, parts: [&[u8]; 2]| {
        all.push(kind);
        let length = parts[0].len() + parts[1].len();
        all.extend(length.to_string().bytes().map(|digit| digit - b'0'));
        all.push(0xff);
        parts
            .into_iter()
            .for_each(|part| all.extend_from_slice(part));
    };
    for packet in packets {
        let bytes = packet
            .strip_prefix(BASE64)
            .map(|text| BASE64_STANDARD.decode(text));
        match bytes {
            Some(Ok(bytes)) => add(1, [&[MESSAGE], &bytes]),
            _ => add(0, [packet.as_bytes(), &[]]),
        }
    }
    all
}

#[cfg(test)]
mod tests {
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
}
