//! WebSocket frames: those made here, once for all who get them, and those that socketioxide writes.
//!
//! A server's frames are neither masked nor parted: a header of 2, 4 or 10 bytes, then the payload.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    limits::{Account, Exhausted},
    model::{Namespace, Offset},
};

/// The event that is sent through socketioxide to see where its packets stand; it never reaches a client.
pub(in crate::transport) const MARK: &str = "switchboard:mark";

/// The answer to an upgrade's probe: from here on nothing leaves by polling any more.
pub(super) const PROBED: &[u8] = b"\x81\x063probe";

/// Engine.IO's ping.
pub(super) const ENGINE_PING: &[u8] = b"\x81\x012";

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// One text packet for a client, framed for a WebSocket; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Frame {
    pub(super) bytes: Bytes,
    /// The offset of the message that it carries.
    pub(super) offset: Option<Offset>,
}

impl Frame {
    /// The frame of an event.
    pub(in crate::transport) fn event(
        namespace: &Namespace,
        name: &str,
        values: &[Box<RawValue>],
    ) -> Self {
        let room = name.len()
            + values
                .iter()
                .map(|value| value.get().len() + 1)
                .sum::<usize>();
        let mut text = begin("42", namespace, room + 16);
        text.put_u8(b'[');
        append(&mut text, &name);
        for value in values {
            text.put_u8(b',');
            text.put_slice(value.get().as_bytes());
        }
        text.put_u8(b']');
        Self::of(framed(&text))
    }

    /// The frame of an answer with one value to the packet `id`.
    pub(in crate::transport) fn ack(
        namespace: &Namespace,
        id: i64,
        value: &(impl Serialize + ?Sized),
    ) -> Self {
        let mut text = begin("43", namespace, 64);
        append(&mut text, &id);
        text.put_u8(b'[');
        append(&mut text, value);
        text.put_u8(b']');
        Self::of(framed(&text))
    }

    /// The frame of any text.
    pub(in crate::transport) fn text(text: &[u8]) -> Self {
        Self::of(framed(text))
    }

    /// Asks the client whether it lives.
    pub(in crate::transport) fn ping() -> Self {
        Self::of(Bytes::from_static(&[PING, 0]))
    }

    /// The last frame of a WebSocket: a code, and why in a few words.
    pub(in crate::transport) fn close(code: u16, why: &str) -> Self {
        let mut frame = BytesMut::with_capacity(why.len() + 4);
        frame.put_u8(CLOSE);
        frame.put_u8((why.len() + 2) as u8);
        frame.put_u16(code);
        frame.put_slice(why.as_bytes());
        Self::of(frame.freeze())
    }

    /// A frame that was made here before.
    pub(in crate::transport) fn of(bytes: Bytes) -> Self {
        Self {
            bytes,
            offset: None,
        }
    }

    /// The same frame, as that of a message with this offset.
    pub(in crate::transport) fn at(self, offset: Option<Offset>) -> Self {
        Self { offset, ..self }
    }

    /// The same frame, whose bytes are reserved for as long as it waits to be taken, if it is a large one.
    ///
    /// # Errors
    /// What is exhausted.
    pub(in crate::transport) fn charged(self, account: &Account) -> Result<Self, Exhausted> {
        if self.len() <= FREE {
            return Ok(self);
        }
        let held = account.take(self.len())?;
        Ok(Self {
            bytes: held.around(self.bytes),
            ..self
        })
    }

    pub(in crate::transport) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The packet alone, as polling carries it.
    pub(super) fn packet(&self) -> &str {
        std::str::from_utf8(payload(&self.bytes)).unwrap_or_default()
    }

