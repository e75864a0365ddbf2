//! Reading a room along, as a stream: for operators and back ends that want to see what happens, without being members.

use axum::{Extension, extract::State, response::Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use utoipa::IntoParams;

use super::{
    Api,
    access::{Operator, require_api_key},
    event_stream::{self, EventSource},
    params::{Bounded, RoomPath},
};
use crate::{
    error::Result,
    http::params::{PathParams, QueryParams},
    hub::{Event, OutgoingEvent, RoomTail, StatelessCaller, TailEvent},
    model::Sender,
};

/// Query of a tail.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TailQuery {
    /// How many of the last messages come first.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 1000, default = 0)]
    history: Option<Bounded<0, 1000>>,
}

/// Read a room along.
///
/// Server-Sent Events: `message` for each stored message, the last `history` of them first; `event` for what is not stored; `skipped`
/// where the reader was too slow. The reader is no member: nobody sees it. Requires an API key.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/tail",
    operation_id = "tail_room",
    tag = "rooms",
    params(RoomPath, TailQuery),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn tail(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    operator: Option<Extension<Operator>>,
    PathParams(RoomPath { room }): PathParams<RoomPath>,
    QueryParams(query): QueryParams<TailQuery>,
) -> Result<Response> {
    require_api_key(&caller)?;
    let place = event_stream::reserve(&api)?;
    let history = query.history.map_or(0, Bounded::count);
    let tail = api.hub.tail(&caller, &room, history).await?;
    let stream = TailStream {
        api: api.clone(),
        tail,
    };
    Ok(event_stream::respond(&api, place, operator, stream))
}

struct TailStream {
    api: Api,
    tail: RoomTail,
}

impl EventSource for TailStream {
    async fn next(&mut self) -> Option<Bytes> {
        let next = tokio::select! {
            next = self.tail.next() => next?,
            () = self.api.stopped() => return None,
        };
        Some(match next {
            TailEvent::Message(message) => event_stream::event("message", None, &message),
            TailEvent::Event(event) => event_stream::event("event", None, &Ephemeral::of(&event)),
            TailEvent::Skipped(events) => {
                event_stream::event("skipped", None, &json!({ "events": events }))
            }
        })
    }
}

/// An event that is not stored. Binary arguments are placeholders, as in Socket.IO's packets.
#[derive(Serialize)]
struct Ephemeral<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a Sender>,
    /// Its only argument, or all of them.
    data: EventData<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EventData<'a> {
    One(&'a RawValue),
    All(&'a [Box<RawValue>]),
}

impl<'a> Ephemeral<'a> {
    fn of(event: &'a OutgoingEvent) -> Self {
        if let Event::Ephemeral(ephemeral) = event.event() {
            return Self {
                event: ephemeral.event.as_str(),
                from: ephemeral.from.as_ref(),
                data: EventData::One(&ephemeral.data),
            };
        }
        let arguments = event.arguments();
        let data = match &arguments.values[..] {
            [only] => EventData::One(only),
            all => EventData::All(all),
        };
        Self {
            event: &arguments.name,
            from: None,
            data,
        }
    }
}
