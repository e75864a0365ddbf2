//! The frames and packets that socketioxide writes, classified by what has to be done about them.

use bytes::{Bytes, BytesMut};

use super::frame::{BINARY, FrameHeader, TEXT, framed};

/// The event that is sent through socketioxide as a barrier, to see where its packets stand; it never reaches a client.
pub(in crate::transport) const BARRIER_EVENT: &str = "switchboard:mark";

/// The reply to an upgrade's probe: once it is written, nothing leaves by polling any more.
pub(super) const PROBE_REPLY: &[u8] = b"\x81\x063probe";

/// Engine.IO's ping.
pub(super) const ENGINE_PING: &[u8] = b"\x81\x012";

/// A frame that socketioxide wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EngineFrame {
    /// Our own [`BARRIER_EVENT`].
    Barrier,
    /// The reply to a CONNECT.
    Connected(Bytes),
    /// The refusal of a CONNECT.
    Refused(Bytes),
    /// A disconnect from a namespace; in Engine.IO 3 the reply to a CONNECT, too.
    Bodiless(Bytes),
    /// A packet that is followed by this number of binary frames.
    Binary(Bytes, usize),
    /// An event without attachments.
    Event(Bytes),
    /// A binary frame.
    Attachment(Bytes),
    /// Anything else.
    Other(Bytes),
}

/// Finds frame boundaries in what socketioxide writes, however the writes are cut.
#[derive(Debug, Default)]
pub(super) struct FrameSplitter {
    /// Start of an incomplete frame.
    partial: BytesMut,
}

impl FrameSplitter {
    /// Adds written bytes and calls `each` with every frame that is complete now.
    pub(super) fn split(&mut self, written: &[u8], mut each: impl FnMut(EngineFrame)) {
        self.partial.extend_from_slice(written);
        while let Some(header) = FrameHeader::read(&self.partial) {
            let whole = header.len.saturating_add(header.payload);
            if self.partial.len() < whole {
                return;
            }
            let frame = self.partial.split_to(whole).freeze();
            if self.partial.is_empty() {
                // An emptied buffer keeps the memory of what was split from it until something else is written.
                self.partial = BytesMut::new();
            }
            each(EngineFrame::classify(frame, &header));
        }
    }

    /// Bytes of the incomplete frame.
    #[cfg(test)]
    fn partial_len(&self) -> usize {
        self.partial.len()
    }
}

impl EngineFrame {
    fn classify(frame: Bytes, header: &FrameHeader) -> Self {
        match header.first {
            TEXT => {}
            BINARY => return Self::Attachment(frame),
            _ => return Self::Other(frame),
        }
        let kind = std::str::from_utf8(&frame[header.len..])
            .map_or(OutgoingPacket::Other, OutgoingPacket::classify);
        match kind {
            OutgoingPacket::Barrier => Self::Barrier,
            OutgoingPacket::Connected(_) => Self::Connected(frame),
            OutgoingPacket::Event => Self::Event(frame),
            OutgoingPacket::Refused => Self::Refused(frame),
            OutgoingPacket::Bodiless => Self::Bodiless(frame),
            OutgoingPacket::Binary(0) | OutgoingPacket::Other => Self::Other(frame),
            OutgoingPacket::Binary(attachments) => Self::Binary(frame, attachments),
        }
    }
}

/// A text packet that socketioxide wrote.
pub(super) enum OutgoingPacket<'a> {
    Barrier,
    /// The reply to a CONNECT to this namespace.
    Connected(&'a str),
    /// The refusal of a CONNECT.
    Refused,
    /// A disconnect from a namespace; in Engine.IO 3 the reply to a CONNECT, too.
    Bodiless,
    Event,
    /// With this number of attachments.
    Binary(usize),
    Other,
}

impl<'a> OutgoingPacket<'a> {
    pub(super) fn classify(text: &'a str) -> Self {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Self::Other;
        };
        match kind {
            "40" => match split_namespace(rest) {
                (namespace, body) if body.starts_with('{') => Self::Connected(namespace),
                _ => Self::Bodiless,
            },
            "44" => Self::Refused,
            "41" => Self::Bodiless,
            "42" => {
                let (_, body) = split_namespace(rest);
                let name = body
                    .strip_prefix("[\"")
                    .and_then(|body| body.strip_suffix("\"]"));
                match name {
                    Some(BARRIER_EVENT) => Self::Barrier,
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

/// Splits `/chat,{…}` into `/chat` and `{…}`.
pub(super) fn split_namespace(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return ("/", text);
    }
    text.split_once(',').unwrap_or((text, ""))
}

/// Replaces the packet in a frame if `change` returns another one.
pub(super) fn replace_packet(frame: Bytes, change: impl FnOnce(&str) -> Option<String>) -> Bytes {
    let header = FrameHeader::read(&frame).map_or(0, |header| header.len);
    let replaced = std::str::from_utf8(&frame[header..]).ok().and_then(change);
    replaced.map_or(frame, |text| framed(text.as_bytes()))
}

#[cfg(test)]
mod tests;
