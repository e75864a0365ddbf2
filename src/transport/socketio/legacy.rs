//! What socket.io-client 2 does differently: it puts a namespace's query into the namespace itself.
//!
//! Its CONNECT for `/chat` with the query `user=alice` reads `0/chat?user=alice,`; to socketioxide that is a namespace
//! nobody has heard of. The byte `?` turned into `,` makes it `0/chat,user=alice,`: the namespace, and behind it the
//! query where newer clients have their auth payload. One byte for one byte, so no length changes anywhere, and in a
//! masked WebSocket frame it is one flip of the same byte. Only sessions of Engine.IO 3 pass through here.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// What a CONNECT to a namespace begins with: Engine.IO "message", Socket.IO "connect", the namespace's slash.
const CONNECT: &[u8] = b"40/";
/// Turns `?` into `,` whatever mask lies over it.
const FLIP: u8 = b'?' ^ b',';

/// Looks through one packet for the byte to turn.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// Bytes seen of the packet.
    seen: usize,
    over: bool,
}

impl Scan {
    /// Looks at the next byte; true if it is the one.
    fn finds(&mut self, byte: u8) -> bool {
        if self.over {
            return false;
        }
        match CONNECT.get(self.seen) {
            Some(expected) => self.over = byte != *expected,
            None => self.over = matches!(byte, b'?' | b','),
        }
        self.seen += 1;
        self.over && self.seen > CONNECT.len() && byte == b'?'
    }
}

/// Turns the byte in every packet of a polling payload (`<characters>:<packet>…`, Engine.IO 3 as text).
pub(super) fn separate_in_payload(payload: &str) -> Option<String> {
    let mut turned = None;
    let mut rest = payload;
    while let Some((length, tail)) = rest.split_once(':') {
        let mut units: usize = length.parse().ok()?;
        let begin = payload.len() - tail.len();
        let mut scan = Scan::default();
        let mut end = tail.len();
        for (at, c) in tail.char_indices() {
            // Lengths are counted as JavaScript counts them.
            if units == 0 {
                end = at;
                break;
            }
            units = units.saturating_sub(c.len_utf16());
            if c.is_ascii() && scan.finds(c as u8) {
                turned
                    .get_or_insert_with(|| payload.to_owned())
                    .replace_range(begin + at..=begin + at, ",");
            } else if !c.is_ascii() && scan.seen < CONNECT.len() {
                scan.over = true;
            }
        }
        rest = &tail[end..];
    }
    turned
}

/// Where in a client's stream of WebSocket frames the next byte stands.
#[derive(Debug)]
enum Place {
    /// In a frame's header, of which these bytes are known.
    Header { known: Vec<u8> },
    /// In a frame's payload.
    Payload {
        left: u64,
        mask: [u8; 4],
        at: usize,
        scan: Scan,
    },
}

/// A WebSocket's stream from a client of Engine.IO 3.
pub(super) struct Legacy<S> {
    stream: S,
    place: Place,
}

impl<S> Legacy<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            place: Place::Header { known: Vec::new() },
        }
    }
}

impl Place {
    fn pass(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            bytes = match self {
                Place::Header { known } => {
                    known.push(bytes[0]);
                    if let Some(payload) = payload_after(known) {
                        *self = payload;
                    }
                    &mut bytes[1..]
                }
                Place::Payload {
                    left,
                    mask,
                    at,
                    scan,
                } => {
                    let here = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    let (payload, rest) = bytes.split_at_mut(here);
                    for byte in payload {
                        if scan.over {
                            break;
                        }
                        if scan.finds(*byte ^ mask[*at % 4]) {
                            *byte ^= FLIP;
                        }
                        *at += 1;
                    }
                    *left -= here as u64;
                    if *left == 0 {
                        *self = Place::Header { known: Vec::new() };
                    }
                    rest
                }
            };
        }
    }
}

/// The payload that begins behind a complete header (RFC 6455, 5.2); `None` while it is not complete.
fn payload_after(header: &[u8]) -> Option<Place> {
    let [first, second, ..] = *header else {
        return None;
    };
    let length_bytes = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = second & 0x80 != 0;
    if header.len() < 2 + length_bytes + if masked { 4 } else { 0 } {
        return None;
    }
    let length = &header[2..2 + length_bytes];
    let left = match length_bytes {
        0 => u64::from(second & 0x7f),
        _ => length
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let mut mask = [0; 4];
    if masked {
        mask.copy_from_slice(&header[2 + length_bytes..]);
    }
    if left == 0 {
        return Some(Place::Header { known: Vec::new() });
    }
    let text = first & 0x0f == 1;
    Some(Place::Payload {
        left,
        mask,
        at: 0,
        scan: Scan {
            seen: 0,
            over: !text,
        },
    })
}

impl<S: AsyncRead + Unpin> AsyncRead for Legacy<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.place.pass(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_query_of_a_connect_is_separated_in_a_payload() {
        for (payload, expected) in [
            ("20:40/chat?user=alice,", Some("20:40/chat,user=alice,")),
            ("2:40", None),
            ("9:40/chat,?", None),
            ("30:42[\"message\",\":40/chat?user=\"]", None),
            (
                "4:42äß20:40/chat?user=alice,",
                Some("4:42äß20:40/chat,user=alice,"),
            ),
            ("3:42😀", None),
            ("nonsense", None),
            ("x:40/chat?u=a", None),
        ] {
            assert_eq!(
                separate_in_payload(payload).as_deref(),
                expected,
                "{payload}"
            );
        }
    }

    /// A client's frame, masked.
    fn frame(opcode: u8, text: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match u16::try_from(text.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | text.len() as u8),
            Ok(middle) => {
                frame.push(0x80 | 126);
                frame.extend(middle.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((text.len() as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(
            text.iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        frame
    }

    proptest! {
        #[test]
        fn however_frames_are_split_just_that_byte_turns(
            texts in prop::collection::vec((0..6usize, any::<[u8; 4]>(), 0..400usize), 1..8),
            cuts in prop::collection::vec(1..40usize, 1..50),
        ) {
            let kinds: [(&[u8], &[u8], u8); 6] = [
                (b"40/chat?user=alice,", b"40/chat,user=alice,", 1),
                (b"42/chat,[\"a?b\"]", b"42/chat,[\"a?b\"]", 1),
                (b"40/chat,?", b"40/chat,?", 1),
                (b"40/chat?", b"40/chat?", 2),
                (b"", b"", 9),
                (b"40/a?b?c,", b"40/a,b?c,", 1),
            ];
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            for (kind, mask, padding) in texts {
                let (from, to, opcode) = kinds[kind];
                let pad = vec![b'?'; if opcode == 9 { 0 } else { padding }];
                sent.extend(frame(opcode, &[from, &pad].concat(), mask));
                expected.extend(frame(opcode, &[to, &pad].concat(), mask));
            }
            let mut place = Place::Header { known: Vec::new() };
            let (mut rest, mut cuts) = (&mut sent[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                let (now, later) = rest.split_at_mut(cut);
                place.pass(now);
                rest = later;
            }
            prop_assert_eq!(sent, expected);
        }
    }
}
