//! Requests about users: presence, status, typing, read markers, signals.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RoomBody, own_copy, parse_body, parse_value, resolve_room};
use crate::{
    error::{Error, Result},
    http::json::{StringOrNumber, parse_optional},
    hub::{PresenceRequest, Request, SetStatus, Signal, SignalTarget},
    model::{MAX_EVENT_BYTES, RoomName, Seq, UserId},
};

#[derive(Deserialize)]
#[serde(expecting = "{ status, info? }")]
struct StatusBody {
    status: String,
    info: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a room's name or { room, limit?, after? }")]
struct PresenceBody {
    room: Option<StringOrNumber<RoomName>>,
    limit: Option<usize>,
    after: Option<StringOrNumber<UserId>>,
}

impl From<StringOrNumber<RoomName>> for PresenceBody {
    fn from(room: StringOrNumber<RoomName>) -> Self {
        Self {
            room: Some(room),
            limit: None,
            after: None,
        }
    }
}

pub(super) fn presence(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: PresenceBody = parse_body(value)?;
    Ok(Request::Presence(PresenceRequest {
        room: resolve_room(body.room, known)?,
        limit: body.limit,
        after: parse_optional(body.after)?,
    }))
}

pub(super) fn status(value: &RawValue, _: Option<&RoomName>) -> Result<Request> {
    let body: StatusBody = parse_value(value)?;
    Ok(Request::Status(SetStatus {
        status: body.status,
        info: body.info,
    }))
}

#[derive(Deserialize)]
#[serde(expecting = "{ room, typing }")]
struct TypingBody {
    room: Option<StringOrNumber<RoomName>>,
    typing: bool,
}

pub(super) fn typing(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: TypingBody = parse_value(value)?;
    Ok(Request::Typing(
        resolve_room(body.room, known)?,
        body.typing,
    ))
}

pub(super) fn typing_start(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    Ok(Request::Typing(
        resolve_room(parse_body::<RoomBody>(value)?.room, known)?,
        true,
    ))
}

pub(super) fn typing_stop(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    Ok(Request::Typing(
        resolve_room(parse_body::<RoomBody>(value)?.room, known)?,
        false,
    ))
}

#[derive(Deserialize)]
#[serde(expecting = "{ room, seq }")]
struct ReadBody {
    room: Option<StringOrNumber<RoomName>>,
    seq: Seq,
}

pub(super) fn read_to(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: ReadBody = parse_value(value)?;
    Ok(Request::Read(resolve_room(body.room, known)?, body.seq))
}

#[derive(Deserialize)]
#[serde(expecting = "{ to, event, data, timeout_ms? }")]
struct SignalBody<'a> {
    to: ToBody,
    event: String,
    #[serde(borrow)]
    data: &'a RawValue,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(expecting = "{ user } or { connection }")]
struct ToBody {
    user: Option<StringOrNumber<UserId>>,
    connection: Option<String>,
}

pub(super) fn signal(value: &RawValue, _: Option<&RoomName>) -> Result<Request> {
    let body: SignalBody<'_> = parse_value(value)?;
    let to = match (parse_optional(body.to.user)?, body.to.connection) {
        (Some(user), None) => SignalTarget::User(user),
        // Ids are opaque to clients; one that cannot be parsed belongs to nobody.
        (None, Some(id)) => id
            .parse()
            .map_or(SignalTarget::Nobody, SignalTarget::Connection),
        _ => {
            return Err(Error::bad_request(
                "a signal goes to { user } or to { connection }, one of them",
            ));
        }
    };
    if body.event.is_empty() || body.event.len() > MAX_EVENT_BYTES {
        return Err(Error::bad_request(format!(
            "the event of a signal has 1 to {MAX_EVENT_BYTES} bytes"
        )));
    }
    Ok(Request::Signal(Signal {
        to,
        event: body.event,
        data: own_copy(body.data),
        timeout: body.timeout_ms.map(Duration::from_millis),
    }))
}
