//! Bodies of POSTs: several packets in one body, in three encodings.
//!
//! engineioxide decodes a body by the protocol that its address names, whatever the session's is. So text is passed to it in
//! Engine.IO 4 ([`PayloadBuilder`]) and attachments in version 3 ([`binary_bodies`]), which needs no base64. Its decoder for
//! text of version 3 is not used: its cost grows with the square of the body.

use super::{protocol_error::ProtocolError, verdict::Incoming};

/// How the packets of a POST's body are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::socketio) enum PostEncoding {
    /// Engine.IO 4: packets separated by a control character.
    Separated,
    /// Engine.IO 3: each packet after its length in UTF-16 units.
    LengthPrefixed,
    /// Engine.IO 3 with binary packets: each packet after its kind and its length in bytes, digit by digit.
    Binary,
}

const SEPARATOR: char = '\u{1e}';

/// Maximum packets of one body.
const MAX_PACKETS: usize = 1 << 16;

const MALFORMED: ProtocolError = ProtocolError::new("malformed payload");

/// Iterates over the packets of a body, in order; ends after an error.
pub(super) struct PostedPackets<'a> {
    rest: Option<RemainingBody<'a>>,
    remaining: usize,
}

#[derive(Clone, Copy)]
enum RemainingBody<'a> {
    Separated(&'a str),
    LengthPrefixed(&'a str),
    Binary(&'a [u8]),
}

impl<'a> PostedPackets<'a> {
    /// Packets of a text body.
    pub(super) fn text(body: &'a str, length_prefixed: bool) -> Self {
        let rest = match length_prefixed {
            true => RemainingBody::LengthPrefixed(body),
            false => RemainingBody::Separated(body),
        };
        Self {
            rest: (!body.is_empty()).then_some(rest),
            remaining: MAX_PACKETS,
        }
    }

    /// Packets of a binary body.
    pub(super) fn binary(body: &'a [u8]) -> Self {
        Self {
            rest: (!body.is_empty()).then_some(RemainingBody::Binary(body)),
            remaining: MAX_PACKETS,
        }
    }
}

impl<'a> Iterator for PostedPackets<'a> {
    type Item = Result<Incoming<'a>, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.take()?;
            self.remaining = match self.remaining.checked_sub(1) {
                Some(remaining) => remaining,
                None => return Some(Err(ProtocolError::new("too many packets in one payload"))),
            };
            let next = match rest {
                RemainingBody::Separated(text) => Some(match text.split_once(SEPARATOR) {
                    Some((packet, more)) => {
                        (Incoming::Text(packet), Some(RemainingBody::Separated(more)))
                    }
                    None => (Incoming::Text(text), None),
                }),
                RemainingBody::LengthPrefixed(text) => {
                    split_length_prefixed(text).map(|(packet, more)| {
                        let more =
                            (!more.is_empty()).then_some(RemainingBody::LengthPrefixed(more));
                        (Incoming::Text(packet), more)
                    })
                }
                RemainingBody::Binary(bytes) => split_binary(bytes).map(|(packet, more)| {
                    let more = (!more.is_empty()).then_some(RemainingBody::Binary(more));
                    (packet, more)
                }),
            };
            let Some((packet, more)) = next else {
                return Some(Err(MALFORMED));
            };
            self.rest = more;
            // Socket.IO's own server skips an empty packet.
            if !matches!(
                (rest, packet),
                (RemainingBody::LengthPrefixed(_), Incoming::Text(""))
            ) {
                return Some(Ok(packet));
            }
        }
    }
}

/// Splits `<characters>:<packet>…` after the first packet. JavaScript counts UTF-16 units.
fn split_length_prefixed(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    let mut units = parse_length(length.bytes().map(|digit| digit.wrapping_sub(b'0')))?;
    let mut end = 0;
    for c in rest.chars() {
        if units == 0 {
            break;
        }
        units = units.checked_sub(c.len_utf16())?;
        end += c.len_utf8();
    }
    (units == 0).then(|| rest.split_at(end))
}

/// Splits `<kind><digits><255><packet>…` after the first packet.
fn split_binary(bytes: &[u8]) -> Option<(Incoming<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let digits = rest
        .iter()
        .take(MAX_LENGTH_DIGITS + 1)
        .position(|byte| *byte == 0xff)?;
    let length = parse_length(rest[..digits].iter().copied())?;
    let (packet, rest) = rest[digits + 1..].split_at_checked(length)?;
    let packet = match kind {
        0 => Incoming::Text(std::str::from_utf8(packet).ok()?),
        _ => Incoming::Binary(packet),
    };
    Some((packet, rest))
}

const MAX_LENGTH_DIGITS: usize = 10;

fn parse_length(digits: impl ExactSizeIterator<Item = u8>) -> Option<usize> {
    if !(1..=MAX_LENGTH_DIGITS).contains(&digits.len()) {
        return None;
    }
    let mut digits = digits;
    digits.try_fold(0usize, |length, digit| {
        (digit < 10).then(|| length * 10 + usize::from(digit))
    })
}

/// Collects packets for requests to engineioxide of at most `limit` bytes each.
pub(super) struct PayloadBuilder {
    text: String,
    limit: usize,
}

impl PayloadBuilder {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            text: String::new(),
            limit,
        }
    }

    /// Adds a packet. Returns the packets to send before it if they do not fit into one request together.
    pub(super) fn push(&mut self, packet: &str) -> Option<String> {
        let fits = self.text.len() + 1 + packet.len() <= self.limit;
        let full = if fits { None } else { self.take() };
        if !self.text.is_empty() {
            self.text.push(SEPARATOR);
        }
        self.text.push_str(packet);
        full
    }

    /// Takes the collected packets; `None` if there are none.
    pub(super) fn take(&mut self) -> Option<String> {
        (!self.text.is_empty()).then(|| std::mem::take(&mut self.text))
    }
}

/// Encodes attachments as bodies in [`PostEncoding::Binary`]. A client's own request had the same overhead for each.
pub(super) fn binary_bodies(attachments: &[Vec<u8>], limit: usize) -> Vec<Vec<u8>> {
    let mut binary_bodies: Vec<Vec<u8>> = Vec::new();
    for attachment in attachments {
        // Each starts with the type "message".
        let length = (attachment.len() + 1).to_string();
        let size = length.len() + attachment.len() + 3;
        if binary_bodies
            .last()
            .is_none_or(|last| last.len() + size > limit)
        {
            binary_bodies.push(Vec::with_capacity(size));
        }
        if let Some(body) = binary_bodies.last_mut() {
            body.push(1);
            body.extend(length.bytes().map(|digit| digit - b'0'));
            body.extend([0xff, 4]);
            body.extend_from_slice(attachment);
        }
    }
    binary_bodies
}

#[cfg(test)]
mod tests;
