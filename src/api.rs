//! The REST API: for back ends, scripts and users without a connection, and the endpoints for operators.
//!
//! The router is the table of contents; each subject has a file. A call parses its request into the hub's types and returns what
//! the hub returns; it knows no rules. `/v1/openapi.json` is generated from the same items as the routes.

use std::sync::Arc;

use axum::{Extension, Router, middleware::from_fn_with_state, routing::any};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::ApiKeys,
    http::{Routes, method_not_allowed, not_found, traced},
    hub::Hub,
    transport::AdmissionControl,
};

mod access;
mod batch;
mod docs;
mod health;
mod messages;
mod params;
mod pending_publish;
mod rooms;
mod schema;
mod users;

/// The API's shared state.
#[derive(Clone)]
struct Api {
    hub: Hub,
    admission: Arc<AdmissionControl>,
}

/// The routes of the API, by group.
pub(crate) struct ApiRoutes {
    /// `/v1`.
    pub(crate) rest: Routes,
    /// `/healthz` and `/readyz`.
    pub(crate) health: Routes,
    /// `/metrics`.
    pub(crate) metrics: Routes,
    /// What answers below `/v1` where `rest` has no route.
    pub(crate) rest_fallback: Router,
    /// For an address that only operators can reach.
    pub(crate) operators: Router,
}

/// The API's routes, to be served below `prefix`.
pub(crate) fn routes(
    admission: &Arc<AdmissionControl>,
    metrics_key: ApiKeys,
    prefix: &str,
) -> ApiRoutes {
    let api = Api {
        hub: admission.hub().clone(),
        admission: admission.clone(),
    };
    let health = health::probes(&api);
    let metrics = health::metrics(&api, metrics_key);
    let operators = health.clone().merge(metrics.clone()).router;
    let elsewhere = Router::new().route(&format!("{prefix}/v1/{{*elsewhere}}"), any(not_found));
    ApiRoutes {
        rest: v1(&api, prefix),
        rest_fallback: traced(with_common_layers(elsewhere, &api)),
        health,
        metrics,
        operators: operators
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed),
    }
}

/// The calls that can be made alone and in a batch.
fn call_routes(api: &Api) -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(messages::send, messages::list))
        .routes(routes!(rooms::list))
        .routes(routes!(rooms::show))
        .routes(routes!(rooms::presence))
        .routes(routes!(rooms::kick))
        .routes(routes!(users::show))
        .routes(routes!(users::notify))
        .routes(routes!(users::disconnect))
        .route_layer(from_fn_with_state(api.clone(), access::limit_rate))
}

fn v1(api: &Api, prefix: &str) -> Routes {
    let (inner, _) = call_routes(api).split_for_parts();
    let inner = with_common_layers(inner.fallback(not_found), api);
    let (router, mut document) = OpenApiRouter::with_openapi(docs::base_document(prefix))
        .merge(call_routes(api))
        .routes(routes!(batch::run))
        .layer(Extension(batch::CallRouter::new(inner, prefix)))
        .route_layer(from_fn_with_state(api.clone(), access::identify))
        .routes(routes!(docs::openapi))
        .routes(routes!(docs::page))
        .split_for_parts();
    docs::add_common_responses(&mut document, api.hub.authority().is_open());
    let described = document.paths.paths.keys().cloned();
    let paths: Vec<String> = described.chain([docs::FILE_PATH.to_owned()]).collect();
    let router = router
        .route(docs::FILE_PATH, axum::routing::get(docs::file))
        .layer(Extension(docs::Document::new(&document)))
        .layer(Extension(docs::PageFiles::new(prefix)));
    Routes::new(traced(with_common_layers(router, api)), paths)
}

/// Adds the layers that all responses of the API pass through.
fn with_common_layers(router: Router<Api>, api: &Api) -> Router {
    router
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(api.clone(), access::record_response))
        .with_state(api.clone())
}
