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
mod tests;
