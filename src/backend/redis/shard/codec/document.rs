//! How what happens to a document is published: a line with the node, what it is and its number, then the bytes.

use bytes::Bytes;

use crate::{
    backend::{BusEvent, DocumentNotice},
    model::{NodeId, RoomKey, RoomName},
};

/// Appends an encoded notice to a payload.
pub(super) fn encode(notice: &DocumentNotice, node: NodeId, encoded: &mut Vec<u8>) {
    let (line, bytes) = match notice {
        DocumentNotice::Update(number, update) => (format!("{node} update {number}\n"), update),
        DocumentNotice::Awareness(states) => (format!("{node} awareness 0\n"), states),
        DocumentNotice::QueryAwareness => (format!("{node} query 0\n"), &Bytes::new()),
    };
    encoded.extend_from_slice(line.as_bytes());
    encoded.extend_from_slice(bytes);
}

/// Decodes a notice that came on the channel of a document, and the node that sent it; `None` if it is malformed.
pub(super) fn decode(channel: &RoomKey, encoded: &[u8]) -> Option<(BusEvent, NodeId)> {
    let end = encoded.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&encoded[..end]).ok()?;
    let bytes = Bytes::copy_from_slice(&encoded[end + 1..]);
    let mut words = line.split(' ');
    let node = words.next()?.parse().ok()?;
    let notice = match (words.next()?, words.next()?.parse().ok()?) {
        ("update", number) => DocumentNotice::Update(number, bytes),
        ("awareness", _) => DocumentNotice::Awareness(bytes),
        ("query", _) => DocumentNotice::QueryAwareness,
        _ => return None,
    };
    let document = RoomName::clone(&channel.room);
    Some((BusEvent::Document(document, notice, Some(node)), node))
}

#[cfg(test)]
mod tests;
