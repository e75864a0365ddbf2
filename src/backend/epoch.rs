//! The epoch of a room that was never written to: derived from the room's name and the log's incarnation, so that reading
//! such a room stores nothing. Its first message is stored under the same epoch, so that earlier positions stay valid.
//!
//! A room that is forgotten with all its messages must not get its old epoch back, because its numbers begin at 1 again. No
//! row is kept for it. Instead, rooms share [`SLOTS`] counters: forgetting a room increments its counter, which the epoch is
//! derived from, too. Unwritten rooms that share the counter change their epochs as well: a client with a position in one of
//! them receives a reset, and has lost nothing.

use aws_lc_rs::digest::{Context, SHA256};

use crate::model::{Epoch, Incarnation, RoomKey};

/// How many counters there are: all that a log stores of forgotten rooms.
pub(super) const SLOTS: u16 = 4096;

/// The counter of a room.
pub(super) fn slot(room: &RoomKey) -> u16 {
    u16::try_from(hash(room, &[]) % u64::from(SLOTS)).unwrap_or(0)
}

/// The epoch of a room in one incarnation of a log, whose counter is at `forgotten`.
pub(super) fn derive(incarnation: &Incarnation, room: &RoomKey, forgotten: u64) -> Epoch {
    let forgotten = forgotten.to_be_bytes();
    Epoch::from_bits(hash(room, &[incarnation.as_str().as_bytes(), &forgotten]))
}

/// The first 64 bits of the SHA-256 of a room's name and more bytes. Names have no zero bytes.
fn hash(room: &RoomKey, more: &[&[u8]]) -> u64 {
    let mut context = Context::new(&SHA256);
    for text in [room.namespace.as_str(), room.room.as_str()] {
        context.update(text.as_bytes());
        context.update(&[0]);
    }
    for bytes in more {
        context.update(bytes);
        context.update(&[0]);
    }
    let digest = context.finish();
    let first = digest
        .as_ref()
        .first_chunk()
        .expect("a SHA-256 digest has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests;
