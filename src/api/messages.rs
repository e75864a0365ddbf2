//! Messages: sending to a room, and reading what was sent.

use std::time::Instant;

use axum::{Extension, Json, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    access::only_back_ends,
    params::{AnyNumber, Bounded, GivenId, GivenUser, InRoom},
    schema,
    settling::{Sending, Settling},
};
use crate::{
    auth::parse_name,
    backend::Range,
    error::Result,
    http::{
        body::JsonBody,
        json::parse_optional,
        params::{PathParams, QueryParams},
    },
    hub::{Caller, HistoryPage, HistoryRequest, Publish, Visitor},
    model::{EventName, Sender, Seq},
};

/// What to send to a room.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ data, event?, id?, from?, ephemeral? }")]
#[schema(example = json!({ "data": { "text": "hello" } }))]
pub(super) struct NewMessage {
    /// Any JSON; it is kept and delivered byte for byte.
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
    /// The name it is delivered under, `message` if not given. Names that the server itself uses are refused.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$",
        example = "message"
    )]
    event: Option<String>,
    /// Your own id for it: the same id again in the same room is the same message.
    id: Option<GivenId>,
    /// Whom members see as the sender; takes an API key. Without it a back end's message is from nobody.
    from: Option<SentBy>,
    /// Passed on to whoever is there, neither numbered nor kept. Takes an event of another name than `message`.
    #[serde(default)]
    ephemeral: bool,
}

/// In whose name a back end sends: a user's id, or that and a name to show.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "a user's id or { user, name? } is expected")]
pub(super) enum SentBy {
    /// A user's id.
    User(GivenUser),
    /// A user's id and the name to show.
    Sender(NamedSender),
}

/// A user's id and the name to show.
#[derive(Deserialize, ToSchema)]
pub(super) struct NamedSender {
    /// The user.
    user: GivenUser,
    /// The name to show, in at most 128 bytes.
    #[schema(max_length = 128, example = "Alice")]
    name: Option<String>,
}

impl SentBy {
    fn sender(self) -> Result<Sender> {
        let (user, name) = match self {
            SentBy::User(user) => (user, None),
            SentBy::Sender(NamedSender { user, name }) => (user, name),
        };
        let name = name.as_deref().map(parse_name).transpose()?.flatten();
        Ok(Sender {
            user: user.get()?,
            name,
        })
    }
}

/// Send a message to a room.
///
/// Answered once it is stored. Members get it in the order of its number, whatever door they use.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/messages",
    operation_id = "send_message",
    tag = "messages",
    params(InRoom),
    request_body = NewMessage,
    responses(
        (status = 201, description = "Stored.", body = schema::Sent),
        (status = 200, description = "The room has a message of this id already: nothing was stored.", body = schema::Sent),
        (status = 202, description = "Passed on: it is ephemeral.", body = schema::Passed),
    )
)]
pub(super) async fn send(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    settling: Settling,
    PathParams(InRoom { room }): PathParams<InRoom>,
    JsonBody(message): JsonBody<NewMessage>,
) -> Result<Response> {
    let event = match message.event.as_deref() {
        None => EventName::message(),
        Some(name) => EventName::parse_sent(name)?,
    };
    let publish = Publish {
        room,
        event,
        data: message.data.into(),
        id: parse_optional(message.id)?,
        ephemeral: message.ephemeral,
        echo: true,
    };
    let sending = publish_for(&api, &visitor, publish, message.from).await?;
    settling.answer(sending).await
}

/// Sends in the name of whoever calls, or of whom a back end names.
pub(super) async fn publish_for(
    api: &Api,
    visitor: &Visitor,
    publish: Publish,
    from: Option<SentBy>,
) -> Result<Sending> {
    let room = publish.room.clone();
    let publishing = match from {
        None => api.hub.publish(visitor, publish).await?,
        Some(from) => {
            only_back_ends(visitor)?;
            let sender = Some(from.sender()?);
            let namespace = visitor.namespace();
            api.hub.publish_as(namespace, publish, sender).await?
        }
    };
    Ok(Sending { room, publishing })
}

/// Which messages.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Those after this number, oldest first.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991u64)]
    after: Option<AnyNumber>,
    /// The last ones before this number.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991u64)]
    before: Option<AnyNumber>,
    /// At most so many; the server's own limit is `history.page`.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 10000, example = 100)]
    limit: Option<Bounded<1, 10_000>>,
}

/// The messages, and where to go on.
#[derive(Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    page: HistoryPage,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Seq>,
}

/// Read a part of a room's log.
///
/// The last messages, or those after or before a number; not both.
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/messages",
    operation_id = "list_messages",
    tag = "messages",
    params(InRoom, Part),
    responses((status = 200, description = "The messages, oldest first.", body = schema::History))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    PathParams(InRoom { room }): PathParams<InRoom>,
    QueryParams(part): QueryParams<Part>,
) -> Result<Json<Answer>> {
    let number = |given: Option<AnyNumber>| given.map(|given| Seq(given.get()));
    let range = Range::of(number(part.before), number(part.after))?;
    let limit = part.limit.map(Bounded::count);
    api.hub.take_non_member_permit(&visitor, Instant::now())?;
    let request = HistoryRequest { room, range, limit };
    let page = api.hub.history(&visitor, request).await?;
    let edge = match range {
        Range::After(_) => page.messages.last(),
        Range::Before(_) | Range::Last => page.messages.first(),
    };
    let next = edge.filter(|_| page.more).map(|message| message.seq);
    Ok(Json(Answer { page, next }))
}
