//! One packet of a client, read before socketioxide sees it; pure.
//!
//! socketioxide ends the whole transport for packets that it cannot take, among them some that Socket.IO allows: an event
//! whose name is a number or is written with JSON escapes, an ack without an id. Here each packet is read as Socket.IO's
//! own server reads it, and written again where socketioxide would not take it as it came. What that server ignores is
//! ignored; what it closes a connection for is a [`Fault`].

use std::{borrow::Cow, ops::Range};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::IgnoredAny;

use super::{Fault, Ignored, name};

/// Stands in front of the text of an event that socketioxide could not take. socketioxide reads the first array alone and
/// finds this name in it; what is behind it reaches the inbox unharmed.
pub(in crate::transport::socketio) const RAW: &str = r#"["switchboard:raw"]"#;
/// The name in [`RAW`].
const RAW_NAME: &str = "switchboard:raw";

/// Which Engine.IO a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::socketio) enum Protocol {
    V3,
    V4,
}

/// A packet by what has to be done about it.
#[derive(Debug, PartialEq)]
pub(super) enum Packet<'a> {
    /// Goes on as this text, whatever state the session is in.
    Engine(&'a str),
    /// Belongs to a namespace.
    Message(Message<'a>),
    /// A binary attachment.
    Attachment(Cow<'a, [u8]>),
    /// Means nothing to a server.
    Ignored(Ignored),
}

/// A Socket.IO packet.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) namespace: &'a str,
    /// The Engine.IO packet that socketioxide is given.
    pub(super) text: Cow<'a, str>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// With what it says of the client: JSON, or a query of socket.io-client 2.
    Connect(&'a str),
    Disconnect,
    /// An event or an ack, and the number of its attachments.
    Data {
        attachments: usize,
        /// An event that asks for an ack has an id.
        ack: Option<i64>,
        event: bool,
    },
}

/// Reads a binary frame.
pub(super) fn binary(protocol: Protocol, bytes: &[u8]) -> Packet<'_> {
    match (protocol, bytes) {
        (Protocol::V4, bytes) | (Protocol::V3, [4, bytes @ ..]) => {
            Packet::Attachment(Cow::Borrowed(bytes))
        }
        (Protocol::V3, _) => Packet::Ignored(Ignored::EnginePacket),
    }
}

/// Reads a text frame, or one text packet of a payload.
pub(super) fn text(protocol: Protocol, packet: &str) -> Result<Packet<'_>, Fault> {
    match packet.as_bytes().first() {
        Some(b'4') => message(protocol, packet),
        // With anything behind it, engineioxide takes it for a part of an upgrade.
        Some(b'2' | b'3') => Ok(Packet::Engine(&packet[..1])),
        Some(b'1') => Ok(Packet::Engine(packet)),
        Some(b'0' | b'5' | b'6') => Ok(Packet::Ignored(Ignored::EnginePacket)),
        Some(b'b') => Ok(match (protocol, packet.as_bytes()) {
            (Protocol::V4, [_, text @ ..]) | (Protocol::V3, [_, b'4', text @ ..]) => {
                Packet::Attachment(Cow::Owned(from_base64(text)))
            }
            _ => Packet::Ignored(Ignored::EnginePacket),
        }),
        _ => Err(Fault::protocol("unknown Engine.IO packet type")),
    }
}

/// Decodes base64 as Node does: either alphabet, with or without padding, whatever is neither left out.
fn from_base64(text: &[u8]) -> Vec<u8> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    if let Ok(bytes) = LENIENT.decode(text) {
        return bytes;
    }
    let mut digits: Vec<u8> = text
        .iter()
        .take_while(|byte| **byte != b'=')
        .filter_map(|byte| match byte {
            b'-' => Some(b'+'),
            b'_' => Some(b'/'),
            b'+' | b'/' => Some(*byte),
            _ => byte.is_ascii_alphanumeric().then_some(*byte),
        })
        .collect();
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    LENIENT.decode(&digits).unwrap_or_default()
}

