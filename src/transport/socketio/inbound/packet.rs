//! Parses one packet of a client before socketioxide sees it; pure.
//!
//! socketioxide closes the whole transport for packets that it cannot parse, among them some that Socket.IO allows: an event
//! whose name is a number or is written with JSON escapes, an ack without an id. Here each packet is parsed as Socket.IO's
//! own server does it, and is rewritten if socketioxide would not accept it as it is. What that server ignores is ignored;
//! what it closes a connection for is a [`ProtocolError`].

use std::{borrow::Cow, ops::Range};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::IgnoredAny;

use super::{EngineProtocol, IgnoredPacket, ProtocolError, event_name::parse_event_name};

/// Prefix of the text of an event that socketioxide could not parse. socketioxide parses the first array only and finds this
/// name in it; what follows reaches the inbox unchanged.
pub(in crate::transport::socketio) const RAW_EVENT: &str = r#"["switchboard:raw"]"#;
/// The name in [`RAW_EVENT`].
const RAW_EVENT_NAME: &str = "switchboard:raw";

/// A client's packet, by what has to be done about it.
#[derive(Debug, PartialEq)]
pub(super) enum ClientPacket<'a> {
    /// An Engine.IO packet. Passes as this text, whatever state the session is in.
    Engine(&'a str),
    /// A Socket.IO packet.
    SocketIo(SocketIoPacket<'a>),
    /// A binary attachment.
    Attachment(Cow<'a, [u8]>),
    /// Has no meaning to a server.
    Ignored(IgnoredPacket),
}

/// A Socket.IO packet.
#[derive(Debug, PartialEq)]
pub(super) struct SocketIoPacket<'a> {
    pub(super) kind: PacketKind<'a>,
    pub(super) namespace: &'a str,
    /// The Engine.IO packet to pass to socketioxide.
    pub(super) text: Cow<'a, str>,
}

#[derive(Debug, PartialEq)]
pub(super) enum PacketKind<'a> {
    /// With its `auth` payload: JSON, or a query of socket.io-client 2.
    Connect(&'a str),
    Disconnect,
    /// An event or an ack, and the number of its attachments.
    Data {
        attachments: usize,
        /// The id of an event that asks for an ack.
        ack: Option<i64>,
        event: bool,
    },
}

/// Parses a binary message.
pub(super) fn parse_binary(protocol: EngineProtocol, bytes: &[u8]) -> ClientPacket<'_> {
    match (protocol, bytes) {
        (EngineProtocol::V4, bytes) | (EngineProtocol::V3, [4, bytes @ ..]) => {
            ClientPacket::Attachment(Cow::Borrowed(bytes))
        }
        (EngineProtocol::V3, _) => ClientPacket::Ignored(IgnoredPacket::EnginePacket),
    }
}

/// Parses a text message, or one text packet of a payload.
///
/// # Errors
/// The client is to be closed.
pub(super) fn parse_text(
    protocol: EngineProtocol,
    packet: &str,
) -> Result<ClientPacket<'_>, ProtocolError> {
    match packet.as_bytes().first() {
        Some(b'4') => parse_socketio(protocol, packet),
        // With anything behind it, engineioxide takes it for part of an upgrade.
        Some(b'2' | b'3') => Ok(ClientPacket::Engine(&packet[..1])),
        Some(b'1') => Ok(ClientPacket::Engine(packet)),
        Some(b'0' | b'5' | b'6') => Ok(ClientPacket::Ignored(IgnoredPacket::EnginePacket)),
        Some(b'b') => Ok(match (protocol, packet.as_bytes()) {
            (EngineProtocol::V4, [_, text @ ..]) | (EngineProtocol::V3, [_, b'4', text @ ..]) => {
                ClientPacket::Attachment(Cow::Owned(decode_base64(text)))
            }
            _ => ClientPacket::Ignored(IgnoredPacket::EnginePacket),
        }),
        _ => Err(ProtocolError::new("unknown Engine.IO packet type")),
    }
}

