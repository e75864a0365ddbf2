//! Endpoints for operators: liveness, readiness, metrics.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{header, request::Parts};
use serde_json::json;

use super::Api;
use crate::{
    auth::{ApiKeys, find_token},
    error::{Code, Error, Result},
    http::{Routes, client_address, error_response, route_all},
};

/// With and without a trailing slash, because load balancers use both.
const HEALTHZ: [&str; 2] = ["/healthz", "/healthz/"];
const READYZ: [&str; 2] = ["/readyz", "/readyz/"];
const METRICS: [&str; 2] = ["/metrics", "/metrics/"];

/// `/healthz` and `/readyz`.
pub(super) fn probes(api: &Api) -> Routes {
    let alive = route_all(&HEALTHZ, &get(healthz));
    let router = alive.merge(route_all(&READYZ, &get(readyz)));
    Routes::new(router.with_state(api.clone()), [HEALTHZ, READYZ].concat())
}

/// `/metrics`, protected by the key if there is one.
pub(super) fn metrics(api: &Api, key: ApiKeys) -> Routes {
    let page = get(async move |State(api): State<Api>, request: Request| {
        let (request, _) = request.into_parts();
        match check_key(&api, &key, &request) {
            Ok(()) => render(&api),
            Err(error) => {
                api.hub.metrics().error(&error);
                error.into_response()
            }
        }
    });
    let router = route_all(&METRICS, &page).with_state(api.clone());
    Routes::new(router, METRICS)
}

fn check_key(api: &Api, key: &ApiKeys, request: &Parts) -> Result<()> {
    let presented = find_token(&request.headers, None, None);
    if key.is_empty() || presented.is_some_and(|presented| key.contains(&presented.text)) {
        return Ok(());
    }
    let error = Error::unauthorized("the key of http.metrics_key is needed: Authorization: Bearer");
    let address = client_address(&request.extensions).ip;
    Err(api.admission.authenticator().record_failure(address, error))
}

/// The process is alive.
async fn healthz() -> Response {
    Json(json!({ "ok": true })).into_response()
}

/// New clients can be served: storage is usable and the node is not going down.
async fn readyz(State(api): State<Api>) -> Response {
    if api.admission.draining().is_cancelled() {
        return error_response(&Error::new(Code::Draining, "this node is going down"));
    }
    match api.hub.ready().await {
        Ok(()) => Json(json!({ "ok": true })).into_response(),
        Err(error) => error_response(&error),
    }
}

/// The metrics in OpenMetrics text format.
fn render(api: &Api) -> Response {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], api.hub.metrics().render()).into_response()
}
