//! REST: what back ends, scripts and users without a connection ask over HTTP, and what operators do.
//!
//! The router is the table of contents; one file a subject. A call reads what it is asked into the hub's types and answers
//! with what the hub says; it knows no rule. `/v1/openapi.json` is made from the same lines as the routes.

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
    transport::Doorway,
};

mod access;
mod batch;
mod docs;
mod health;
mod messages;
mod params;
mod rooms;
mod schema;
mod settling;
mod users;

/// What the API's calls need.
#[derive(Clone)]
struct Api {
    hub: Hub,
    doorway: Arc<Doorway>,
}

/// Everything under `/v1`, and `/healthz`, `/readyz`, `/metrics`, the last perhaps elsewhere: in the routes for operators alone.
pub(crate) fn routes(
    doorway: &Arc<Doorway>,
    metrics_key: ApiKeys,
    has_internal: bool,
) -> (Router, Router) {
    let api = Api {
        hub: doorway.hub().clone(),
        doorway: doorway.clone(),
    };
    let probes = health::probes(&api);
    let metrics = health::metrics(&api, metrics_key);
    let internal = probes.clone().merge(metrics.clone());
    let internal = internal
        .fallback(nothing_here)
        .method_not_allowed_fallback(method_not_allowed);
    let mut public = probes.merge(traced(v1(&api)));
    if !has_internal {
        public = public.merge(metrics);
    }
    (public, internal)
}

/// The calls that can stand alone and in a batch.
fn calls(api: &Api) -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(messages::send, messages::list))
        .routes(routes!(rooms::list))
        .routes(routes!(rooms::show))
        .routes(routes!(rooms::presence))
        .routes(routes!(rooms::kick))
        .routes(routes!(users::show))
        .routes(routes!(users::notify))
        .routes(routes!(users::disconnect))
        .route_layer(from_fn_with_state(api.clone(), access::pace))
}

fn v1(api: &Api) -> Router {
    let (inner, _) = calls(api).split_for_parts();
    let inner = batch::Calls::new(finished(inner.fallback(nothing_here), api));
    let (router, mut document) = OpenApiRouter::with_openapi(docs::begin())
        .merge(calls(api))
        .routes(routes!(batch::run))
        .layer(Extension(inner))
        .route_layer(from_fn_with_state(api.clone(), access::identify))
        .routes(routes!(docs::openapi))
        .routes(routes!(docs::page))
        .split_for_parts();
    docs::complete(&mut document, api.hub.authority().is_open());
    let router = router
        .route("/v1/docs/{file}", axum::routing::get(docs::file))
        .route("/v1/{*elsewhere}", any(nothing_here))
        .layer(Extension(docs::Document::new(&document)));
    finished(router, api)
}

/// Adds what every answer of the API goes through.
fn finished(router: Router<Api>, api: &Api) -> Router {
    router
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(api.clone(), access::record))
        .with_state(api.clone())
}

/// What the page about this server may load: nothing but the style that is in it.
const WELCOME_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                              frame-ancestors 'none'";

/// The answer where no route is: a page about this server at its root, unless an application has one there.
pub(crate) async fn no_route(method: Method, uri: Uri) -> Response {
    if uri.path() == "/" && (method == Method::GET || method == Method::HEAD) {
        let policy = [(header::CONTENT_SECURITY_POLICY, WELCOME_POLICY)];
        let page = Html(include_str!("api/welcome.html"));
        return (policy, Extension(StaticBody), page).into_response();
    }
    nothing_here(uri).await
}

/// The answer where nothing else answers.
pub(crate) async fn nothing_here(uri: Uri) -> Response {
    error_response(&Error::new(
        Code::NotFound,
        format!("there is nothing at {}", uri.path()),
    ))
}