/// Decodes base64 as Node does: either alphabet, with or without padding, whatever is neither left out.
fn decode_base64(text: &[u8]) -> Vec<u8> {
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
struct PacketParts<'a> {
    attachments: &'a str,
    namespace: &'a str,
    /// The query that socket.io-client 2 puts behind a namespace, and its range in the packet.
    query: Option<(&'a str, Range<usize>)>,
    /// Plain digits; empty if there is none.
    id: &'a str,
    /// The id as it was sent, with white space.
    written_id: &'a str,
    payload: &'a str,
}

impl<'a> PacketParts<'a> {
    /// Splits a packet behind its two types.
    fn parse(
        protocol: EngineProtocol,
        packet: &'a str,
        binary: bool,
    ) -> Result<Self, ProtocolError> {
        let rest = &packet[2..];
        let (attachments, rest) = match binary {
            true => rest.split_once('-').ok_or(INVALID_ATTACHMENT_COUNT)?,
            false => ("0", rest),
        };
        let begin = packet.len() - rest.len();
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("/", rest),
        };
        let (namespace, query) = match protocol {
            EngineProtocol::V4 => (namespace, None),
            EngineProtocol::V3 => match namespace.split_once('?') {
                Some((namespace, query)) => {
                    let at = begin + namespace.len();
                    (namespace, Some((query, at..at + 1 + query.len())))
                }
                None => (namespace, None),
            },
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && !is_javascript_space(c));
        let (written_id, payload) = rest.split_at(end.unwrap_or(rest.len()));
        Ok(Self {
            attachments,
            namespace,
            query,
            id: normalize_id(written_id),
            written_id,
            payload,
        })
    }

    /// Everything before the payload, with a plain id.
    fn head(&self, packet: &'a str) -> Cow<'a, str> {
        let end = packet.len() - self.payload.len();
        match self.id == self.written_id {
            true => Cow::Borrowed(&packet[..end]),
            false => Cow::Owned([&packet[..end - self.written_id.len()], self.id].concat()),
        }
    }

    /// The packet with a plain id.
    fn with_plain_id(&self, packet: &'a str) -> Cow<'a, str> {
        match self.head(packet) {
            Cow::Borrowed(_) => Cow::Borrowed(packet),
            Cow::Owned(head) => Cow::Owned(head + self.payload),
        }
    }
}

/// The id as Socket.IO's own server parses it: white space before a payload, which some client libraries write, is a number to
/// JavaScript, too, and is 0.
fn normalize_id(written: &str) -> &str {
    let id = written.trim_matches(is_javascript_space);
    match id {
        "" if !written.is_empty() => "0",
        id if id.contains(is_javascript_space) => "", // no number
        id => id,
    }
}

/// Whether JavaScript takes a character for white space.
fn is_javascript_space(c: char) -> bool {
    c == '\u{feff}' || c != '\u{85}' && c.is_whitespace()
}

fn parse_socketio(
    protocol: EngineProtocol,
    packet: &str,
) -> Result<ClientPacket<'_>, ProtocolError> {
    let kind = packet.as_bytes().get(1).copied();
    let binary = matches!(kind, Some(b'5' | b'6'));
    if !matches!(kind, Some(b'0'..=b'6')) {
        return Err(ProtocolError::new("unknown Socket.IO packet type"));
    }
    let parts = PacketParts::parse(protocol, packet, binary)?;
    match kind {
        Some(b'0') => parse_connect(protocol, packet, &parts),
        Some(b'1') => Ok(ClientPacket::SocketIo(SocketIoPacket {
            kind: PacketKind::Disconnect,
            namespace: parts.namespace,
            text: without_query(&parts, parts.with_plain_id(packet)),
        })),
        Some(b'2' | b'5') => parse_event(packet, &parts),
        Some(b'3' | b'6') => parse_ack(packet, &parts),
        _ => Ok(ClientPacket::Ignored(IgnoredPacket::ConnectError)),
    }
}

fn parse_connect<'a>(
    protocol: EngineProtocol,
    packet: &'a str,
    parts: &PacketParts<'a>,
) -> Result<ClientPacket<'a>, ProtocolError> {
    let written = packet.len() - parts.payload.len() - parts.written_id.len();
    let payload = packet[written..].trim_matches(is_javascript_space);
    let query = parts.query.as_ref().map(|(query, _)| *query);
    let auth = match (protocol, query) {
        (EngineProtocol::V3, Some(query)) => query,
        (EngineProtocol::V3, None) => payload,
        (EngineProtocol::V4, _) if is_object_or_empty(payload) => payload,
        (EngineProtocol::V4, _) => {
            return Err(ProtocolError::new("the payload of a CONNECT is an object"));
        }
    };
    let text = match query {
        None if payload.len() == packet.len() - written => Cow::Borrowed(packet),
        None => Cow::Owned([&packet[..written], payload].concat()),
        Some(query) => Cow::Owned(format!("40{},{query}", parts.namespace)),
    };
    Ok(ClientPacket::SocketIo(SocketIoPacket {
        kind: PacketKind::Connect(auth),
        namespace: parts.namespace,
        text,
    }))
}

