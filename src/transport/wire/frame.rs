//! WebSocket frames that the server writes: each is built once and shared by all recipients.
//!
//! A server's frames are neither masked nor fragmented: a header of 2, 4 or 10 bytes, then the payload.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;

use super::EngineProtocol;
use crate::{
    limits::{Account, Exhausted},
    model::{EventPayload, Namespace, Offset},
};

pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// Bytes of the reason in a close frame: control frames have at most 125, with the code.
const LONGEST_CLOSE_REASON: usize = 123;

/// Marks a packet in base64 where packets are text.
pub(super) const BASE64_MARKER: char = 'b';

/// Type of the Engine.IO packet that carries one of Socket.IO's, before bytes of Engine.IO 3.
pub(super) const MESSAGE: u8 = 4;

/// One packet for a client, framed for a WebSocket; cheap to clone. The frames of a packet's attachments follow its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Frame {
    bytes: Bytes,
    /// More frames, shared with other packets.
    rest: Bytes,
    /// Offset of the message in it, if it is one.
    offset: Option<Offset>,
    /// An event whose last argument is a string, which clients take for an offset.
    ends_in_string: bool,
}

impl Frame {
    /// Frames an event.
    pub(in crate::transport) fn event(
        namespace: &Namespace,
        name: &str,
        values: &[Box<RawValue>],
    ) -> Self {
        let capacity = name.len()
            + values
                .iter()
                .map(|value| value.get().len() + 1)
                .sum::<usize>();
        let mut text = start_packet("42", namespace, capacity + 16);
        text.put_u8(b'[');
        append_json(&mut text, &name);
        for value in values {
            text.put_u8(b',');
            text.put_slice(value.get().as_bytes());
        }
        text.put_u8(b']');
        Self::of(framed(&text))
    }

    /// Frames an application's event with its attachments.
    pub(in crate::transport) fn payload(
        namespace: &Namespace,
        event: &EventPayload,
        protocol: EngineProtocol,
    ) -> Self {
        Self::with_attachments(namespace, ['2', '5'], None, event, protocol)
    }

    /// Frames an ack of the packet `id` with any arguments.
    pub(in crate::transport) fn ack_payload(
        namespace: &Namespace,
        id: i64,
        arguments: &EventPayload,
        protocol: EngineProtocol,
    ) -> Self {
        Self::with_attachments(namespace, ['3', '6'], Some(id), arguments, protocol)
    }

    /// `kinds`: the packet's type without and with attachments.
    fn with_attachments(
        namespace: &Namespace,
        kinds: [char; 2],
        ack: Option<i64>,
        payload: &EventPayload,
        protocol: EngineProtocol,
    ) -> Self {
        let kind = match payload.attachments.len() {
            0 => format!("4{}", kinds[0]),
            count => format!("4{}{count}-", kinds[1]),
        };
        let mut text = start_packet(&kind, namespace, payload.text.len() + 24);
        if let Some(id) = ack {
            append_json(&mut text, &id);
        }
        text.put_slice(payload.text.as_bytes());
        let mut frames = framed(&text);
        if !payload.attachments.is_empty() {
            let mut all = BytesMut::from(frames);
            for attachment in &payload.attachments {
                let kind: &[u8] = match protocol {
                    EngineProtocol::V3 => &[MESSAGE],
                    EngineProtocol::V4 => &[],
                };
                all.put_slice(&binary_frame(&[kind, attachment]));
            }
            frames = all.freeze();
        }
        Self::of(frames)
    }

    /// Frames an ack of the packet `id` with one argument.
    pub(in crate::transport) fn ack(
        namespace: &Namespace,
        id: i64,
        value: &(impl Serialize + ?Sized),
    ) -> Self {
        let mut text = start_packet("43", namespace, 64);
        append_json(&mut text, &id);
        text.put_u8(b'[');
        append_json(&mut text, value);
        text.put_u8(b']');
        Self::of(framed(&text))
    }

    /// Frames any text.
    pub(in crate::transport) fn text(text: &[u8]) -> Self {
        Self::of(framed(text))
    }

    /// A ping frame.
    pub(in crate::transport) fn ping() -> Self {
        Self::of(Bytes::from_static(&[PING, 0]))
    }

    /// A close frame with a status code and a short reason.
    pub(in crate::transport) fn close(code: u16, why: &str) -> Self {
        let why = &why[..why.floor_char_boundary(LONGEST_CLOSE_REASON)];
        let mut frame = BytesMut::with_capacity(why.len() + 4);
        frame.put_u8(CLOSE);
        frame.put_u8((why.len() + 2) as u8);
        frame.put_u16(code);
        frame.put_slice(why.as_bytes());
        Self::of(frame.freeze())
    }

    /// Wraps a frame that has been encoded already.
    pub(in crate::transport) fn of(bytes: Bytes) -> Self {
        Self {
            bytes,
            rest: Bytes::new(),
            offset: None,
            ends_in_string: false,
        }
    }

    /// Notes the offset of the message in the frame.
    pub(in crate::transport) fn with_offset(self, offset: Option<Offset>) -> Self {
        Self { offset, ..self }
    }

    /// Notes whether it is an event whose last argument is a string.
    pub(in crate::transport) fn ending_in_string(self, ends_in_string: bool) -> Self {
        Self {
            ends_in_string,
            ..self
        }
    }

