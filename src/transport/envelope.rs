//! Frames of plain WebSockets: one JSON object each, `{ type, id?, room?, data?, timestamp? }`.
//!
//! `timestamp` is in seconds, with fraction. This only converts: frames to the hub's requests, and the hub's events to frames.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{requests, wire::Frame};
use crate::{
    error::{Error, Result},
    http::json::{self, StringOrNumber, parse_optional},
    hub::{Event, OutgoingEvent, Publish, Request},
    model::{EventName, MessageId, RoomName, Sender, Seq, Timestamp},
};

/// A server's frame.
#[derive(Serialize)]
pub(super) struct Envelope<'a, D> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<&'a RoomName>,
    pub(super) data: D,
    pub(super) timestamp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    /// The sender of a message or event; `null` if a back end sent it in nobody's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Option<&'a Sender>>,
}

impl<'a, D: Serialize> Envelope<'a, D> {
    /// A frame with the current time.
    pub(super) fn new(kind: &'a str, room: Option<&'a RoomName>, data: D) -> Self {
        Self {
            kind,
            id: None,
            room,
            data,
            timestamp: seconds(Timestamp::now()),
            seq: None,
            from: None,
        }
    }

    /// Adds the id of the frame that this one replies to.
    pub(super) fn with_id(self, id: Option<&'a MessageId>) -> Self {
        Self { id, ..self }
    }

    /// Encodes it.
    pub(super) fn frame(&self) -> Frame {
        let text =
            serde_json::to_vec(self).expect("strings, numbers and raw JSON always serialize");
        Frame::text(&text)
    }
}

/// Whole milliseconds are exact in a double for the next 200,000 years.
fn seconds(ts: Timestamp) -> f64 {
    ts.0 as f64 / 1000.0
}

/// Data of an event with a name of its own.
#[derive(Serialize)]
struct PublishedEvent<'a> {
    event: &'a str,
    data: &'a RawValue,
}

/// Encodes an event.
pub(super) fn frame(event: &OutgoingEvent) -> Bytes {
    let frame = match event.event() {
        Event::Message(message) if message.event.is_message() => Envelope {
            id: Some(&message.id),
            timestamp: seconds(message.ts),
            seq: Some(message.seq),
            from: Some(message.from.as_ref()),
            ..Envelope::new("text", Some(&message.room.room), &*message.data)
        }
        .frame(),
        Event::Message(message) => Envelope {
            id: Some(&message.id),
            timestamp: seconds(message.ts),
            seq: Some(message.seq),
            from: Some(message.from.as_ref()),
            ..published(&message.room.room, &message.event, &message.data)
        }
        .frame(),
        Event::Ephemeral(event) => Envelope {
            id: event.id.as_ref(),
            timestamp: seconds(event.ts),
            from: Some(event.from.as_ref()),
            ..published(&event.room.room, &event.event, &event.data)
        }
        .frame(),
        Event::Broadcast(_) => return Bytes::new(),
        Event::Notice(name, room, argument) => notice(name, room.as_ref(), argument),
    };
    frame.bytes().clone()
}

fn published<'a>(
    room: &'a RoomName,
    event: &'a EventName,
    data: &'a RawValue,
) -> Envelope<'a, PublishedEvent<'a>> {
    let event = event.as_str();
    Envelope::new("event", Some(room), PublishedEvent { event, data })
}

/// The frame of one of the server's own events.
fn notice(name: &str, room: Option<&RoomName>, argument: &RawValue) -> Frame {
    match name {
        "session" => Envelope::new("system", room, named_in("connected", argument)).frame(),
        "kicked" | "draining" => Envelope::new("system", room, named_in(name, argument)).frame(),
        "typing" | "presence" | "read" | "error" => Envelope::new(name, room, argument).frame(),
        _ => {
            let data = PublishedEvent {
                event: name,
                data: argument,
            };
            Envelope::new("event", room, data).frame()
        }
    }
}

