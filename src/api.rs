//! The REST API: for back ends, scripts and users without a connection, and the endpoints for operators.
//!
//! The router is the table of contents; each subject has a file. A call parses its request into the hub's types and returns what
//! the hub returns; it knows no rules. `/v1/openapi.json` is generated from the same items as the routes.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, middleware::from_fn_with_state, routing::any};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::ApiKeys,
    http::{Routes, method_not_allowed, not_found, traced},
    hub::Hub,
    limits::Pool,
    transport::AdmissionControl,
};

mod access;
mod admin;
mod asyncapi;
mod batch;
mod docs;
mod documents;
mod emit;
mod event_stream;
mod health;
mod hooks;
mod messages;
mod nodes;
mod params;
mod pending_publish;
mod rooms;
mod schema;
mod stats;
mod tail;
mod users;

/// The API's shared state.
#[derive(Clone)]
struct Api {
    hub: Hub,
    admission: Arc<AdmissionControl>,
    /// `http.prefix`.
    prefix: Arc<str>,
    /// Cancelled to shut this node down.
    stop: CancellationToken,
    /// Places for streams.
    streams: Arc<Pool>,
    present: Arc<stats::PresentCache>,
}

impl Api {
    /// Ready when the node is shutting down and all connections are closed.
    async fn stopped(&self) {
        self.admission.draining().cancelled().await;
        while !self.hub.is_idle() {
            sleep(STOP_CHECK_INTERVAL).await;
        }
    }
}

/// How often a stream looks whether a node that shuts down has closed all connections.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// What the API needs of the configuration.
pub(crate) struct ApiConfig<'a> {
    /// What `/metrics` requires.
    pub(crate) metrics_key: ApiKeys,
    /// `http.prefix`.
    pub(crate) prefix: &'a str,
    /// Cancelled to shut this node down.
    pub(crate) stop: CancellationToken,
}

/// The routes of the API, by group.
pub(crate) struct ApiRoutes {
    /// `/v1`.
    pub(crate) rest: Routes,
    /// `/healthz` and `/readyz`.
    pub(crate) health: Routes,
    /// `/metrics`.
    pub(crate) metrics: Routes,
    /// `/admin/session`, if there is a key for operators.
    pub(crate) admin: Option<Routes>,
    /// What answers below `/v1` where `rest` has no route.
    pub(crate) rest_fallback: Router,
    /// For an address that only operators can reach.
    pub(crate) operators: Router,
}

/// The API's routes, to be served below the prefix.
pub(crate) fn routes(admission: &Arc<AdmissionControl>, config: ApiConfig<'_>) -> ApiRoutes {
    let ApiConfig {
        metrics_key,
        prefix,
        stop,
    } = config;
    let hub = admission.hub().clone();
    let limits = hub.limits();
    let api = Api {
        streams: Pool::new(limits.api_streams),
        present: Arc::default(),
        admission: admission.clone(),
        prefix: prefix.into(),
        stop,
        hub,
    };
    let health = health::probes(&api);
    let metrics = health::metrics(&api, metrics_key);
    let operators = health.clone().merge(metrics.clone()).router;
    let elsewhere = Router::new().route(&format!("{prefix}/v1/{{*elsewhere}}"), any(not_found));
    ApiRoutes {
        rest: v1(&api, prefix),
        admin: api.hub.authority().admin().map(|_| admin::routes(&api)),
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
        .routes(routes!(documents::list))
        .routes(routes!(documents::show, documents::delete))
        .routes(routes!(users::list))
        .routes(routes!(users::show))
        .routes(routes!(users::connections, users::disconnect))
        .routes(routes!(users::notify))
        .routes(routes!(emit::emit))
        .routes(routes!(hooks::list))
        .routes(routes!(hooks::resume))
        .route_layer(from_fn_with_state(api.clone(), access::limit_rate))
}

/// The calls whose bodies or responses are no JSON, so that they are not made in a batch.
fn binary_routes(api: &Api) -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(documents::state))
        .routes(routes!(documents::update))
        .route_layer(from_fn_with_state(api.clone(), access::limit_rate))
}

fn v1(api: &Api, prefix: &str) -> Routes {
    let (inner, _) = call_routes(api).split_for_parts();
    let inner = with_common_layers(inner.fallback(not_found), api);
    let (router, mut document) = OpenApiRouter::with_openapi(docs::base_document(prefix))
        .merge(call_routes(api))
        .merge(binary_routes(api))
        .routes(routes!(batch::run))
        .routes(routes!(stats::show))
        .routes(routes!(stats::stream))
        .routes(routes!(tail::tail))
        .routes(routes!(nodes::drain))
        .layer(Extension(batch::CallRouter::new(inner, prefix)))
        .route_layer(from_fn_with_state(api.clone(), access::identify))
        .routes(routes!(docs::openapi))
        .routes(routes!(asyncapi::show))
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