    /// Charges the bytes of a large frame to `account` until the frame is dropped.
    ///
    /// # Errors
    /// The exhausted limit.
    pub(in crate::transport) fn charged(self, account: &Account) -> Result<Self, Exhausted> {
        if self.len() <= UNCHARGED_BYTES {
            return Ok(self);
        }
        let reservation = account.take(self.len())?;
        Ok(Self {
            bytes: reservation.attach_to(self.bytes),
            ..self
        })
    }

    pub(in crate::transport) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its bytes, in two parts; the second may be empty.
    pub(super) fn into_parts(self) -> [Bytes; 2] {
        [self.bytes, self.rest]
    }

    pub(super) fn offset(&self) -> Option<Offset> {
        self.offset
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.rest.len()
    }

    /// Bytes that it has in a poll response, approximately: attachments are in base64 there.
    pub(super) fn polled_len(&self) -> usize {
        let text = FrameHeader::read(&self.bytes).map_or(0, |header| header.len + header.payload);
        let attachments = self.len() - text;
        text + attachments + attachments / 3
    }

    pub(super) fn ends_in_string(&self) -> bool {
        self.ends_in_string
    }

    /// The packet and its attachments without their frames, as engineioxide polls them whatever the version: bytes as base64.
    pub(super) fn packets(&self, protocol: EngineProtocol) -> Vec<String> {
        let mut packets = Vec::new();
        for mut rest in [&*self.bytes, &*self.rest] {
            while let Some(header) = FrameHeader::read(rest) {
                let (frame, behind) = rest.split_at(header.len + header.payload);
                let payload = &frame[header.len..];
                packets.push(match (header.first, protocol) {
                    (BINARY, EngineProtocol::V4) => base64_packet(payload),
                    (BINARY, EngineProtocol::V3) => base64_packet(&payload[1..]),
                    _ => String::from_utf8_lossy(payload).into_owned(),
                });
                rest = behind;
            }
        }
        packets
    }

    /// The packet with its text changed; `None` leaves it as it is.
    pub(super) fn change_text(self, change: impl FnOnce(&str) -> Option<String>) -> Self {
        let first = FrameHeader::read(&self.bytes).map_or(0, |header| header.len + header.payload);
        let changed = std::str::from_utf8(payload(&self.bytes[..first]));
        let Some(changed) = changed.ok().and_then(change) else {
            return self;
        };
        Self {
            bytes: framed(changed.as_bytes()),
            rest: self.bytes.slice(first..),
            ..self
        }
    }

    /// The namespace of an event or ack.
    pub(super) fn namespace(&self) -> &str {
        let rest = payload(&self.bytes).get(2..).unwrap_or_default();
        let end = match rest.first() {
            Some(b'/') => rest.iter().position(|byte| *byte == b',').unwrap_or(0),
            _ => 0,
        };
        match std::str::from_utf8(&rest[..end]) {
            Ok(name) if end > 0 => name,
            _ => "/",
        }
    }
}

/// Bytes as a packet of text.
fn base64_packet(bytes: &[u8]) -> String {
    let mut packet = String::from(BASE64_MARKER);
    BASE64_STANDARD.encode_string(bytes, &mut packet);
    packet
}

/// Frames up to this size are not charged to the node's memory limit.
const UNCHARGED_BYTES: usize = 16 << 10;

/// Starts a packet with its type and namespace.
fn start_packet(kind: &str, namespace: &Namespace, more: usize) -> BytesMut {
    let mut text = BytesMut::with_capacity(kind.len() + namespace.as_str().len() + 1 + more);
    text.put_slice(kind.as_bytes());
    if !namespace.is_root() {
        text.put_slice(namespace.as_str().as_bytes());
        text.put_u8(b',');
    }
    text
}

fn append_json(text: &mut BytesMut, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(text.writer(), value)
        .expect("strings, numbers and raw JSON always serialize");
}

/// The payload of a complete frame.
pub(super) fn payload(frame: &[u8]) -> &[u8] {
    let header = FrameHeader::read(frame).map_or(0, |header| header.len);
    &frame[header..]
}

/// Frames a text packet.
pub(super) fn framed(text: &[u8]) -> Bytes {
    build_frame(TEXT, &[text])
}

/// Frames a binary packet, which is passed in parts.
pub(in crate::transport) fn binary_frame(parts: &[&[u8]]) -> Bytes {
    build_frame(BINARY, parts)
}

fn build_frame(first: u8, parts: &[&[u8]]) -> Bytes {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(len + 10);
    frame.put_u8(first);
    match len {
        0..=125 => frame.put_u8(len as u8),
        126..=0xffff => {
            frame.put_u8(126);
            frame.put_u16(len as u16);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(len as u64);
        }
    }
    parts.iter().for_each(|part| frame.put_slice(part));
    frame.freeze()
}

/// The header of a frame.
pub(super) struct FrameHeader {
    /// The first byte: FIN and opcode.
    pub(super) first: u8,
    /// Bytes of the header itself.
    pub(super) len: usize,
    pub(super) payload: usize,
}

impl FrameHeader {
    /// Parses a header; `None` while it is incomplete.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (first, short) = (*bytes.first()?, usize::from(*bytes.get(1)? & 0x7f));
        let (len, payload) = match short {
            126 => (
                4,
                u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into(),
            ),
            127 => {
                let long = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
                (10, usize::try_from(long).unwrap_or(usize::MAX))
            }
            short => (2, short),
        };
        Some(Self {
            first,
            len,
            payload,
        })
    }
}

#[cfg(test)]
mod tests;
