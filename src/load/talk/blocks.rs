//! Server-Sent Events: a block of lines an event.

use super::{Stage, Talk};

/// Reads a block.
pub(super) fn receive(talk: &mut Talk, block: &[u8]) {
    let Some(event) = block.strip_prefix(b"event: ") else {
        // The pause before reconnecting, and signs of life.
        return;
    };
    if event.starts_with(b"message\n") {
        talk.deliver(block);
    } else {
        talk.shard.counters.other_packets.inc();
    }
    let id = last_id(block);
    if let Some(id) = id {
        talk.keep_offset(id);
    }
    if event.starts_with(b"reset\n") {
        talk.forget_seq();
    }
    if event.starts_with(b"session\n") && talk.stage == Stage::Opening {
        talk.note_limits(block);
        // Where something was missed, resets follow instead of the cursor.
        talk.joined(id.is_some());
    }
}

/// The last line's id.
fn last_id(block: &[u8]) -> Option<&[u8]> {
    let begin = block.iter().rposition(|byte| *byte == b'\n')? + 1;
    block[begin..].strip_prefix(b"id: ")
}
