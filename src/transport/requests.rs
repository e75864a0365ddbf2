//! Client requests, an event name with one JSON value, parsed into the hub's types: the same for every transport.
//!
//! A bare string stands for `{ room: <string> }`; a transport may supply the room for a value that names none. Unknown fields are
//! ignored: clients may be newer or older than the server, and have fields of their own.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

mod users;

use crate::{
    backend::Range,
    error::{Error, Result},
    events::CONTRACT_EVENTS,
    http::json::{self, StringOrNumber, parse_optional},
    hub::{HistoryRequest, Join, Publish, Replay, Request},
    model::{EventName, MessageId, Position, RoomName, Seq},
};

/// Parses an event's value; `None` if the event is none of [`CONTRACT_EVENTS`]. `room` is used for a value that names none.
pub(super) fn parse(
    event: &str,
    value: &RawValue,
    room: Option<&RoomName>,
) -> Option<Result<Request>> {
    let parse = match event {
        "join" => join,
        "leave" => leave,
        "message" => message,
        "publish" => publish,
        "history" => history,
        "refresh" => refresh,
        "presence" => users::presence,
        "status" => users::status,
        "typing" => users::typing,
        "typing_start" => users::typing_start,
        "typing_stop" => users::typing_stop,
        "read" => users::read_to,
        "signal" => users::signal,
        _ => return None,
    };
    Some(parse(value, room))
}

/// The requests that accept a room's name instead of `{ room }`.
const EVENTS_WITH_BARE_ROOM: [&str; 6] = [
    "join",
    "leave",
    "history",
    "presence",
    "typing_start",
    "typing_stop",
];

/// The room that a request names, for its error reply; `None` for other events.
pub(super) fn named_room(event: &str, value: &RawValue) -> Option<RoomName> {
    #[derive(Deserialize)]
    struct Named {
        room: StringOrNumber<RoomName>,
    }
    let room = match is_bare(value) {
        true if EVENTS_WITH_BARE_ROOM.contains(&event) => {
            json::read::<StringOrNumber<RoomName>>(value.get()).ok()?
        }
        false if CONTRACT_EVENTS.contains(&event) => json::read::<Named>(value.get()).ok()?.room,
        _ => return None,
    };
    room.get().ok()
}

/// Whether a value is just a name, or a number that stands for one.
fn is_bare(value: &RawValue) -> bool {
    let start = value.get().bytes().next();
    start.is_some_and(|byte| byte == b'"' || byte.is_ascii_digit())
}

/// The room that a value names, or else the one its transport supplies.
fn resolve_room(
    named: Option<StringOrNumber<RoomName>>,
    known: Option<&RoomName>,
) -> Result<RoomName> {
    match (named, known) {
        (Some(named), _) => named.get(),
        (None, Some(known)) => Ok(known.clone()),
        (None, None) => Err(Error::bad_request("room: is missing")),
    }
}

/// Parses `{ room, … }`, or a bare name as its room.
fn parse_body<'a, T: Deserialize<'a> + From<StringOrNumber<RoomName>>>(
    value: &'a RawValue,
) -> Result<T> {
    if is_bare(value) {
        return parse_value::<StringOrNumber<RoomName>>(value).map(T::from);
    }
    parse_value(value)
}

fn parse_value<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T> {
    json::read(value.get())
}

#[derive(Deserialize)]
#[serde(expecting = "a room's name or { room, … }")]
struct RoomBody {
    room: Option<StringOrNumber<RoomName>>,
}

impl From<StringOrNumber<RoomName>> for RoomBody {
    fn from(room: StringOrNumber<RoomName>) -> Self {
        Self { room: Some(room) }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a room's name or { room, since?, history? }")]
struct JoinBody {
    room: Option<StringOrNumber<RoomName>>,
    since: Option<Position>,
    history: Option<usize>,
}

impl From<StringOrNumber<RoomName>> for JoinBody {
    fn from(room: StringOrNumber<RoomName>) -> Self {
        Self {
            room: Some(room),
            since: None,
            history: None,
        }
    }
}

fn join(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: JoinBody = parse_body(value)?;
    Ok(Request::Join(Join {
        room: resolve_room(body.room, known)?,
        replay: match (body.since, body.history) {
            (Some(since), otherwise) => Replay::Since(since, otherwise),
            (None, Some(count)) if count > 0 => Replay::Last(count),
            (None, _) => Replay::Nothing,
        },
    }))
}

fn leave(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    Ok(Request::Leave(resolve_room(
        parse_body::<RoomBody>(value)?.room,
        known,
    )?))
}

fn default_true() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(expecting = "{ room, data, id?, echo? }")]
struct MessageBody<'a> {
    room: Option<StringOrNumber<RoomName>>,
    #[serde(borrow)]
    data: &'a RawValue,
    id: Option<StringOrNumber<MessageId>>,
    #[serde(default = "default_true")]
    echo: bool,
}

fn message(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: MessageBody<'_> = parse_value(value)?;
    Ok(Request::Publish(Publish {
        room: resolve_room(body.room, known)?,
        event: EventName::message(),
        data: own_copy(body.data),
        id: parse_optional(body.id)?,
        ephemeral: false,
        echo: body.echo,
    }))
}

#[derive(Deserialize)]
#[serde(expecting = "{ room, event, data, id?, ephemeral?, echo? }")]
struct PublishBody<'a> {
    room: Option<StringOrNumber<RoomName>>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
    id: Option<StringOrNumber<MessageId>>,
    #[serde(default)]
    ephemeral: bool,
    #[serde(default = "default_true")]
    echo: bool,
}

fn publish(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: PublishBody<'_> = parse_value(value)?;
    Ok(Request::Publish(Publish {
        room: resolve_room(body.room, known)?,
        event: EventName::parse_sent(&body.event)?,
        data: own_copy(body.data),
        id: parse_optional(body.id)?,
        ephemeral: body.ephemeral,
        echo: body.echo,
    }))
}

/// Copies the data: the packet's text may be a slice of a larger buffer.
fn own_copy(data: &RawValue) -> Arc<RawValue> {
    data.to_owned().into()
}

#[derive(Deserialize)]
#[serde(expecting = "a room's name or { room, before? | after?, limit? }")]
struct HistoryBody {
    room: Option<StringOrNumber<RoomName>>,
    before: Option<Seq>,
    after: Option<Seq>,
    limit: Option<usize>,
}

impl From<StringOrNumber<RoomName>> for HistoryBody {
    fn from(room: StringOrNumber<RoomName>) -> Self {
        Self {
            room: Some(room),
            before: None,
            after: None,
            limit: None,
        }
    }
}

fn history(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: HistoryBody = parse_body(value)?;
    let range = Range::of(body.before, body.after)?;
    Ok(Request::History(HistoryRequest {
        room: resolve_room(body.room, known)?,
        range,
        limit: body.limit,
    }))
}

#[derive(Deserialize)]
#[serde(expecting = "{ token }")]
struct RefreshBody {
    token: String,
}

fn refresh(value: &RawValue, _: Option<&RoomName>) -> Result<Request> {
    Ok(Request::Refresh(parse_value::<RefreshBody>(value)?.token))
}

#[cfg(test)]
mod tests;
