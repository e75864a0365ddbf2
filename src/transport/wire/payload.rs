//! The answers to polls: packets of ours go where a mark stands, and secrets into the answers to CONNECT.

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    frame::{Frame, MARK, Packet, binary_frame, with_pid},
    outbox::Outbox,
    refused::{SIGN, told},
};
use crate::model::Pid;

/// How the packets of one answer are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Encoding {
    /// Engine.IO 4: separated by a control character.
    Separated,
    /// Engine.IO 3: each behind its length in UTF-16 units.
    Counted,
    /// Engine.IO 3 with binary packets: each behind its kind and its length in bytes, digit by digit.
    Binary,
}

const SEPARATOR: char = '\u{1e}';
/// Engine.IO's packet that means nothing: an answer has one packet at least.
const NOTHING: &str = "6";
/// Engine.IO's packet that ends a session.
const CLOSE: &str = "1";
/// Engine.IO's kind of packet that carries one of Socket.IO's, as Engine.IO 3 puts it in front of bytes.
const MESSAGE: u8 = 4;

/// One packet of an answer.
enum Piece<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// Passes on the answer to a poll; `None` if it stays as it is. At most `budget` bytes of ours are put in.
pub(in crate::transport) fn pass(
    body: &[u8],
    encoding: Encoding,
    outbox: &Arc<Outbox>,
    pid: impl Fn(&str) -> Option<Pid>,
    budget: usize,
) -> Option<Vec<u8>> {
    rewrite(body, encoding, || outbox.spliced(budget), pid)
}

fn rewrite(
    body: &[u8],
    encoding: Encoding,
    mut splice: impl FnMut() -> Vec<Frame>,
    pid: impl Fn(&str) -> Option<Pid>,
) -> Option<Vec<u8>> {
    let concerns = |word: &[u8]| body.windows(word.len()).any(|window| window == word);
    if !concerns(MARK.as_bytes()) && !concerns(b"40") && !concerns(SIGN) {
        return None;
    }
    let mut answer = Answer::new(encoding, body.len());
    for piece in pieces(body, encoding)? {
        let text = match piece {
            Piece::Text(text) => text,
            Piece::Binary(bytes) => {
                answer.binary(bytes);
                continue;
            }
        };
        match Packet::of(text) {
            Packet::Mark => splice()
                .iter()
                .for_each(|frame| answer.text(frame.packet())),
            Packet::Connected(namespace) => match pid(namespace) {
                Some(pid) => answer.text(&with_pid(text, pid)),
                None => answer.text(text),
            },
            Packet::Refused => answer.text(told(text).as_deref().unwrap_or(text)),
            _ => answer.text(text),
        }
    }
    Some(answer.finish())
}

/// An answer with Engine.IO's "close" at its end.
pub(in crate::transport) fn with_close(body: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut answer = Answer::new(encoding, body.len() + 4);
    for piece in pieces(body, encoding).unwrap_or_default() {
        match piece {
            Piece::Text("" | NOTHING) => {}
            Piece::Text(text) => answer.text(text),
            Piece::Binary(bytes) => answer.binary(bytes),
        }
    }
    answer.text(CLOSE);
    answer.finish()
}

/// The packets of socketioxide's in an answer as frames of a WebSocket, for a client that upgrades before it takes them.
pub(in crate::transport) fn frames(body: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut frames = Vec::new();
    for piece in pieces(body, encoding).unwrap_or_default() {
        let frame = match piece {
            Piece::Text("" | NOTHING) => continue,
            Piece::Text(text) => match text
                .strip_prefix('b')
                .map(|text| BASE64_STANDARD.decode(text))
            {
                Some(Ok(bytes)) if encoding == Encoding::Separated => binary_frame(&[&bytes]),
                // Engine.IO 3 has the kind of packet in front of the bytes; socketioxide leaves it out of base64.
                Some(Ok(bytes)) => binary_frame(&[&[MESSAGE], &bytes]),
                _ => Frame::text(text.as_bytes()).0,
            },
            Piece::Binary(bytes) => binary_frame(&[bytes]),
        };
        frames.extend_from_slice(&frame);
    }
    frames
}

