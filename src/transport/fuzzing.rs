//! Entry points of the fuzzers in `fuzz/`, one for each parser of client input. Each panics if the parser breaks its promise. The
//! inputs in `fuzz/corpus` run as unit tests.

use ::http::Uri;

use crate::documents::fuzzing as documents;

use super::{
    envelope, room_query::RoomQuery, socketio::fuzzing as socketio, wire::fuzzing::split_frames,
};

/// WebSocket frames, of clients and of socketioxide.
pub fn frames(input: &[u8]) {
    split_frames(input);
    socketio::parse_frames(input);
}

/// The body of a POST; its first byte chooses the encoding.
pub fn payload(input: &[u8]) {
    socketio::parse_payload(input);
}

/// One packet.
pub fn packet(input: &[u8]) {
    socketio::parse_packet(input);
}

/// A frame of a plain WebSocket.
pub fn envelope(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = envelope::read(text, None);
    }
}

/// A message about a document, and the update or awareness states in it.
pub fn document(input: &[u8]) {
    documents::parse_message(input);
}

/// Updates of one document, one behind the other, each with its length before it.
pub fn updates(input: &[u8]) {
    documents::merge_updates(input);
}

/// The query of an Engine.IO request, an event stream or a poll.
pub fn query(input: &[u8]) {
    let Ok(uri) = Uri::try_from([b"/socket.io/?", input].concat()) else {
        return;
    };
    let _ = RoomQuery::parse(None, &uri);
    socketio::parse_engine_query(&uri);
}

#[cfg(test)]
pub(crate) mod tests;
