//! What operators ask over HTTP: is it alive, can it serve, what has it counted.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Uri, header};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    error::{Code, Error},
    hub::Hub,
    transport::http::refusal,
};

#[derive(Clone)]
struct Asked {
    hub: Hub,
    draining: CancellationToken,
}

/// `/healthz`, `/readyz`, `/metrics`.
pub(crate) fn routes(hub: &Hub, draining: CancellationToken) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Asked {
            hub: hub.clone(),
            draining,
        })
}

/// The answer where nothing else answers.
pub(crate) async fn nothing_here(uri: Uri) -> Response {
    refusal(&Error::new(
        Code::NotFound,
        format!("there is nothing at {}", uri.path()),
    ))
}

/// The process lives.
async fn healthz() -> Response {
    Json(json!({ "ok": true })).into_response()
}

/// New clients can be served: storage is usable and the node is not going down.
async fn readyz(State(asked): State<Asked>) -> Response {
    if asked.draining.is_cancelled() {
        return refusal(&Error::new(Code::Draining, "this node is going down"));
    }
    match asked.hub.ready().await {
        Ok(()) => Json(json!({ "ok": true })).into_response(),
        Err(error) => refusal(&error),
    }
}

/// Prometheus' text format.
async fn metrics(State(asked): State<Asked>) -> Response {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, format)],
        asked.hub.metrics().render(),
    )
        .into_response()
}
