//! WebSocket frames as clients send them (RFC 6455, 5.2): read by their bytes, and written for socketioxide's own reader.

use bytes::{BufMut, BytesMut};

use super::Fault;

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;

/// What the first bytes of a frame tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) last: bool,
    pub(super) opcode: u8,
    mask: [u8; 4],
    /// Bytes of the head itself.
    len: usize,
    payload: usize,
}

impl Head {
    /// `None` while it is not complete. A message may have `most` bytes.
    pub(super) fn read(bytes: &[u8], most: usize) -> Result<Option<Self>, Fault> {
        let [first, second, ..] = *bytes else {
            return Ok(None);
        };
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let short = usize::from(second & 0x7f);
        if first & 0x70 != 0 {
            return Err(Fault::protocol("a reserved bit of a frame is set"));
        }
        if second & 0x80 == 0 {
            return Err(Fault::protocol("a client's frame is not masked"));
        }
        match opcode {
            CONTINUATION..=BINARY => {}
            8..=10 if last && short < 126 => {}
            8..=10 => return Err(Fault::protocol("a control frame is fragmented or too long")),
            _ => return Err(Fault::protocol("unknown opcode")),
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
        if payload > most {
            return Err(Fault::TOO_LARGE);
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
    pub(super) fn whole(&self) -> usize {
        self.len + self.payload
    }

    /// Takes the mask off a frame that is complete, head and all, and gives its payload.
    pub(super) fn unmask<'a>(&self, frame: &'a mut [u8]) -> &'a mut [u8] {
        let (head, payload) = frame[..self.whole()].split_at_mut(self.len);
        head[self.len - 4..].fill(0);
        apply(self.mask, payload);
        payload
    }
}

/// Masks or unmasks, eight bytes at a time.
fn apply(mask: [u8; 4], payload: &mut [u8]) {
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

/// Adds a whole message in one frame, masked with nothing.
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