    /// The namespace of an event.
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

/// Bytes of a frame for one client that cost nothing of the node's memory.
const FREE: usize = 16 << 10;

/// A packet's type and namespace.
fn begin(kind: &str, namespace: &Namespace, more: usize) -> BytesMut {
    let mut text = BytesMut::with_capacity(kind.len() + namespace.as_str().len() + 1 + more);
    text.put_slice(kind.as_bytes());
    if !namespace.is_root() {
        text.put_slice(namespace.as_str().as_bytes());
        text.put_u8(b',');
    }
    text
}

fn append(text: &mut BytesMut, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(text.writer(), value)
        .expect("strings, numbers and raw JSON always serialize");
}

/// What a whole frame carries.
pub(super) fn payload(frame: &[u8]) -> &[u8] {
    let header = Header::read(frame).map_or(0, |header| header.len);
    &frame[header..]
}

pub(super) fn framed(text: &[u8]) -> Bytes {
    frame_of(TEXT, &[text])
}

/// The frame of a binary packet, whose bytes come in parts.
pub(super) fn binary_frame(parts: &[&[u8]]) -> Bytes {
    frame_of(BINARY, parts)
}

fn frame_of(first: u8, parts: &[&[u8]]) -> Bytes {
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

/// What the first bytes of a frame tell.
struct Header {
    first: u8,
    /// Bytes of the header itself.
    len: usize,
    payload: usize,
}

impl Header {
    /// `None` as long as it is not complete.
    fn read(bytes: &[u8]) -> Option<Self> {
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

/// What socketioxide wrote, by what has to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Native {
    /// Our own [`MARK`].
    Mark,
    /// The answer to a CONNECT.
    Connected(Bytes),
    /// The refusal of a CONNECT.
    Refused(Bytes),
    /// A packet that this number of binary frames belong to.
    Binary(Bytes, usize),
    /// An event without attachments.
    Event(Bytes),
    /// A binary frame.
    Attachment(Bytes),
    /// Anything else.
    Other(Bytes),
}

/// Finds the frames in what socketioxide writes, however it is parted.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The beginning of a frame that is not complete.
    partial: BytesMut,
}

impl Splitter {
    /// Takes what was written and calls `each` with every frame that is now complete.
    pub(super) fn split(&mut self, written: &[u8], mut each: impl FnMut(Native)) {
        self.partial.extend_from_slice(written);
        while let Some(header) = Header::read(&self.partial) {
            let whole = header.len.saturating_add(header.payload);
            if self.partial.len() < whole {
                return;
            }
            let frame = self.partial.split_to(whole).freeze();
            if self.partial.is_empty() {
                // It would keep the memory of what was split from it for as long as nothing else is written.
                self.partial = BytesMut::new();
            }
            each(Native::of(frame, &header));
        }
    }

    /// Bytes of a frame that is not complete.
    #[cfg(test)]
    fn partial(&self) -> usize {
        self.partial.len()
    }
}

impl Native {
    fn of(frame: Bytes, header: &Header) -> Self {
        match header.first {
            TEXT => {}
            BINARY => return Self::Attachment(frame),
            _ => return Self::Other(frame),
        }
        let kind = std::str::from_utf8(&frame[header.len..]).map_or(Packet::Other, Packet::of);
        match kind {
            Packet::Mark => Self::Mark,
            Packet::Connected(_) => Self::Connected(frame),
            Packet::Event => Self::Event(frame),
            Packet::Refused => Self::Refused(frame),
            Packet::Binary(0) | Packet::Other => Self::Other(frame),
            Packet::Binary(attachments) => Self::Binary(frame, attachments),
        }
    }
}

/// A text packet of socketioxide's, by what has to be done about it.
pub(super) enum Packet<'a> {
    Mark,
    /// The answer to a CONNECT of this namespace.
    Connected(&'a str),
    /// The refusal of a CONNECT.
    Refused,
    Event,
    Binary(usize),
    Other,
}

impl<'a> Packet<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Self::Other;
        };
        match kind {
            "40" => match namespace_and_rest(rest) {
                (namespace, body) if body.starts_with('{') => Self::Connected(namespace),
                _ => Self::Other,
            },
            "44" => Self::Refused,
            "42" => {
                let (_, body) = namespace_and_rest(rest);
                let name = body
                    .strip_prefix("[\"")
                    .and_then(|body| body.strip_suffix("\"]"));
                match name {
                    Some(MARK) => Self::Mark,
                    _ => Self::Event,
                }
            }
            "45" | "46" => {
                let attachments = rest
                    .split_once('-')
                    .and_then(|(number, _)| number.parse().ok());
                attachments.map_or(Self::Other, Self::Binary)
            }
            _ => Self::Other,
        }
    }
}

/// `/chat,{…}` as `/chat` and `{…}`.
pub(super) fn namespace_and_rest(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return ("/", text);
    }
    text.split_once(',').unwrap_or((text, ""))
}

/// A frame whose packet is another one, if `change` makes another of it.
pub(super) fn changed(frame: Bytes, change: impl FnOnce(&str) -> Option<String>) -> Bytes {
    let header = Header::read(&frame).map_or(0, |header| header.len);
    let changed = std::str::from_utf8(&frame[header..]).ok().and_then(change);
    changed.map_or(frame, |text| framed(text.as_bytes()))
}

#[cfg(test)]
mod tests;
