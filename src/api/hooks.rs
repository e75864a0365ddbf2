//! Hooks: how the back ends are that answer for what happens, and that are told of it.

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, access::require_api_key, schema};
use crate::{
    error::Result,
    hooks::{CallEndpointStatus, NotifyEndpointStatus},
    http::body::JsonBody,
    hub::StatelessCaller,
};

/// The endpoints of all hooks.
#[derive(Serialize)]
pub(super) struct HooksState {
    call: Vec<CallEndpointStatus>,
    notify: Vec<NotifyEndpointStatus>,
}

/// Which endpoint.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "{ url }")]
#[schema(example = json!({ "url": "https://app.example/events" }))]
pub(super) struct ResumeRequest {
    /// Its URL, as the list of endpoints shows it.
    url: String,
}

/// List the endpoints of hooks.
///
/// How each is: of those that answer, as this node sees it, whether it is asked, how many calls are under way, and what failed last; of
/// those that are told, how far behind it is, over all nodes, and what failed last if this node is the one that sends. Requires an
/// API key.
#[utoipa::path(
    get,
    path = "/v1/hooks",
    operation_id = "list_hooks",
    tag = "hooks",
    responses((status = 200, description = "The endpoints, in the order of the configuration.", body = schema::HooksSchema))
)]
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
) -> Result<Json<HooksState>> {
    require_api_key(&caller)?;
    Ok(Json(HooksState {
        call: api.hub.hooks().call_status(),
        notify: api.hub.notify_status().await?,
    }))
}

/// Resume an endpoint of notifications.
///
/// One that has responded with 410 is told again, from where it stopped or from the oldest that is kept. One that fails is tried at
/// once, if this node is the one that sends to it. Requires an API key.
#[utoipa::path(
    post,
    path = "/v1/hooks/resume",
    operation_id = "resume_hook",
    tag = "hooks",
    request_body = ResumeRequest,
    responses(
        (status = 202, description = "It is told again."),
        (status = 404, description = "There is no such endpoint.", body = schema::RefusalSchema),
    )
)]
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    JsonBody(ResumeRequest { url }): JsonBody<ResumeRequest>,
) -> Result<StatusCode> {
    require_api_key(&caller)?;
    api.hub.resume_notifications(&url).await?;
    Ok(StatusCode::ACCEPTED)
}
