//! Poll responses: the hub's packets replace barriers, some of socketioxide's packets are rewritten, and all are encoded for
//! the client's version of the protocol.
//!
//! engineioxide is polled in Engine.IO 4 for all sessions, since it encodes binary packets for Engine.IO 3 as version 4 does.
//! A response in version 4 is always text, with bytes as base64 after a `b`.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    EngineProtocol,
    document_namespace::SHARED_NAMESPACE,
    engine_frame::OutgoingPacket,
    frame::{BASE64_MARKER, Frame, MESSAGE, binary_frame, framed},
    outbox::Outbox,
};

/// How poll responses are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum PollEncoding {
    /// Engine.IO 4: packets separated by a control character.
    Separated,
    /// Engine.IO 3: each packet after its length in UTF-16 units, bytes as base64. A response with bytes is binary if the
    /// client accepts that: each packet after its kind and its length in bytes, digit by digit.
    LengthPrefixed {
        /// Whether the client accepts binary responses.
        binary: bool,
    },
}

/// The body of a poll response.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport) struct PollingResponse {
    pub(in crate::transport) bytes: Vec<u8>,
    /// Binary, not text.
    pub(in crate::transport) binary: bool,
}

const SEPARATOR: char = '\u{1e}';
/// Engine.IO's no-op packet: a response has at least one packet.
const NOOP: &str = "6";
const PING: &str = "2";
/// Engine.IO's packet that ends a session.
const CLOSE: &str = "1";
/// The same as engineioxide encodes it for a session of Engine.IO 3 that it upgrades, whatever version it was polled in.
const LENGTH_PREFIXED_NOOP: &[u8] = b"1:6";

impl PollEncoding {
    /// The encoding of a session; `base64` is whether its handshake asked for base64.
    pub(in crate::transport) fn new(protocol: u8, base64: bool) -> Self {
        match protocol {
            3 => Self::LengthPrefixed { binary: !base64 },
            _ => Self::Separated,
        }
    }

    fn protocol(self) -> EngineProtocol {
        match self {
            Self::Separated => EngineProtocol::V4,
            Self::LengthPrefixed { .. } => EngineProtocol::V3,
        }
    }
}

/// Rewrites a poll response of engineioxide's; `None` if it passes unchanged. Puts in at most `budget` bytes of the hub's
/// packets. The last response of a session closes it: a client that waits for that response before it upgrades would
/// otherwise wait for its ping timeout.
pub(in crate::transport) fn rewrite_poll_response(
    body: &[u8],
    encoding: PollEncoding,
    outbox: &Arc<Outbox>,
    budget: usize,
) -> Option<PollingResponse> {
    let rewrite_packet = |packet: &str| outbox.rewrite_packet(packet);
    let last = outbox.has_ended();
    rewrite(
        body,
        encoding,
        || outbox.take_at_barrier(budget),
        rewrite_packet,
        last,
    )
}

fn rewrite(
    body: &[u8],
    encoding: PollEncoding,
    mut take_held: impl FnMut() -> Vec<Frame>,
    rewrite_packet: impl Fn(&str) -> Option<String>,
    last: bool,
) -> Option<PollingResponse> {
    let contains = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    let unchanged = match encoding {
        PollEncoding::Separated => !["40", "42", "44", "45", SHARED_NAMESPACE]
            .into_iter()
            .any(|part| contains(part.as_bytes())),
        PollEncoding::LengthPrefixed { .. } => body.is_empty(),
    };
    if unchanged && !last {
        return None;
    }
    let mut packets = Vec::new();
    for packet in split_packets(body)? {
        match OutgoingPacket::classify(packet) {
            _ if packet.is_empty() || last && packet == NOOP => {}
            OutgoingPacket::Barrier => {
                let held = take_held();
                let held = held
                    .iter()
                    .flat_map(|frame| frame.packets(encoding.protocol()));
                packets.extend(held.map(Cow::Owned));
            }
            _ => packets.push(rewrite_packet(packet).map_or(Cow::Borrowed(packet), Cow::Owned)),
        }
    }
    if last {
        packets.push(Cow::Borrowed(CLOSE));
    }
    Some(encode(&packets, encoding))
}

