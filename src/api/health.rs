//! What operators ask over HTTP: is it alive, can it serve, what has it counted.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use serde_json::json;

use super::Api;
use crate::{
    error::{Code, Error},
    transport::http::refusal,
};

/// `/healthz`, `/readyz`, `/metrics`.
pub(super) fn routes(api: &Api) -> Router {
    // Monitors and load balancers ask with a slash at the end, too.
    Router::new()
        .route("/healthz", get(healthz))
        .route("/healthz/", get(healthz))
        .route("/readyz", get(readyz))
        .route("/readyz/", get(readyz))
        .route("/metrics", get(metrics))
        .route("/metrics/", get(metrics))
        .with_state(api.clone())
}

/// The process lives.
async fn healthz() -> Response {
    Json(json!({ "ok": true })).into_response()
}

/// New clients can be served: storage is usable and the node is not going down.
async fn readyz(State(api): State<Api>) -> Response {
    if api.doorway.draining().is_cancelled() {
        return refusal(&Error::new(Code::Draining, "this node is going down"));
    }
    match api.hub.ready().await {
        Ok(()) => Json(json!({ "ok": true })).into_response(),
        Err(error) => refusal(&error),
    }
}

/// Prometheus' text format.
async fn metrics(State(api): State<Api>) -> Response {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], api.hub.metrics().render()).into_response()
}
