//! WebSocket frames as clients send them (RFC 6455, 5.2): parsed, and encoded for socketioxide's own reader.

use bytes::{BufMut, BytesMut};

use super::protocol_error::ProtocolError;

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;

/// The header of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientFrameHeader {
    /// Has no more fragments behind it.
    pub(super) last: bool,
    pub(super) opcode: u8,
    mask: [u8; 4],
    /// Bytes of the header itself.
    len: usize,
    payload: usize,
}

impl ClientFrameHeader {
    /// Parses a header; `None` while it is incomplete.
    ///
    /// # Errors
    /// The client does not follow the protocol, or the payload has more than `limit` bytes.
    pub(super) fn parse(bytes: &[u8], limit: usize) -> Result<Option<Self>, ProtocolError> {
        let [first, second, ..] = *bytes else {
            return Ok(None);
        };
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let short = usize::from(second & 0x7f);
        if first & 0x70 != 0 {
            return Err(ProtocolError::new("a reserved bit of a frame is set"));
        }
        if second & 0x80 == 0 {
            return Err(ProtocolError::new("a client's frame is not masked"));
        }
        match opcode {
            CONTINUATION..=BINARY => {}
            8..=10 if last && short < 126 => {}
            8..=10 => {
                return Err(ProtocolError::new(
                    "a control frame is fragmented or too long",
                ));
            }
            _ => return Err(ProtocolError::new("unknown opcode")),
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(rest) = bytes.get(2..2 + extended + 4) else {
            return Ok(None);
        };
        let (length, mask) = rest.split_at(extended);
        let payload = match extended {
            0 => short as u64,
            _ => length
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let payload = usize::try_from(payload).unwrap_or(usize::MAX);
        if payload > limit {
            return Err(ProtocolError::TOO_LARGE);
        }
        Ok(Some(Self {
            last,
            opcode,
            mask: [mask[0], mask[1], mask[2], mask[3]],
            len: 2 + extended + 4,
            payload,
        }))
    }

    pub(super) fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_len(&self) -> usize {
        self.len + self.payload
    }

    /// Unmasks a complete frame in place and zeroes the mask in its header. Returns the payload.
    pub(super) fn unmask<'a>(&self, frame: &'a mut [u8]) -> &'a mut [u8] {
        let (header, payload) = frame[..self.frame_len()].split_at_mut(self.len);
        header[self.len - 4..].fill(0);
        apply_mask(self.mask, payload);
        payload
    }
}

/// Masks or unmasks, eight bytes at a time.
fn apply_mask(mask: [u8; 4], payload: &mut [u8]) {
    let twice = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ twice).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends a whole message as one frame with a zero mask.
pub(super) fn put(into: &mut BytesMut, opcode: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    into.reserve(length + 14);
    into.put_u8(0x80 | opcode);
    match length {
        0..=125 => into.put_u8(0x80 | length as u8),
        126..=0xffff => {
            into.put_u8(0x80 | 126);
            into.put_u16(length as u16);
        }
        _ => {
            into.put_u8(0x80 | 127);
            into.put_u64(length as u64);
        }
    }
    into.put_bytes(0, 4);
    parts.iter().for_each(|part| into.put_slice(part));
}
