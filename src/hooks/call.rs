//! What an endpoint is asked: the body of a call.

use std::{collections::BTreeMap, net::IpAddr};

use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    auth::Principal,
    limits::Holder,
    model::{ConnectionId, Namespace, RoomName, Timestamp, UserId},
    traces::TraceParent,
};

/// Who a call is about.
pub(crate) struct CallSubject<'a> {
    pub(crate) namespace: &'a Namespace,
    /// `None`: a request without a connection.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) principal: &'a Principal,
    /// Among whose calls it counts.
    pub(crate) client: Holder,
    /// What the application keeps with the connection.
    pub(crate) state: Option<&'a RawValue>,
    /// The rooms that it is in, without the personal room.
    pub(crate) rooms: Vec<RoomName>,
}

/// What a call is about.
pub(crate) enum CallTopic<'a> {
    /// A client's event. `args` encodes its arguments, a JSON array, once the call has its place.
    Event {
        event: &'a str,
        args: &'a (dyn Fn() -> String + Sync),
    },
    /// A client connects.
    Connect(&'a ClientFacts<'a>),
    /// It joins a room.
    Join(&'a RoomName),
    /// It publishes an event to a room.
    Publish {
        room: &'a RoomName,
        event: &'a str,
        data: &'a RawValue,
    },
}

/// What is known of a client that connects, besides its identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientFacts<'a> {
    /// The `auth` payload of its CONNECT.
    pub(crate) auth: Option<&'a RawValue>,
    /// The headers of its request, as far as its page is trusted.
    pub(crate) headers: HeaderMap,
    /// Its address.
    pub(crate) ip: Option<IpAddr>,
    /// The `traceparent` of its request.
    pub(crate) trace: TraceParent,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    id: &'a str,
    ts: Timestamp,
    namespace: &'a Namespace,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionId>,
    node: &'a str,
    user: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a RawValue>,
    rooms: &'a [RoomName],
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a RoomName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<&'a str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
}

/// Encodes a call; `headers` are those that the endpoint is told.
pub(super) fn encode(
    (id, ts, node): (&str, Timestamp, &str),
    subject: &CallSubject<'_>,
    matter: &CallTopic<'_>,
    headers: &[HeaderName],
) -> Vec<u8> {
    let principal = subject.principal;
    let mut body = Body {
        r#type: matter.name(),
        id,
        ts,
        namespace: subject.namespace,
        connection: subject.connection,
        node,
        user: &principal.user,
        name: principal.name.as_deref(),
        info: principal.info.as_deref(),
        state: subject.state,
        rooms: &subject.rooms,
        room: None,
        event: None,
        data: None,
        auth: None,
        headers: None,
        ip: None,
    };
    let mut arguments = None;
    match matter {
        CallTopic::Event { event, args } => {
            body.event = Some(event);
            arguments = Some(args());
        }
        CallTopic::Connect(facts) => {
            body.auth = facts.auth;
            body.headers = Some(chosen(&facts.headers, headers));
            body.ip = facts.ip;
        }
        CallTopic::Join(room) => body.room = Some(room),
        CallTopic::Publish { room, event, data } => {
            body.room = Some(room);
            body.event = Some(event);
            body.data = Some(data);
        }
    }
    let mut text =
        serde_json::to_vec(&body).expect("strings, numbers and raw JSON always serialize");
    if let Some(arguments) = arguments {
        // They are JSON already, and may be large.
        text.pop();
        text.extend_from_slice(b",\"args\":");
        text.extend_from_slice(arguments.as_bytes());
        text.push(b'}');
    }
    text
}

impl CallTopic<'_> {
    /// The word for it, a call's `type`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Connect(_) => "connect",
            Self::Join(_) => "join",
            Self::Publish { .. } => "publish",
        }
    }
}

/// The headers that an endpoint is told. What is no UTF-8 is left out; several of one name are one with commas.
fn chosen<'a>(headers: &HeaderMap, names: &'a [HeaderName]) -> BTreeMap<&'a str, String> {
    let value = |name: &'a HeaderName| {
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| (name.as_str(), values.join(", ")))
    };
    names.iter().filter_map(value).collect()
}