/// The packets of an answer; `None` if it is none that engineioxide makes.
fn pieces(body: &[u8], encoding: Encoding) -> Option<Vec<Piece<'_>>> {
    match encoding {
        Encoding::Separated => {
            let text = std::str::from_utf8(body).ok()?;
            Some(text.split(SEPARATOR).map(Piece::Text).collect())
        }
        Encoding::Counted => counted(std::str::from_utf8(body).ok()?),
        Encoding::Binary => binary(body),
    }
}

fn counted(mut text: &str) -> Option<Vec<Piece<'_>>> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let (length, rest) = text.split_once(':')?;
        let mut units: usize = length.parse().ok()?;
        let end = rest
            .char_indices()
            .find_map(|(at, c)| match units.checked_sub(c.len_utf16()) {
                Some(left) => {
                    units = left;
                    None
                }
                None => Some(at),
            })
            .unwrap_or(rest.len());
        let (packet, rest) = rest.split_at(end);
        found.push(Piece::Text(packet));
        text = rest;
    }
    Some(found)
}

fn binary(mut bytes: &[u8]) -> Option<Vec<Piece<'_>>> {
    let mut found = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let digits = rest.iter().position(|byte| *byte == 0xff)?;
        let length = rest[..digits].iter().try_fold(0usize, |length, digit| {
            length.checked_mul(10)?.checked_add(usize::from(*digit))
        })?;
        let (packet, rest) = rest[digits + 1..].split_at_checked(length)?;
        found.push(match kind {
            0 => Piece::Text(std::str::from_utf8(packet).ok()?),
            _ => Piece::Binary(packet),
        });
        bytes = rest;
    }
    Some(found)
}

/// An answer in the making.
struct Answer {
    encoding: Encoding,
    bytes: Vec<u8>,
    empty: bool,
}

impl Answer {
    fn new(encoding: Encoding, room: usize) -> Self {
        Self {
            encoding,
            bytes: Vec::with_capacity(room),
            empty: true,
        }
    }

    fn text(&mut self, packet: &str) {
        let first = std::mem::take(&mut self.empty);
        match self.encoding {
            Encoding::Separated if first => {}
            Encoding::Separated => self.bytes.push(SEPARATOR as u8),
            Encoding::Counted => {
                let mut length = String::new();
                let _ = write!(length, "{}:", packet.encode_utf16().count());
                self.bytes.extend_from_slice(length.as_bytes());
            }
            Encoding::Binary => self.head(0, packet.len()),
        }
        self.bytes.extend_from_slice(packet.as_bytes());
    }

    fn binary(&mut self, packet: &[u8]) {
        self.empty = false;
        self.head(1, packet.len());
        self.bytes.extend_from_slice(packet);
    }

