//! Plain WebSockets: a JSON object a frame.

use super::{Stage, Talk, message::id_prefix};
use crate::load::{link::Outbox, marker};

/// The id of a join.
const JOIN: &[u8] = b"join\"";

/// Reads a frame.
pub(super) fn receive(talk: &mut Talk, frame: &[u8], out: &mut Outbox) {
    let Some(kind) = frame.strip_prefix(b"{\"type\":\"") else {
        talk.shard.counters.other_packets.inc();
        return;
    };
    if kind.starts_with(b"text\"") {
        talk.deliver(frame);
    } else if let Some(rest) = kind.strip_prefix(b"ack\",\"id\":\"") {
        receive_ack(talk, rest, frame);
    } else if let Some(rest) = kind.strip_prefix(b"error\",") {
        receive_error(talk, rest, frame);
    } else {
        talk.shard.counters.other_packets.inc();
        let is_greeting = kind.starts_with(b"system\",\"data\":{\"event\":\"connected\"");
        if is_greeting && talk.stage == Stage::Opening {
            talk.stage = Stage::Joining;
            talk.note_limits(frame);
            out.push(join(talk).as_bytes());
        }
    }
}

fn join(talk: &Talk) -> String {
    let room = talk.shard.room_name(talk.client);
    let since = talk.since();
    let data = since.map_or_else(String::new, |since| {
        format!(r#","data":{{"since":"{since}"}}"#)
    });
    format!(r#"{{"type":"join","id":"join","room":"{room}"{data}}}"#)
}

/// `rest` begins with the id.
fn receive_ack(talk: &mut Talk, rest: &[u8], frame: &[u8]) {
    if !rest.starts_with(JOIN) {
        if let Some(number) = number_in(talk, rest) {
            talk.acked(number, None);
        }
        return;
    }
    let had_position = talk.since().is_some();
    talk.read_join(frame);
    let recovered = had_position && contains(frame, b"\"recovered\":true");
    if talk.stage == Stage::Joining {
        talk.joined(recovered);
    }
}

fn receive_error(talk: &mut Talk, rest: &[u8], frame: &[u8]) {
    let id = rest.strip_prefix(b"\"id\":\"");
    if let Some(number) = id.and_then(|id| number_in(talk, id)) {
        return talk.acked(number, Some(frame));
    }
    let is_join = id.is_some_and(|id| id.starts_with(JOIN));
    talk.refuse(if is_join { "join" } else { "event" }, "error", frame);
    talk.over |= is_join;
}

/// The number of the message whose id `text` begins with.
fn number_in(talk: &Talk, text: &[u8]) -> Option<u32> {
    let shared = &talk.shard.shared;
    let sender = shared.plan.sender_of(talk.client)?;
    let digits = text.strip_prefix(id_prefix(&shared.run, sender).as_bytes())?;
    u32::try_from(marker::number(digits)?).ok()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