/// The parts of a Socket.IO packet: `<type>[<attachments>-][<namespace>,][<id>][payload]`.
struct Parts<'a> {
    attachments: &'a str,
    namespace: &'a str,
    /// What socket.io-client 2 puts behind a namespace, and where that stands in the packet.
    query: Option<(&'a str, Range<usize>)>,
    /// In plain digits; empty if there is none.
    id: &'a str,
    /// As it is written, with white space.
    written_id: &'a str,
    payload: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes apart what stands behind the types of a packet.
    fn of(protocol: Protocol, packet: &'a str, binary: bool) -> Result<Self, Fault> {
        let rest = &packet[2..];
        let (attachments, rest) = match binary {
            true => rest.split_once('-').ok_or(NO_NUMBER)?,
            false => ("0", rest),
        };
        let begin = packet.len() - rest.len();
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("/", rest),
        };
        let (namespace, query) = match protocol {
            Protocol::V4 => (namespace, None),
            Protocol::V3 => match namespace.split_once('?') {
                Some((namespace, query)) => {
                    let at = begin + namespace.len();
                    (namespace, Some((query, at..at + 1 + query.len())))
                }
                None => (namespace, None),
            },
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && !is_blank(c));
        let (written_id, payload) = rest.split_at(end.unwrap_or(rest.len()));
        Ok(Self {
            attachments,
            namespace,
            query,
            id: id(written_id),
            written_id,
            payload,
        })
    }

    /// What stands in front of the payload, with a plain id.
    fn head(&self, packet: &'a str) -> Cow<'a, str> {
        let end = packet.len() - self.payload.len();
        match self.id == self.written_id {
            true => Cow::Borrowed(&packet[..end]),
            false => Cow::Owned([&packet[..end - self.written_id.len()], self.id].concat()),
        }
    }

    /// The packet with a plain id.
    fn plain(&self, packet: &'a str) -> Cow<'a, str> {
        match self.head(packet) {
            Cow::Borrowed(_) => Cow::Borrowed(packet),
            Cow::Owned(head) => Cow::Owned(head + self.payload),
        }
    }
}

/// An id as Socket.IO's own server reads it: white space in front of a payload, as some client libraries write JSON, is a
/// number to JavaScript, too, and is 0.
fn id(written: &str) -> &str {
    let id = written.trim_matches(is_blank);
    match id {
        "" if !written.is_empty() => "0",
        id if id.contains(is_blank) => "", // no number
        id => id,
    }
}

/// White space of JavaScript.
fn is_blank(c: char) -> bool {
    c == '\u{feff}' || c != '\u{85}' && c.is_whitespace()
}

fn message(protocol: Protocol, packet: &str) -> Result<Packet<'_>, Fault> {
    let kind = packet.as_bytes().get(1).copied();
    let binary = matches!(kind, Some(b'5' | b'6'));
    if !matches!(kind, Some(b'0'..=b'6')) {
        return Err(Fault::protocol("unknown Socket.IO packet type"));
    }
    let parts = Parts::of(protocol, packet, binary)?;
    match kind {
        Some(b'0') => connect(protocol, packet, &parts),
        Some(b'1') => Ok(Packet::Message(Message {
            kind: Kind::Disconnect,
            namespace: parts.namespace,
            text: without_query(&parts, parts.plain(packet)),
        })),
        Some(b'2' | b'5') => event(packet, &parts),
        Some(b'3' | b'6') => ack(packet, &parts),
        _ => Ok(Packet::Ignored(Ignored::ConnectError)),
    }
}

