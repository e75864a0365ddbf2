//! Messages: sending to a room, and reading its history.

use std::time::Instant;

use axum::{Extension, Json, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    access::require_api_key,
    params::{Bounded, MessageIdParam, RoomPath, SafeInteger, UserIdParam},
    pending_publish::{PendingPublish, PublishResponder},
    schema,
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
    hub::{Caller, HistoryPage, HistoryRequest, Publish, StatelessCaller},
    model::{EventName, Sender, Seq},
};

/// What to send to a room.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ data, event?, id?, from?, ephemeral? }")]
#[schema(example = json!({ "data": { "text": "hello" } }))]
pub(super) struct NewMessage {
    /// Any JSON; it is stored and delivered byte for byte.
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
    id: Option<MessageIdParam>,
    /// The sender that members see; requires an API key. Without it a back end's message is from nobody.
    from: Option<SentBy>,
    /// Delivered to the current members only, without a number, and not stored. Needs an event name other than `message`.
    #[serde(default)]
    ephemeral: bool,
}

/// The user in whose name a back end sends: an id, or an id and a name to show.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "a user's id or { user, name? } is expected")]
pub(super) enum SentBy {
    /// A user's id.
    User(UserIdParam),
    /// A user's id and the name to show.
    Sender(NamedSender),
}

/// A user's id and the name to show.
#[derive(Deserialize, ToSchema)]
pub(super) struct NamedSender {
    /// The user.
    user: UserIdParam,
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
/// The response comes once it is stored. Members get it in the order of its number, on every transport.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/messages",
    operation_id = "send_message",
    tag = "messages",
    params(RoomPath),
    request_body = NewMessage,
    responses(
        (status = 201, description = "Stored.", body = schema::SentSchema),
        (status = 200, description = "The room has a message of this id already: nothing was stored.", body = schema::SentSchema),
        (status = 202, description = "Delivered, not stored: it is ephemeral.", body = schema::PassedSchema),
    )
)]
pub(super) async fn send(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    responder: PublishResponder,
    PathParams(RoomPath { room }): PathParams<RoomPath>,
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
    let pending = publish_for(&api, &caller, publish, message.from).await?;
    responder.respond(pending).await
}

/// Publishes in the name of the caller, or of the user that a back end names.
pub(super) async fn publish_for(
    api: &Api,
    caller: &StatelessCaller,
    publish: Publish,
    from: Option<SentBy>,
) -> Result<PendingPublish> {
    let room = publish.room.clone();
    let publishing = match from {
        None => api.hub.publish(caller, publish).await?,
        Some(from) => {
            require_api_key(caller)?;
            let sender = Some(from.sender()?);
            let namespace = caller.namespace();
            api.hub.publish_as(namespace, publish, sender).await?
        }
    };
    Ok(PendingPublish { room, publishing })
}

/// Query of a message list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// Those after this number, oldest first.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991u64)]
    after: Option<SafeInteger>,
    /// The last ones before this number.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991u64)]
    before: Option<SafeInteger>,
    /// At most so many; the server's own limit is `history.page`.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 10000, example = 100)]
    limit: Option<Bounded<1, 10_000>>,
}

/// A page of messages, and where the next one begins.
#[derive(Serialize)]
pub(super) struct MessagesPage {
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
    params(RoomPath, MessagesQuery),
    responses((status = 200, description = "The messages, oldest first.", body = schema::HistorySchema))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(RoomPath { room }): PathParams<RoomPath>,
    QueryParams(query): QueryParams<MessagesQuery>,
) -> Result<Json<MessagesPage>> {
    let number = |given: Option<SafeInteger>| given.map(|given| Seq(given.get()));
    let range = Range::of(number(query.before), number(query.after))?;
    let limit = query.limit.map(Bounded::count);
    api.hub.take_non_member_permit(&caller, Instant::now())?;
    let request = HistoryRequest { room, range, limit };
    let page = api.hub.history(&caller, request).await?;
    let edge = match range {
        Range::After(_) => page.messages.last(),
        Range::Before(_) | Range::Last => page.messages.first(),
    };
    let next = edge.filter(|_| page.more).map(|message| message.seq);
    Ok(Json(MessagesPage { page, next }))
}
