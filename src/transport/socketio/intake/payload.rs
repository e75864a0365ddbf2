//! What a client posts while it polls: several packets in one body, in three framings.
//!
//! engineioxide reads a body by the protocol that its address names, whatever the session's is. So text is given to it as
//! Engine.IO 4 has it ([`Payload`]) and attachments as version 3 has them ([`bodies`]), which needs no base64. Its reader for
//! text of version 3, whose cost grows with the square of the body, is not used.

use super::{Fault, Incoming};

/// How the packets of a body are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::socketio) enum Framing {
    /// Engine.IO 4: separated by a control character.
    Separated,
    /// Engine.IO 3: each behind its length in UTF-16 units.
    Counted,
    /// Engine.IO 3 with binary packets: each behind its kind and its length in bytes, digit by digit.
    Binary,
}

const SEPARATOR: char = '\u{1e}';

/// Packets that one body may have.
const MOST: usize = 1 << 16;

const MALFORMED: Fault = Fault::protocol("malformed payload");

/// The packets of a body, in order; behind a fault there are none.
pub(super) struct Packets<'a> {
    rest: Option<Rest<'a>>,
    left: usize,
}

#[derive(Clone, Copy)]
enum Rest<'a> {
    Separated(&'a str),
    Counted(&'a str),
    Binary(&'a [u8]),
}

impl<'a> Packets<'a> {
    /// The packets of a body of text.
    pub(super) fn of_text(body: &'a str, counted: bool) -> Self {
        let rest = match counted {
            true => Rest::Counted(body),
            false => Rest::Separated(body),
        };
        Self {
            rest: (!body.is_empty()).then_some(rest),
            left: MOST,
        }
    }

    /// The packets of a binary body.
    pub(super) fn of_bytes(body: &'a [u8]) -> Self {
        Self {
            rest: (!body.is_empty()).then_some(Rest::Binary(body)),
            left: MOST,
        }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Incoming<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.take()?;
            self.left = match self.left.checked_sub(1) {
                Some(left) => left,
                None => return Some(Err(Fault::protocol("too many packets in one payload"))),
            };
            let found = match rest {
                Rest::Separated(text) => Some(match text.split_once(SEPARATOR) {
                    Some((packet, more)) => (Incoming::Text(packet), Some(Rest::Separated(more))),
                    None => (Incoming::Text(text), None),
                }),
                Rest::Counted(text) => counted(text).map(|(packet, more)| {
                    let more = (!more.is_empty()).then_some(Rest::Counted(more));
                    (Incoming::Text(packet), more)
                }),
                Rest::Binary(bytes) => binary(bytes).map(|(packet, more)| {
                    let more = (!more.is_empty()).then_some(Rest::Binary(more));
                    (packet, more)
                }),
            };
            let Some((packet, more)) = found else {
                return Some(Err(MALFORMED));
            };
            self.rest = more;
            // Socket.IO's own server passes over a packet of no length.
            if !matches!((rest, packet), (Rest::Counted(_), Incoming::Text(""))) {
                return Some(Ok(packet));
            }
        }
    }
}

/// The first packet of `<characters>:<packet>…`, and the rest. JavaScript counts UTF-16 units.
fn counted(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    let mut units = length_of(length.bytes().map(|digit| digit.wrapping_sub(b'0')))?;
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

/// The first packet of `<kind><digits><255><packet>…`, and the rest.
fn binary(bytes: &[u8]) -> Option<(Incoming<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let digits = rest
        .iter()
        .take(MOST_DIGITS + 1)
        .position(|byte| *byte == 0xff)?;
    let length = length_of(rest[..digits].iter().copied())?;
    let (packet, rest) = rest[digits + 1..].split_at_checked(length)?;
    let packet = match kind {
        0 => Incoming::Text(std::str::from_utf8(packet).ok()?),
        _ => Incoming::Binary(packet),
    };
    Some((packet, rest))
}

const MOST_DIGITS: usize = 10;

fn length_of(digits: impl ExactSizeIterator<Item = u8>) -> Option<usize> {
    if !(1..=MOST_DIGITS).contains(&digits.len()) {
        return None;
    }
    let mut digits = digits;
    digits.try_fold(0usize, |length, digit| {
        (digit < 10).then(|| length * 10 + usize::from(digit))
    })
}

/// Packets on their way to engineioxide, of which one request may have `most` bytes.
pub(super) struct Payload {
    text: String,
    most: usize,
}

impl Payload {
    pub(super) fn new(most: usize) -> Self {
        Self {
            text: String::new(),
            most,
        }
    }

    /// Adds a packet; what is to be sent before it, if the two do not fit into one request.
    pub(super) fn push(&mut self, packet: &str) -> Option<String> {
        let fits = self.text.len() + 1 + packet.len() <= self.most;
        let full = if fits { None } else { self.take() };
        if !self.text.is_empty() {
            self.text.push(SEPARATOR);
        }
        self.text.push_str(packet);
        full
    }

    /// What there is, unless there is nothing.
    pub(super) fn take(&mut self) -> Option<String> {
        (!self.text.is_empty()).then(|| std::mem::take(&mut self.text))
    }
}

/// Attachments as the bodies of requests in [`Framing::Binary`]. A client's own request had the same bytes around each.
pub(super) fn bodies(attachments: &[Vec<u8>], most: usize) -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for attachment in attachments {
        // Each begins with the type "message".
        let length = (attachment.len() + 1).to_string();
        let size = length.len() + attachment.len() + 3;
        if bodies.last().is_none_or(|last| last.len() + size > most) {
            bodies.push(Vec::with_capacity(size));
        }
        if let Some(body) = bodies.last_mut() {
            body.push(1);
            body.extend(length.bytes().map(|digit| digit - b'0'));
            body.extend([0xff, 4]);
            body.extend_from_slice(attachment);
        }
    }
    bodies
}

#[cfg(test)]
mod tests;