fn connect<'a>(
    protocol: Protocol,
    packet: &'a str,
    parts: &Parts<'a>,
) -> Result<Packet<'a>, Fault> {
    let written = packet.len() - parts.payload.len() - parts.written_id.len();
    let behind = packet[written..].trim_matches(is_blank);
    let query = parts.query.as_ref().map(|(query, _)| *query);
    let says = match (protocol, query) {
        (Protocol::V3, Some(query)) => query,
        (Protocol::V3, None) => behind,
        (Protocol::V4, _) if is_object_or_nothing(behind) => behind,
        (Protocol::V4, _) => return Err(Fault::protocol("the payload of a CONNECT is an object")),
    };
    let text = match query {
        None if behind.len() == packet.len() - written => Cow::Borrowed(packet),
        None => Cow::Owned([&packet[..written], behind].concat()),
        Some(query) => Cow::Owned(format!("40{},{query}", parts.namespace)),
    };
    Ok(Packet::Message(Message {
        kind: Kind::Connect(says),
        namespace: parts.namespace,
        text,
    }))
}

fn is_object_or_nothing(text: &str) -> bool {
    match text.as_bytes().first() {
        None => true,
        Some(b'{') => serde_json::from_str::<IgnoredAny>(text).is_ok(),
        Some(_) => text == "null",
    }
}

fn event<'a>(packet: &'a str, parts: &Parts<'a>) -> Result<Packet<'a>, Fault> {
    let payload = parts.payload;
    if !(payload.is_empty() || payload.starts_with('[')) {
        return Err(Fault::protocol("the payload of an event is an array"));
    }
    let head = parts.head(packet);
    let whole = serde_json::from_str::<IgnoredAny>(payload).is_ok();
    let text = match name::of_event(payload).filter(|_| whole) {
        Some(name) if name.is(RAW_NAME) => None,
        Some(name) => name.written(&head, payload),
        None => None,
    };
    let text = match text {
        Some(Cow::Borrowed(_)) => parts.plain(packet),
        Some(Cow::Owned(text)) => Cow::Owned(text),
        None => Cow::Owned([&head, RAW, payload].concat()),
    };
    Ok(Packet::Message(Message {
        kind: Kind::Data {
            attachments: attachments(parts)?,
            ack: parts.id.parse().ok(),
            event: true,
        },
        namespace: parts.namespace,
        text: without_query(parts, text),
    }))
}

fn ack<'a>(packet: &'a str, parts: &Parts<'a>) -> Result<Packet<'a>, Fault> {
    if parts.id.is_empty() && parts.payload.starts_with('[') || parts.payload.is_empty() {
        return Ok(Packet::Ignored(Ignored::Ack));
    }
    if !parts.payload.starts_with('[') {
        return Err(Fault::protocol("the payload of an ack is an array"));
    }
    if parts.id.parse::<i64>().is_err() {
        return Ok(Packet::Ignored(Ignored::Ack)); // no event that was sent has such an id
    }
    Ok(Packet::Message(Message {
        kind: Kind::Data {
            attachments: attachments(parts)?,
            ack: None,
            event: false,
        },
        namespace: parts.namespace,
        text: without_query(parts, parts.plain(packet)),
    }))
}

const NO_NUMBER: Fault = Fault::protocol("invalid number of attachments");

/// More than anybody sends; what is under it and still too many is answered.
const UNHEARD_OF: usize = 1 << 20;

fn attachments(parts: &Parts<'_>) -> Result<usize, Fault> {
    let digits = parts.attachments.bytes().all(|byte| byte.is_ascii_digit());
    let number = parts.attachments.parse().ok().filter(|_| digits);
    number
        .filter(|number| *number <= UNHEARD_OF)
        .ok_or(NO_NUMBER)
}

/// Takes the query out of a namespace, where Socket.IO's own server disregards it, too. What stands before it is the same
/// in `text` as in the packet.
fn without_query<'a>(parts: &Parts<'a>, text: Cow<'a, str>) -> Cow<'a, str> {
    match &parts.query {
        None => text,
        Some((_, at)) => Cow::Owned([&text[..at.start], &text[at.end..]].concat()),
    }
}

#[cfg(test)]
mod tests;
