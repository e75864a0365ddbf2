//! What clients ask by the name of an event and one value, parsed into the hub's own types: the same for every door.
//!
//! A bare string stands for `{ room: <string> }`; a door may know a room for a value that names none. Fields that are not known are
//! ignored: front ends are newer or older than their server, and have fields of their own.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

mod people;

use super::json::{self, Name, named};
use crate::{
    backend::Range,
    error::{Error, Result},
    hub::{History, Join, Publish, Replay, Request},
    model::{EventName, MessageId, Position, RoomName, Seq},
};

/// The events that are requests.
pub(super) const REQUESTS: [&str; 13] = [
    "join",
    "leave",
    "message",
    "publish",
    "history",
    "refresh",
    "presence",
    "status",
    "typing",
    "typing_start",
    "typing_stop",
    "read",
    "signal",
];

/// Reads an event's value; `None` if the event is none of [`REQUESTS`]. `room` is for a value that names none.
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
        "presence" => people::presence,
        "status" => people::status,
        "typing" => people::typing,
        "typing_start" => people::typing_start,
        "typing_stop" => people::typing_stop,
        "read" => people::read_to,
        "signal" => people::signal,
        _ => return None,
    };
    Some(parse(value, room))
}

/// The requests that take a room's name for `{ room }`.
const OF_A_ROOM: [&str; 6] = [
    "join",
    "leave",
    "history",
    "presence",
    "typing_start",
    "typing_stop",
];

/// The room that a request names, for the error that answers it; what other events hold is nobody's room.
pub(super) fn room_of(event: &str, value: &RawValue) -> Option<RoomName> {
    #[derive(Deserialize)]
    struct Named {
        room: Name<RoomName>,
    }
    let room = match is_bare(value) {
        true if OF_A_ROOM.contains(&event) => json::read::<Name<RoomName>>(value.get()).ok()?,
        false if REQUESTS.contains(&event) => json::read::<Named>(value.get()).ok()?.room,
        _ => return None,
    };
    room.get().ok()
}

/// Whether a value is a name alone, or the number that stands for one.
fn is_bare(value: &RawValue) -> bool {
    let start = value.get().bytes().next();
    start.is_some_and(|byte| byte == b'"' || byte.is_ascii_digit())
}

/// The room that a value names, or the one that its door knows.
fn room(named: Option<Name<RoomName>>, known: Option<&RoomName>) -> Result<RoomName> {
    match (named, known) {
        (Some(named), _) => named.get(),
        (None, Some(known)) => Ok(known.clone()),
        (None, None) => Err(Error::bad_request("room: is missing")),
    }
}