/// Inserts the event's name into its object: `{"event":"kicked","room":…}`.
fn named_in(event: &str, object: &RawValue) -> Box<RawValue> {
    let rest = object.get().trim_start_matches('{');
    let text = match rest {
        "}" => format!("{{\"event\":\"{event}\"}}"),
        rest => format!("{{\"event\":\"{event}\",{rest}"),
    };
    RawValue::from_string(text).unwrap_or_else(|_| object.to_owned())
}

/// A client's frame.
#[derive(Deserialize)]
#[serde(expecting = "an object { type, id?, room?, data?, timestamp? }")]
struct ClientEnvelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    id: Option<StringOrNumber<MessageId>>,
    room: Option<StringOrNumber<RoomName>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    /// Accepted from clients and ignored; the server's time counts.
    #[serde(rename = "timestamp")]
    _timestamp: Option<serde::de::IgnoredAny>,
}

/// A client's request, with the id and room of its reply.
pub(super) struct EnvelopeRequest {
    pub(super) id: Option<MessageId>,
    pub(super) room: Option<RoomName>,
    pub(super) request: Result<Request>,
}

/// Parses a client's frame; `room` is used for one that names none.
pub(super) fn read(text: &str, room: Option<&RoomName>) -> EnvelopeRequest {
    let refused = |error| EnvelopeRequest {
        id: id_of(text),
        room: None,
        request: Err(error),
    };
    let ClientEnvelope {
        kind,
        id,
        room: named_room,
        data,
        _timestamp: _,
    } = match json::read(text) {
        Ok(frame) => frame,
        Err(error) => return refused(error),
    };
    let (id, named_room) = match (parse_optional(id), parse_optional(named_room)) {
        (Ok(id), Ok(room)) => (id, room),
        (Err(error), _) | (_, Err(error)) => return refused(error),
    };
    let room = named_room.as_ref().or(room);
    let request = request(&kind, id.as_ref(), room, data);
    EnvelopeRequest {
        id,
        room: room.cloned(),
        request,
    }
}

/// The id of a frame that is malformed otherwise, so that its client gets a reply.
fn id_of(text: &str) -> Option<MessageId> {
    #[derive(Deserialize)]
    struct Named {
        id: MessageId,
    }
    serde_json::from_str::<Named>(text)
        .ok()
        .map(|named| named.id)
}

fn request(
    kind: &str,
    id: Option<&MessageId>,
    room: Option<&RoomName>,
    data: Option<&RawValue>,
) -> Result<Request> {
    let empty = to_raw_value(&serde_json::Map::new()).expect("an empty object");
    let name = match kind {
        "text" => return text(id, room, data),
        "event" => "publish",
        "join" | "leave" | "typing" | "presence" | "status" | "history" | "read" | "refresh" => {
            kind
        }
        _ => {
            let message = format!(
                "{kind:?} is no type of frame: expected text, event, join, leave, typing, presence, status, \
                 history, read or refresh"
            );
            return Err(Error::bad_request(message));
        }
    };
    let parsed = requests::parse(name, data.unwrap_or(&empty), room);
    let request = parsed.unwrap_or_else(|| Err(Error::bad_request("this is no request")))?;
    Ok(match request {
        // A stored message takes the frame's id; an ephemeral one has an id only if its data contains one.
        Request::Publish(publish) if !publish.ephemeral => Request::Publish(Publish {
            id: publish.id.or_else(|| id.cloned()),
            ..publish
        }),
        request => request,
    })
}

/// A message. It takes its frame's id, so that sending it again is safe.
fn text(
    id: Option<&MessageId>,
    room: Option<&RoomName>,
    data: Option<&RawValue>,
) -> Result<Request> {
    let room = room.ok_or_else(|| Error::bad_request("room: is missing"))?;
    let data = data.ok_or_else(|| Error::bad_request("data: is missing"))?;
    Ok(Request::Publish(Publish {
        room: room.clone(),
        event: EventName::message(),
        data: data.to_owned().into(),
        id: id.cloned(),
        ephemeral: false,
        echo: true,
    }))
}

#[cfg(test)]
mod tests;
