//! Socket.IO 5 over Engine.IO 4.

use serde_json::Value;

use super::{
    Stage, Talk,
    message::{JOIN_ACK, number_of},
};
use crate::load::{link::Outbox, marker, plan::Protocol};

/// Reads a packet.
pub(super) fn receive(talk: &mut Talk, packet: &[u8], out: &mut Outbox) {
    match packet {
        [b'4', b'2', event @ ..] => receive_event(talk, packet, event, out),
        [b'4', b'3', ack @ ..] => receive_ack(talk, ack),
        [b'2', ..] => out.push(b"3"),
        [b'0', ..] => out.push(connect(talk).as_bytes()),
        [b'4', b'0', answer @ ..] => connected(talk, answer, out),
        [b'4', b'4', why @ ..] => {
            talk.refuse("connect", "connect_error", why);
            talk.over = true;
        }
        [b'1', ..] | [b'4', b'1', ..] => talk.over = true,
        _ => {}
    }
}

/// The CONNECT packet: who it is, and which session it had.
fn connect(talk: &Talk) -> String {
    let mut auth = serde_json::Map::new();
    if let Some(token) = talk.token() {
        auth.insert("token".to_owned(), token.into());
    }
    if let Some(user) = talk.user() {
        auth.insert("user".to_owned(), user.into());
    }
    if !talk.resume.pid.is_empty() {
        auth.insert("pid".to_owned(), talk.resume.pid.as_str().into());
        if let Ok(offset) = std::str::from_utf8(&talk.resume.offset)
            && !offset.is_empty()
        {
            auth.insert("offset".to_owned(), offset.into());
        }
    }
    format!("40{}", Value::Object(auth))
}

/// The server has answered CONNECT. The same secret again says that the session goes on.
fn connected(talk: &mut Talk, answer: &[u8], out: &mut Outbox) {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let pid = answer
        .get("pid")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !pid.is_empty() && pid == talk.resume.pid {
        return talk.joined(true);
    }
    pid.clone_into(&mut talk.resume.pid);
    talk.resume.offset.clear();
    talk.stage = Stage::Joining;
    let shard = talk.shard.clone();
    let plan = &shard.shared.plan;
    // Switchboard's greeting follows.
    if let Protocol::Plain(events) = &plan.protocol {
        let Some(join) = &events.join else {
            return talk.joined(false);
        };
        let (event, _) = join.for_room(&shard.room_name(talk.client));
        let ack = if events.acks { "0" } else { "" };
        out.push(format!("42{ack}{event}").as_bytes());
        if !events.acks {
            talk.joined(false);
        }
    }
}

fn receive_event(talk: &mut Talk, packet: &[u8], event: &[u8], out: &mut Outbox) {
    let shard = talk.shard.clone();
    if !event.starts_with(&shard.receive_prefix) {
        shard.counters.other_packets.inc();
        return receive_other(talk, event, out);
    }
    talk.deliver(packet);
    if !talk.resume.pid.is_empty()
        && let Some(offset) = marker::last_string(packet)
    {
        talk.keep_offset(offset);
    }
}

/// Events of the server's own.
fn receive_other(talk: &mut Talk, event: &[u8], out: &mut Outbox) {
    let shard = talk.shard.clone();
    if !matches!(shard.shared.plan.protocol, Protocol::Switchboard { .. }) {
        return;
    }
    if let Some(error) = event.strip_prefix(b"[\"error\",") {
        return talk.refuse("event", "error", error);
    }
    if !event.starts_with(b"[\"session\",") {
        return;
    }
    talk.note_limits(event);
    if talk.stage != Stage::Joining {
        return;
    }
    if !shard.shared.plan.is_member(talk.client) {
        return talk.joined(false);
    }
    let room = shard.room_name(talk.client);
    let since = talk.since();
    let since = since.map_or_else(String::new, |since| format!(r#","since":"{since}""#));
    out.push(format!(r#"42{JOIN_ACK}["join",{{"room":"{room}"{since}}}]"#).as_bytes());
}

fn receive_ack(talk: &mut Talk, ack: &[u8]) {
    let digits = ack.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (Some(id), body) = (marker::number(ack), &ack[digits..]) else {
        return;
    };
    let is_ours = matches!(
        talk.shard.shared.plan.protocol,
        Protocol::Switchboard { .. }
    );
    let refusal = (is_ours && !body.starts_with(b"[{\"ok\":true")).then_some(body);
    match number_of(id as u32) {
        Some(number) => talk.acked(number, refusal),
        None if refusal.is_some() => {
            talk.refuse("join", "error", body);
            talk.over = true;
        }
        None => {
            talk.read_join(body);
            if talk.stage == Stage::Joining {
                talk.joined(false);
            }
        }
    }
}
