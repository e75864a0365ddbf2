//! Events of the outbox as they are stored, and as they are returned with their messages.

use std::collections::HashMap;

use crate::{
    backend::{
        OutboxEvent, OutboxKind,
        redis::{keys, shard::codec},
    },
    model::{Offset, RoomKey, Timestamp, UserId},
    retry::log_rarely,
};

/// The fields of an event, by name.
pub(super) type Fields = HashMap<String, String>;

/// An event as it is stored.
pub(super) struct StoredEvent {
    number: u64,
    kind: OutboxKind,
    pub(super) room: RoomKey,
    /// Where its message is.
    pub(super) offset: Option<Offset>,
    user: Option<UserId>,
    ts: Timestamp,
}

/// Reads events with their numbers, up to the first gap: there Redis has lost data, or an event is malformed.
pub(super) fn parse(entries: Vec<(u64, Fields)>) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::with_capacity(entries.len());
    for (number, fields) in entries {
        let Some(event) = parse_event(number, &fields) else {
            log_rarely!(warn, number, "skipped a malformed event of the outbox");
            continue;
        };
        if events.last().is_some_and(|last| last.number + 1 != number) {
            break;
        }
        events.push(event);
    }
    events
}

fn parse_event(number: u64, fields: &Fields) -> Option<StoredEvent> {
    let integer = |name: &str| fields.get(name)?.parse::<u64>().ok();
    let kind = OutboxKind::parse(fields.get("kind")?)?;
    let offset = integer("offset").map(Offset);
    let ts = integer("ts").map(Timestamp);
    Some(StoredEvent {
        number,
        kind,
        room: keys::parse_room_name(fields.get("room")?)?,
        offset,
        user: fields.get("user").map(|user| UserId::from_log(user)),
        // An event has one or the other.
        ts: ts.or(offset.map(|_| Timestamp(0)))?,
    })
}

/// Adds their messages to events; as many of those as are given, in order. Ends with the last event that fits into `bytes`, but
/// returns at least one. A message from before `cutoff` counts as gone.
pub(super) fn resolve(
    events: Vec<StoredEvent>,
    messages: Vec<Option<Vec<u8>>>,
    bytes: usize,
    cutoff: impl Fn(&RoomKey) -> Timestamp,
) -> Vec<OutboxEvent> {
    let mut messages = messages.into_iter();
    let mut space = bytes;
    let mut resolved = Vec::with_capacity(events.len());
    for event in events {
        let mut message = None;
        if event.offset.is_some() {
            let Some(entry) = messages.next() else {
                break;
            };
            message = entry.and_then(|entry| codec::decode_message(&event.room, &entry));
            message = message.filter(|message| message.ts >= cutoff(&event.room));
        }
        let cost = message.as_ref().map_or(0, |it| it.data.get().len());
        if cost > space && !resolved.is_empty() {
            break;
        }
        space = space.saturating_sub(cost);
        resolved.push(OutboxEvent {
            number: event.number,
            kind: event.kind,
            user: event.user,
            ts: message.as_ref().map_or(event.ts, |message| message.ts),
            message,
            room: event.room,
        });
    }
    resolved
}
