//! Users: looking one up, notifying it, and closing its connections.

use axum::{Extension, Json, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Api,
    access::require_api_key,
    messages::{SentBy, publish_for},
    params::{MessageIdParam, UserPath},
    pending_publish::PublishResponder,
    schema,
};
use crate::{
    error::{Error, Result},
    http::{body::JsonBody, json::parse_optional, params::PathParams},
    hub::{Caller, Publish, StatelessCaller, UserSummary},
    model::{EventName, RoomName, UserId},
};

/// Look at a user.
///
/// Requires an API key, or the user's own token.
#[utoipa::path(
    get,
    path = "/v1/users/{user}",
    operation_id = "get_user",
    tag = "users",
    params(UserPath),
    responses((status = 200, description = "What is known about it; an unknown user is offline.", body = schema::UserStateSchema))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(UserPath { user }): PathParams<UserPath>,
) -> Result<Json<UserSummary>> {
    if caller.identity().is_some_and(|own| own.user != user) {
        return Err(Error::forbidden(
            "a user may look at itself; others require an API key",
        ));
    }
    api.hub.user(&user).await.map(Json)
}

/// A notification for a user.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ data, id?, from? }")]
#[schema(example = json!({ "data": { "title": "Your order is on its way" } }))]
pub(super) struct Notification {
    /// Any JSON; it is stored and delivered byte for byte.
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
    /// Your own id for it: the same id again for the same user is the same notification.
    id: Option<MessageIdParam>,
    /// The sender that the user sees; requires an API key.
    from: Option<SentBy>,
}

/// Notify a user, online or not.
///
/// All its connections get the event `notification`; it is stored in the room `user:<id>`, where the user can read it later.
/// Requires an API key, or the `publish` grant in that room.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/notifications",
    operation_id = "notify_user",
    tag = "users",
    params(UserPath),
    request_body = Notification,
    responses(
        (status = 201, description = "Stored.", body = schema::SentSchema),
        (status = 200, description = "The user has a notification of this id already.", body = schema::SentSchema),
    )
)]
pub(super) async fn notify(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    responder: PublishResponder,
    PathParams(UserPath { user }): PathParams<UserPath>,
    JsonBody(notification): JsonBody<Notification>,
) -> Result<Response> {
    let publish = Publish {
        room: RoomName::personal(&user),
        event: EventName::notification(),
        data: notification.data.into(),
        id: parse_optional(notification.id)?,
        ephemeral: false,
        echo: true,
    };
    let pending = publish_for(&api, &caller, publish, notification.from).await?;
    responder.respond(pending).await
}

/// Result of closing a user's connections.
#[derive(Serialize)]
pub(super) struct DisconnectResponse {
    user: UserId,
    connections: usize,
}

/// Close a user's connections.
///
/// Its clients do not reconnect by themselves and cannot resume their sessions; it may connect again as long as its token is
/// valid. Requires an API key.
#[utoipa::path(
    delete,
    path = "/v1/users/{user}/connections",
    operation_id = "disconnect_user",
    tag = "users",
    params(UserPath),
    responses((status = 200, description = "They are being closed.", body = schema::DisconnectedSchema))
)]
pub(super) async fn disconnect(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(UserPath { user }): PathParams<UserPath>,
) -> Result<Json<DisconnectResponse>> {
    require_api_key(&caller)?;
    let connections = api.hub.disconnect_user(&user).await?;
    Ok(Json(DisconnectResponse { user, connections }))
}