    fn head(&mut self, kind: u8, length: usize) {
        self.bytes.push(kind);
        let digits = length.to_string();
        self.bytes.extend(digits.bytes().map(|digit| digit - b'0'));
        self.bytes.push(0xff);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.empty {
            self.text(NOTHING);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::model::Namespace;

    fn ours() -> Vec<Frame> {
        let value = RawValue::from_string("\"ä😀\"".to_owned()).unwrap();
        let event = || Frame::event(&Namespace::root(), "e", std::slice::from_ref(&value));
        vec![event(), event()]
    }

    fn through(body: &[u8], encoding: Encoding, frames: Vec<Frame>) -> Option<Vec<u8>> {
        let mut frames = Some(frames);
        rewrite(
            body,
            encoding,
            || frames.take().unwrap_or_default(),
            |_| None,
        )
    }

    #[test]
    fn packets_of_ours_take_the_place_of_the_mark_in_every_encoding() {
        let mark = format!("42[\"{MARK}\"]");
        let event = "42[\"e\",\"ä😀\"]";
        let body = format!("2\u{1e}{mark}\u{1e}40/x,");
        let expected = format!("2\u{1e}{event}\u{1e}{event}\u{1e}40/x,");
        let passed = through(body.as_bytes(), Encoding::Separated, ours()).unwrap();
        assert_eq!(String::from_utf8(passed).unwrap(), expected);

        let count = |text: &str| format!("{}:{text}", text.encode_utf16().count());
        let body = [count("42[\"ä😀\"]"), count(&mark), count("2")].concat();
        let expected = [count("42[\"ä😀\"]"), count(event), count(event), count("2")].concat();
        let passed = through(body.as_bytes(), Encoding::Counted, ours()).unwrap();
        assert_eq!(String::from_utf8(passed).unwrap(), expected);

        let mut body = vec![1, 3, 0xff, 4, 0xff, 0xfe, 0];
        body.extend(mark.len().to_string().bytes().map(|digit| digit - b'0'));
        body.push(0xff);
        body.extend_from_slice(mark.as_bytes());
        let passed = through(&body, Encoding::Binary, ours()).unwrap();
        let found = binary(&passed).unwrap();
        assert!(matches!(found[0], Piece::Binary([4, 0xff, 0xfe])));
        assert!(matches!(found[1], Piece::Text(text) if text == event));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn an_answer_that_was_a_mark_alone_has_a_packet_all_the_same() {
        let mark = format!("42[\"{MARK}\"]");
        let passed = through(mark.as_bytes(), Encoding::Separated, Vec::new());
        assert_eq!(passed.unwrap(), b"6");
    }

    #[test]
    fn packets_that_a_poll_would_have_had_are_the_same_as_frames() {
        let of = |body: &[u8], encoding| frames(body, encoding);
        let (text, bytes) = (b"\x81\x0542[1]".to_vec(), [1, 2, 3]);
        let v4 = [text.clone(), b"\x82\x03\x01\x02\x03".to_vec()].concat();
        assert_eq!(of(b"42[1]\x1ebAQID", Encoding::Separated), v4);
        let v3 = [text, b"\x82\x04\x04\x01\x02\x03".to_vec()].concat();
        assert_eq!(of(b"5:42[1]5:bAQID", Encoding::Counted), v3);
        let mut body = Answer::new(Encoding::Binary, 0);
        body.text("42[1]");
        body.binary(&[&[MESSAGE], &bytes[..]].concat());
        assert_eq!(of(&body.finish(), Encoding::Binary), v3);
        assert!(of(b"6", Encoding::Separated).is_empty());
        assert!(of(b"", Encoding::Separated).is_empty());
    }

    #[test]
    fn the_last_answer_of_a_session_says_that_it_is_closed() {
        assert_eq!(with_close(b"6", Encoding::Separated), b"1");
        assert_eq!(with_close(b"42[1]", Encoding::Separated), b"42[1]\x1e1");
        assert_eq!(with_close(b"1:6", Encoding::Counted), b"1:1");
        assert_eq!(with_close(b"", Encoding::Counted), b"1:1");
    }

    #[test]
    fn what_does_not_concern_us_stays_as_it_is() {
        assert!(through(b"2", Encoding::Separated, ours()).is_none());
        assert!(through(b"", Encoding::Separated, ours()).is_none());
        let message = b"42[\"a\",40]";
        assert_eq!(
            through(message, Encoding::Separated, ours()).unwrap(),
            message
        );
    }

    #[test]
    fn the_secret_of_its_namespace_goes_into_the_answer_to_connect() {
        let pid = Pid::fresh();
        let body = "40{\"sid\":\"a\"}\u{1e}40/x,{\"sid\":\"a\"}";
        let known = |namespace: &str| (namespace == "/x").then_some(pid);
        let passed = rewrite(body.as_bytes(), Encoding::Separated, Vec::new, known).unwrap();
        let secret = pid.reveal();
        assert_eq!(
            String::from_utf8(passed).unwrap(),
            format!("40{{\"sid\":\"a\"}}\u{1e}40/x,{{\"sid\":\"a\",\"pid\":\"{secret}\"}}")
        );
    }
}
