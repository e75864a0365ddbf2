//! Users: looking one up, notifying it, and closing its connections.

use axum::{Extension, Json, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    access::require_api_key,
    messages::{SentBy, publish_for},
    params::{Bounded, MessageIdParam, UserPath},
    pending_publish::PublishResponder,
    schema,
};
use crate::{
    error::{Error, Result},
    http::{
        body::JsonBody,
        json::parse_optional,
        params::{PathParams, QueryParams},
    },
    hub::{Caller, Publish, StatelessCaller, UserConnection, UserSummary, UsersPage, UsersRequest},
    model::{EventName, MAX_NAME_BYTES, RoomName, UserId},
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

/// Query of a user list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsersQuery {
    /// Only those whose ids begin with this.
    #[serde(default)]
    #[param(required = false, max_length = 128)]
    prefix: String,
    /// Page size.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<Bounded<1, 1000>>,
    /// `next` of the previous page.
    #[param(
        value_type = Option<String>,
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\s\u0000-\u001f\u007f-\u009f]+$"
    )]
    cursor: Option<UserId>,
}

/// List the users that are connected.
///
/// By id, over all nodes. Requires an API key.
#[utoipa::path(
    get,
    path = "/v1/users",
    operation_id = "list_users",
    tag = "users",
    params(UsersQuery),
    responses((status = 200, description = "Some of the users.", body = schema::UsersSchema))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    QueryParams(query): QueryParams<UsersQuery>,
) -> Result<Json<UsersPage>> {
    require_api_key(&caller)?;
    if query.prefix.chars().count() > MAX_NAME_BYTES {
        return Err(Error::bad_request(format!(
            "no user's id has more than {MAX_NAME_BYTES} bytes"
        )));
    }
    let request = UsersRequest {
        prefix: query.prefix,
        after: query.cursor,
        limit: query.limit.map(Bounded::count),
    };
    api.hub.users(request).await.map(Json)
}

/// The connections of a user.
#[derive(Serialize)]
pub(super) struct ConnectionsResponse {
    user: UserId,
    connections: Vec<UserConnection>,
}

/// List a user's connections.
///
/// On all nodes, the oldest first. Requires an API key.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/connections",
    operation_id = "list_connections",
    tag = "users",
    params(UserPath),
    responses((status = 200, description = "The connections; none if it is offline.", body = schema::ConnectionsSchema))
)]
pub(super) async fn connections(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    PathParams(UserPath { user }): PathParams<UserPath>,
) -> Result<Json<ConnectionsResponse>> {
    require_api_key(&caller)?;
    let connections = api.hub.user_connections(&user).await?;
    Ok(Json(ConnectionsResponse { user, connections }))
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