fn is_object_or_empty(text: &str) -> bool {
    match text.as_bytes().first() {
        None => true,
        Some(b'{') => serde_json::from_str::<IgnoredAny>(text).is_ok(),
        Some(_) => text == "null",
    }
}

fn parse_event<'a>(
    packet: &'a str,
    parts: &PacketParts<'a>,
) -> Result<ClientPacket<'a>, ProtocolError> {
    let payload = parts.payload;
    if !(payload.is_empty() || payload.starts_with('[')) {
        return Err(ProtocolError::new("the payload of an event is an array"));
    }
    let head = parts.head(packet);
    let is_json = serde_json::from_str::<IgnoredAny>(payload).is_ok();
    let text = match parse_event_name(payload).filter(|_| is_json) {
        Some(name) if name.is(RAW_EVENT_NAME) => None,
        Some(name) => name.write_plainly(&head, payload),
        None => None,
    };
    let text = match text {
        Some(Cow::Borrowed(_)) => parts.with_plain_id(packet),
        Some(Cow::Owned(text)) => Cow::Owned(text),
        None => Cow::Owned([&head, RAW_EVENT, payload].concat()),
    };
    Ok(ClientPacket::SocketIo(SocketIoPacket {
        kind: PacketKind::Data {
            attachments: attachment_count(parts)?,
            ack: parts.id.parse().ok(),
            event: true,
        },
        namespace: parts.namespace,
        text: without_query(parts, text),
    }))
}

fn parse_ack<'a>(
    packet: &'a str,
    parts: &PacketParts<'a>,
) -> Result<ClientPacket<'a>, ProtocolError> {
    if parts.id.is_empty() && parts.payload.starts_with('[') || parts.payload.is_empty() {
        return Ok(ClientPacket::Ignored(IgnoredPacket::Ack));
    }
    if !parts.payload.starts_with('[') {
        return Err(ProtocolError::new("the payload of an ack is an array"));
    }
    if parts.id.parse::<i64>().is_err() {
        return Ok(ClientPacket::Ignored(IgnoredPacket::Ack)); // no event that was sent has such an id
    }
    Ok(ClientPacket::SocketIo(SocketIoPacket {
        kind: PacketKind::Data {
            attachments: attachment_count(parts)?,
            ack: None,
            event: false,
        },
        namespace: parts.namespace,
        text: without_query(parts, parts.with_plain_id(packet)),
    }))
}

const INVALID_ATTACHMENT_COUNT: ProtocolError = ProtocolError::new("invalid number of attachments");

/// A packet with more attachments is malformed; one with fewer and still too many gets an error.
const MAX_ATTACHMENT_COUNT: usize = 1 << 20;

fn attachment_count(parts: &PacketParts<'_>) -> Result<usize, ProtocolError> {
    let digits = parts.attachments.bytes().all(|byte| byte.is_ascii_digit());
    let number = parts.attachments.parse().ok().filter(|_| digits);
    number
        .filter(|number| *number <= MAX_ATTACHMENT_COUNT)
        .ok_or(INVALID_ATTACHMENT_COUNT)
}

/// Removes the query behind a namespace, which Socket.IO's own server disregards, too. Everything before it is the same in
/// `text` as in the packet.
fn without_query<'a>(parts: &PacketParts<'a>, text: Cow<'a, str>) -> Cow<'a, str> {
    match &parts.query {
        None => text,
        Some((_, at)) => Cow::Owned([&text[..at.start], &text[at.end..]].concat()),
    }
}

#[cfg(test)]
mod tests;