/// The packets of a response of engineioxide's; `None` if it is not UTF-8, which engineioxide never sends.
fn split_packets(body: &[u8]) -> Option<std::str::Split<'_, char>> {
    let body = if body == LENGTH_PREFIXED_NOOP {
        NOOP.as_bytes()
    } else {
        body
    };
    Some(std::str::from_utf8(body).ok()?.split(SEPARATOR))
}

/// Removes the first ping from a response of engineioxide's; `None` if there is none.
pub(in crate::transport) fn strip_ping(body: &[u8]) -> Option<Vec<u8>> {
    let mut found = false;
    let rest = split_packets(body)?.filter(|packet| {
        let ping = *packet == PING && !found;
        found |= ping;
        !ping
    });
    let rest: Vec<&str> = rest.collect();
    found.then(|| rest.join(&*SEPARATOR.to_string()).into_bytes())
}

/// Encodes the packets of a response of engineioxide's as WebSocket frames, for a client that upgrades before it takes them.
pub(in crate::transport) fn websocket_frames(body: &[u8], encoding: PollEncoding) -> Vec<u8> {
    let mut frames = Vec::new();
    for packet in split_packets(body).into_iter().flatten() {
        let bytes = packet
            .strip_prefix(BASE64_MARKER)
            .map(|text| BASE64_STANDARD.decode(text));
        let frame = match (bytes, encoding) {
            _ if packet.is_empty() || packet == NOOP => continue,
            (Some(Ok(bytes)), PollEncoding::Separated) => binary_frame(&[&bytes]),
            (Some(Ok(bytes)), PollEncoding::LengthPrefixed { .. }) => {
                binary_frame(&[&[MESSAGE], &bytes])
            }
            _ => framed(packet.as_bytes()),
        };
        frames.extend_from_slice(&frame);
    }
    frames
}

/// A response with a no-op packet only.
pub(in crate::transport) fn noop_response(encoding: PollEncoding) -> PollingResponse {
    encode(&[], encoding)
}

/// Encodes the packets of a response.
fn encode(packets: &[Cow<'_, str>], encoding: PollEncoding) -> PollingResponse {
    let noop = [Cow::Borrowed(NOOP)];
    let packets = if packets.is_empty() { &noop } else { packets };
    let has_bytes = || {
        packets
            .iter()
            .any(|packet| packet.starts_with(BASE64_MARKER))
    };
    let (bytes, binary) = match encoding {
        PollEncoding::Separated => (packets.join(&*SEPARATOR.to_string()).into_bytes(), false),
        PollEncoding::LengthPrefixed { binary: true } if has_bytes() => {
            (encode_binary(packets), true)
        }
        PollEncoding::LengthPrefixed { .. } => {
            (encode_length_prefixed(packets).into_bytes(), false)
        }
    };
    PollingResponse { bytes, binary }
}

/// Text encoding of Engine.IO 3.
fn encode_length_prefixed(packets: &[Cow<'_, str>]) -> String {
    let mut text = String::new();
    for packet in packets {
        let packet = match packet.strip_prefix(BASE64_MARKER) {
            Some(bytes) => Cow::Owned(format!("{BASE64_MARKER}{MESSAGE}{bytes}")),
            None => Cow::Borrowed(&**packet),
        };
        let length = packet.encode_utf16().count().to_string();
        text.extend([&*length, ":", &*packet]);
    }
    text
}

/// Binary encoding of Engine.IO 3.
fn encode_binary(packets: &[Cow<'_, str>]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut add = |kind: u8, parts: [&[u8]; 2]| {
        encoded.push(kind);
        let length = parts[0].len() + parts[1].len();
        encoded.extend(length.to_string().bytes().map(|digit| digit - b'0'));
        encoded.push(0xff);
        parts
            .into_iter()
            .for_each(|part| encoded.extend_from_slice(part));
    };
    for packet in packets {
        let bytes = packet
            .strip_prefix(BASE64_MARKER)
            .map(|text| BASE64_STANDARD.decode(text));
        match bytes {
            Some(Ok(bytes)) => add(1, [&[MESSAGE], &bytes]),
            _ => add(0, [packet.as_bytes(), &[]]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
