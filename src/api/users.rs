//! Users: what is known of one, notifying one, and ending its connections.

use axum::{Extension, Json, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Api,
    access::only_back_ends,
    messages::{SentBy, publish_for},
    params::{GivenId, OfUser},
    schema,
    settling::Settling,
};
use crate::{
    error::{Error, Result},
    http::{body::JsonBody, json::parse_optional, params::PathParams},
    hub::{Caller, Publish, UserSummary, Visitor},
    model::{EventName, RoomName, UserId},
};

/// Look at a user.
///
/// Takes an API key, or the user's own token.
#[utoipa::path(
    get,
    path = "/v1/users/{user}",
    operation_id = "get_user",
    tag = "users",
    params(OfUser),
    responses((status = 200, description = "What is known of it; of one that was never here, nothing.", body = schema::UserState))
)]
pub(super) async fn show(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    PathParams(OfUser { user }): PathParams<OfUser>,
) -> Result<Json<UserSummary>> {
    if visitor.identity().is_some_and(|own| own.user != user) {
        return Err(Error::forbidden(
            "a user may look at itself; others take an API key",
        ));
    }
    api.hub.user(&user).await.map(Json)
}

/// What to notify a user of.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ data, id?, from? }")]
#[schema(example = json!({ "data": { "title": "Your order is on its way" } }))]
pub(super) struct Notification {
    /// Any JSON; it is kept and delivered byte for byte.
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
    /// Your own id for it: the same id again for the same user is the same notification.
    id: Option<GivenId>,
    /// Whom the user sees as the sender; takes an API key.
    from: Option<SentBy>,
}

/// Notify a user, absent or not.
///
/// All its connections get the event `notification`; it is kept in the room `user:<id>`, where the user reads it later.
/// Takes an API key, or the `publish` grant in that room.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/notifications",
    operation_id = "notify_user",
    tag = "users",
    params(OfUser),
    request_body = Notification,
    responses(
        (status = 201, description = "Stored.", body = schema::Sent),
        (status = 200, description = "The user has a notification of this id already.", body = schema::Sent),
    )
)]
pub(super) async fn notify(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    settling: Settling,
    PathParams(OfUser { user }): PathParams<OfUser>,
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
    let sending = publish_for(&api, &visitor, publish, notification.from).await?;
    settling.answer(sending).await
}

/// What came of ending a user's connections.
#[derive(Serialize)]
pub(super) struct Disconnected {
    user: UserId,
    connections: usize,
}

/// End a user's connections.
///
/// Its clients do not come back by themselves and cannot resume their sessions; it may connect again for as long as its
/// token is good. Takes an API key.
#[utoipa::path(
    delete,
    path = "/v1/users/{user}/connections",
    operation_id = "disconnect_user",
    tag = "users",
    params(OfUser),
    responses((status = 200, description = "They are being closed.", body = schema::Disconnected))
)]
pub(super) async fn disconnect(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    PathParams(OfUser { user }): PathParams<OfUser>,
) -> Result<Json<Disconnected>> {
    only_back_ends(&visitor)?;
    let connections = api.hub.disconnect_user(&user).await?;
    Ok(Json(Disconnected { user, connections }))
}