/// Reads `{ room, … }`, or a bare name as its room.
fn body<'a, T: Deserialize<'a> + From<Name<RoomName>>>(value: &'a RawValue) -> Result<T> {
    if is_bare(value) {
        return read::<Name<RoomName>>(value).map(T::from);
    }
    read(value)
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T> {
    json::read(value.get())
}

#[derive(Deserialize)]
#[serde(expecting = "a room's name or { room, … }")]
struct RoomBody {
    room: Option<Name<RoomName>>,
}

impl From<Name<RoomName>> for RoomBody {
    fn from(room: Name<RoomName>) -> Self {
        Self { room: Some(room) }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a room's name or { room, since?, history? }")]
struct JoinBody {
    room: Option<Name<RoomName>>,
    since: Option<Position>,
    history: Option<usize>,
}

impl From<Name<RoomName>> for JoinBody {
    fn from(room: Name<RoomName>) -> Self {
        Self {
            room: Some(room),
            since: None,
            history: None,
        }
    }
}

fn join(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: JoinBody = body(value)?;
    Ok(Request::Join(Join {
        room: room(body.room, known)?,
        replay: match (body.since, body.history) {
            (Some(since), otherwise) => Replay::Since(since, otherwise),
            (None, Some(count)) if count > 0 => Replay::Last(count),
            (None, _) => Replay::Nothing,
        },
    }))
}

fn leave(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    Ok(Request::Leave(room(body::<RoomBody>(value)?.room, known)?))
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(expecting = "{ room, data, id?, echo? }")]
struct MessageBody<'a> {
    room: Option<Name<RoomName>>,
    #[serde(borrow)]
    data: &'a RawValue,
    id: Option<Name<MessageId>>,
    #[serde(default = "yes")]
    echo: bool,
}

fn message(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: MessageBody<'_> = read(value)?;
    Ok(Request::Publish(Publish {
        room: room(body.room, known)?,
        event: EventName::message(),
        data: kept(body.data),
        id: named(body.id)?,
        ephemeral: false,
        echo: body.echo,
    }))
}

#[derive(Deserialize)]
#[serde(expecting = "{ room, event, data, id?, ephemeral?, echo? }")]
struct PublishBody<'a> {
    room: Option<Name<RoomName>>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
    id: Option<Name<MessageId>>,
    #[serde(default)]
    ephemeral: bool,
    #[serde(default = "yes")]
    echo: bool,
}

fn publish(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: PublishBody<'_> = read(value)?;
    Ok(Request::Publish(Publish {
        room: room(body.room, known)?,
        event: EventName::parse_sent(&body.event)?,
        data: kept(body.data),
        id: named(body.id)?,
        ephemeral: body.ephemeral,
        echo: body.echo,
    }))
}

/// A copy of its own: the packet's text may be a slice of a larger buffer.
fn kept(data: &RawValue) -> Arc<RawValue> {
    data.to_owned().into()
}

#[derive(Deserialize)]
#[serde(expecting = "a room's name or { room, before? | after?, limit? }")]
struct HistoryBody {
    room: Option<Name<RoomName>>,
    before: Option<Seq>,
    after: Option<Seq>,
    limit: Option<usize>,
}

impl From<Name<RoomName>> for HistoryBody {
    fn from(room: Name<RoomName>) -> Self {
        Self {
            room: Some(room),
            before: None,
            after: None,
            limit: None,
        }
    }
}

fn history(value: &RawValue, known: Option<&RoomName>) -> Result<Request> {
    let body: HistoryBody = body(value)?;
    let range = Range::of(body.before, body.after)?;
    Ok(Request::History(History {
        room: room(body.room, known)?,
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
    Ok(Request::Refresh(read::<RefreshBody>(value)?.token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Code, hub::To};

    fn parse(event: &str, value: &str) -> Result<Request> {
        let value: Box<RawValue> = serde_json::from_str(value).unwrap();
        super::parse(event, &value, None).expect("a request")
    }

    #[test]
    fn a_bare_string_is_a_room() {
        assert!(matches!(parse("join", "\"lobby\""), Ok(Request::Join(join))
            if join.room.as_str() == "lobby" && join.replay == Replay::Nothing));
        assert!(
            matches!(parse("leave", "\"lobby\""), Ok(Request::Leave(room)) if room.as_str() == "lobby")
        );
        assert!(
            matches!(parse("history", "\"lobby\""), Ok(Request::History(history))
            if history.range == Range::Last)
        );
    }

    #[test]
    fn a_position_comes_as_text_or_as_an_object() {
        for since in [r#""abc:7""#, r#"{"epoch":"abc","seq":7}"#] {
            let request = parse("join", &format!(r#"{{"room":"r","since":{since}}}"#)).unwrap();
            assert!(
                matches!(request, Request::Join(Join { replay: Replay::Since(position, None), .. })
                if position.to_string() == "abc:7")
            );
        }
    }

    #[test]
    fn data_is_whatever_json_it_was_even_null() {
        for data in [
            "null",
            "12345678901234567890",
            "1.0",
            r#"{"b":1,"a":2}"#,
            r#""\u0000""#,
        ] {
            let request = parse("message", &format!(r#"{{"room":"r","data":{data}}}"#)).unwrap();
            assert!(matches!(request, Request::Publish(publish) if publish.data.get() == data));
        }
    }

    #[test]
    fn names_may_be_written_with_any_escapes() {
        let escaped = |text: &str| {
            let units = text.encode_utf16();
            let escapes: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{escapes}\"")
        };
        let (room, event, id) = (escaped("größe"), escaped("a\"b/😀"), escaped("m-1"));
        let text = format!(r#"{{"room":{room},"event":{event},"data":1,"id":{id}}}"#);
        let Ok(Request::Publish(publish)) = parse("publish", &text) else {
            panic!("{text} is refused");
        };
        assert_eq!(publish.room.as_str(), "größe");
        assert_eq!(publish.event.as_str(), "a\"b/😀");
        assert_eq!(publish.id.unwrap().as_str(), "m-1");
        assert!(
            matches!(parse("join", &room), Ok(Request::Join(join)) if join.room.as_str() == "größe")
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_a_place_in_a_text_nobody_saw() {
        for (event, value, part) in [
            ("join", "[]", "a room's name or { room, since?, history? }"),
            ("join", r#"{"room":"a b"}"#, "white space"),
            ("join", r#"{"room":"r","since":7}"#, "since: \"epoch:seq\""),
            ("join", r#"{"room":"r","history":-1}"#, "history: a whole"),
            ("message", r#"{"room":"r"}"#, "data: is missing"),
            (
                "message",
                r#"{"room":"r","data":1,"id":[]}"#,
                "id: a string",
            ),
            (
                "publish",
                r#"{"room":"r","event":"session","data":1}"#,
                "reserved",
            ),
            (
                "history",
                r#"{"room":"r","before":1,"after":2}"#,
                "not both",
            ),
            ("refresh", r#"{"token":null}"#, "token: a string"),
        ] {
            let error = parse(event, value).expect_err(value);
            assert_eq!(error.code(), Code::BadRequest);
            assert!(error.message().contains(part), "{}", error.message());
            assert!(!error.message().contains("line"), "{}", error.message());
        }
    }

    #[test]
    fn numbers_are_ids_and_fields_of_the_application_are_passed_over() {
        let room = |request| match request {
            Ok(Request::Join(join)) => join.room.as_str().to_owned(),
            _ => panic!("a join"),
        };
        for value in [
            "7",
            r#"{"room":7}"#,
            r#"{"room":"7","trace":{"of":"ours"}}"#,
        ] {
            assert_eq!(room(parse("join", value)), "7", "{value}");
        }
        let Ok(Request::Publish(message)) = parse("message", r#"{"room":7,"data":1,"id":12345}"#)
        else {
            panic!("a message");
        };
        assert_eq!(
            (message.room.as_str(), message.id.unwrap().as_str()),
            ("7", "12345")
        );
        let signal = parse("signal", r#"{"to":{"user":7},"event":"e","data":1}"#);
        assert!(
            matches!(signal, Ok(Request::Signal(signal)) if matches!(&signal.to, To::User(user) if user.as_str() == "7"))
        );
    }

    #[test]
    fn an_error_names_a_room_only_where_the_request_does() {
        for (event, value, room) in [
            ("join", "\"lobby\"", Some("lobby")),
            ("join", "7", Some("7")),
            ("message", r#"{"room":"lobby"}"#, Some("lobby")),
            ("message", r#"{"room":"lobby","data":[1,2]}"#, Some("lobby")),
            ("join", "\"a b\"", None),
            ("join", r#"{"room":"a b"}"#, None),
            // A text, a status, a token: of these events a string alone is no room.
            ("message", "\"hello\"", None),
            ("status", "\"away\"", None),
            ("refresh", "\"secret\"", None),
            ("chat message", "\"hello\"", None),
            ("chat message", r#"{"room":"lobby"}"#, None),
        ] {
            let value: Box<RawValue> = serde_json::from_str(value).unwrap();
            let named = room_of(event, &value);
            assert_eq!(
                named.as_ref().map(RoomName::as_str),
                room,
                "{event} {value}"
            );
        }
    }

    #[test]
    fn every_request_has_its_name() {
        for event in REQUESTS {
            assert!(
                super::parse(event, RawValue::NULL, None).is_some(),
                "{event}"
            );
        }
    }
}
