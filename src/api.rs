//! The REST API: for back ends, scripts and users without a connection, and the endpoints for operators.
//!
//! The router is the table of contents; each subject has a file. A call parses its request into the hub's types and returns what
//! the hub returns; it knows no rules. `/v1/openapi.json` is generated from the same items as the routes.

use std::sync::Arc;

use axum::{
    Extension, Router,
    middleware::from_fn_with_state,
    response::{Html, IntoResponse, Response},
    routing::any,
};
use http::{Method, Uri, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::ApiKeys,
    error::{Code, Error},
    http::{StaticBody, error_response, method_not_allowed, traced},
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

/// The public routes (`/v1`, `/healthz`, `/readyz`, `/metrics`) and those for operators alone. With an internal address, `/metrics`
/// is only among the latter.
pub(crate) fn routes(
    admission: &Arc<AdmissionControl>,
    metrics_key: ApiKeys,
    has_internal: bool,
) -> (Router, Router) {
    let api = Api {
        hub: admission.hub().clone(),
        admission: admission.clone(),
    };
    let probes = health::probes(&api);
    let metrics = health::metrics(&api, metrics_key);
    let internal = probes.clone().merge(metrics.clone());
    let internal = internal
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    let mut public = probes.merge(traced(v1(&api)));
    if !has_internal {
        public = public.merge(metrics);
    }
    (public, internal)
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

fn v1(api: &Api) -> Router {
    let (inner, _) = call_routes(api).split_for_parts();
    let inner = batch::CallRouter::new(with_common_layers(inner.fallback(not_found), api));
    let (router, mut document) = OpenApiRouter::with_openapi(docs::base_document())
        .merge(call_routes(api))
        .routes(routes!(batch::run))
        .layer(Extension(inner))
        .route_layer(from_fn_with_state(api.clone(), access::identify))
        .routes(routes!(docs::openapi))
        .routes(routes!(docs::page))
        .split_for_parts();
    docs::add_common_responses(&mut document, api.hub.authority().is_open());
    let router = router
        .route("/v1/docs/{file}", axum::routing::get(docs::file))
        .route("/v1/{*elsewhere}", any(not_found))
        .layer(Extension(docs::Document::new(&document)));
    with_common_layers(router, api)
}

/// Adds the layers that all responses of the API pass through.
fn with_common_layers(router: Router<Api>, api: &Api) -> Router {
    router
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(api.clone(), access::record_response))
        .with_state(api.clone())
}

/// The welcome page may load nothing; its style is inlined.
const WELCOME_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                              frame-ancestors 'none'";

/// The response where no route matches: the welcome page at `/`, unless an application has a route there.
pub(crate) async fn fallback_page(method: Method, uri: Uri) -> Response {
    if uri.path() == "/" && (method == Method::GET || method == Method::HEAD) {
        let policy = [(header::CONTENT_SECURITY_POLICY, WELCOME_POLICY)];
        let page = Html(include_str!("api/welcome.html"));
        return (policy, Extension(StaticBody), page).into_response();
    }
    not_found(uri).await
}

/// 404.
pub(crate) async fn not_found(uri: Uri) -> Response {
    error_response(&Error::new(
        Code::NotFound,
        format!("there is nothing at {}", uri.path()),
    ))
}
