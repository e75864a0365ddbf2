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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(packets: Packets<'_>) -> Vec<String> {
        packets
            .map(|packet| match packet {
                Ok(Incoming::Text(text)) => text.to_owned(),
                Ok(Incoming::Binary(bytes)) => format!("{bytes:?}"),
                Err(fault) => fault.why.to_owned(),
            })
            .collect()
    }

    #[test]
    fn every_framing_is_read() {
        let separated = Packets::of_text("4a\u{1e}bAAE=\u{1e}3", false);
        assert_eq!(texts(separated), ["4a", "bAAE=", "3"]);
        let counted = Packets::of_text("3:4äß3:4😀0:4:b4AA", true);
        assert_eq!(texts(counted), ["4äß", "4😀", "b4AA"]);
        let binary = Packets::of_bytes(&[0, 3, 255, b'4', 0xc3, 0xa4, 1, 0, 2, 255, 4, 7]);
        assert_eq!(texts(binary), ["4ä", "[4, 7]"]);
        assert_eq!(texts(Packets::of_text("", false)), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_payload_is_a_fault_behind_the_packets_before_it() {
        for body in [
            "2:4a3:4",
            "2:4ax",
            "2:4ax:1",
            "2:4a-1:4",
            "2:4a99999999999:4",
            "2:4a2:a😀",
        ] {
            assert_eq!(
                texts(Packets::of_text(body, true)),
                ["4a", "malformed payload"],
                "{body}"
            );
        }
        for body in [
            &[0, 5, 255, b'4'][..],
            &[0, 1],
            &[0, 255],
            &[0, 10, 255],
            &[0, 1, 255, 0xff],
        ] {
            assert_eq!(
                texts(Packets::of_bytes(body)),
                ["malformed payload"],
                "{body:?}"
            );
        }
        let many = "\u{1e}".repeat(MOST + 5);
        let packets = texts(Packets::of_text(&many, false));
        assert_eq!(packets.len(), MOST + 1);
        assert_eq!(packets.last().unwrap(), "too many packets in one payload");
    }

    #[test]
    fn a_large_body_takes_time_in_proportion_to_its_size() {
        let packet = format!("{}:{}", 1 << 20, "é".repeat(1 << 20));
        let begin = std::time::Instant::now();
        assert_eq!(Packets::of_text(&packet, true).count(), 1);
        let small = format!("{}:{}", 8, "é".repeat(8)).repeat(1 << 15);
        assert_eq!(Packets::of_text(&small, true).count(), 1 << 15);
        assert!(begin.elapsed() < std::time::Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn what_clients_put_together_is_taken_apart_again(packets in prop::collection::vec("[^\u{1e}]{1,20}", 1..20)) {
            let separated = packets.join("\u{1e}");
            prop_assert_eq!(&texts(Packets::of_text(&separated, false)), &packets);
            let counted: String = packets
                .iter()
                .map(|packet| format!("{}:{packet}", packet.encode_utf16().count()))
                .collect();
            prop_assert_eq!(&texts(Packets::of_text(&counted, true)), &packets);
            let binary: Vec<u8> = packets
                .iter()
                .flat_map(|packet| {
                    let digits = packet.len().to_string().into_bytes().into_iter().map(|digit| digit - b'0');
                    std::iter::once(0).chain(digits).chain([255]).chain(packet.bytes())
                })
                .collect();
            prop_assert_eq!(&texts(Packets::of_bytes(&binary)), &packets);
            let mut payload = Payload::new(1 << 20);
            let full: Vec<String> = packets.iter().filter_map(|packet| payload.push(packet)).collect();
            prop_assert!(full.is_empty());
            prop_assert_eq!(payload.take(), Some(separated));
        }

        #[test]
        fn no_request_has_more_than_it_may(sizes in prop::collection::vec(0..90usize, 1..30)) {
            let mut payload = Payload::new(100);
            let mut requests: Vec<String> = Vec::new();
            for size in &sizes {
                requests.extend(payload.push(&"x".repeat(1 + size)));
            }
            requests.extend(payload.take());
            prop_assert!(requests.iter().all(|request| request.len() <= 100));
            let whole: usize = requests.iter().map(|request| request.split(SEPARATOR).count()).sum();
            prop_assert_eq!(whole, sizes.len());
            let attachments: Vec<Vec<u8>> = sizes.iter().map(|size| vec![7; *size]).collect();
            let bodies = bodies(&attachments, 100);
            prop_assert!(bodies.iter().all(|body| body.len() <= 100));
            let found: Vec<Vec<u8>> = bodies
                .iter()
                .flat_map(|body| Packets::of_bytes(body))
                .map(|packet| match packet {
                    Ok(Incoming::Binary([4, bytes @ ..])) => bytes.to_vec(),
                    other => panic!("{other:?}"),
                })
                .collect();
            prop_assert_eq!(found, attachments);
        }

        #[test]
        fn no_body_is_read_beyond_its_end(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packets::of_bytes(&body).count();
            let text = String::from_utf8_lossy(&body);
            let _ = Packets::of_text(&text, true).count() + Packets::of_text(&text, false).count();
        }
    }
}
