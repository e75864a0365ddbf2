//! Middleware of all calls: who calls, at what rate, and metrics.

use std::time::Instant;

use axum::{
    Extension,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, header, request::Parts};

use super::Api;
use crate::{
    auth::find_token,
    error::{Error, Result},
    http::client_address,
    hub::{Caller, StatelessCaller},
    model::Namespace,
};

/// Identifies the caller, and stores it as [`StatelessCaller`] in the request's extensions.
pub(super) async fn identify(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match authenticate(&api, &parts).await {
        Ok(caller) => {
            let identity = caller.identity();
            let charged = api.admission.charge(&mut parts, identity.as_deref());
            parts.extensions.insert(caller);
            let response = next.run(Request::from_parts(parts, body)).await;
            charged.finish(response)
        }
        Err(error) => error.into_response(),
    }
}

async fn authenticate(api: &Api, request: &Parts) -> Result<StatelessCaller> {
    let headers = &request.headers;
    let authority = api.hub.authority();
    // Only from that header: a key is for programs, and must not be in URLs.
    let bearer = find_token(headers, None, None);
    let has_key = bearer
        .as_ref()
        .is_some_and(|token| authority.api_keys().contains(&token.text));
    // No page sends a key by accident, and no cross-site page sends one without an `Origin`. A back end may reach the server in
    // open mode by any host name.
    let is_program = has_key && !headers.contains_key(header::ORIGIN);
    if !is_program {
        api.admission.check_origin(headers, &request.extensions)?;
    }
    let namespace = Namespace::root();
    if has_key {
        return Ok(StatelessCaller::back_end(namespace));
    }
    if authority.is_open() && bearer.is_some() && !authority.api_keys().is_empty() {
        let error = Error::unauthorized("this is no API key of this server");
        let address = client_address(&request.extensions).ip;
        return Err(api.admission.authenticator().record_failure(address, error));
    }
    let principal = api.admission.authenticator().principal(request).await?;
    api.hub.stateless_caller(namespace, principal)
}

/// Applies the user's request rate, as on a connection. Publishing takes its permit in the hub.
pub(super) async fn limit_rate(
    State(api): State<Api>,
    Extension(caller): Extension<StatelessCaller>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST
        && let Err(error) = api.hub.take_message_permit(&caller, Instant::now())
    {
        return error.into_response();
    }
    next.run(request).await
}

/// Refuses callers without an API key.
///
/// # Errors
/// `forbidden`.
pub(super) fn require_api_key(caller: &StatelessCaller) -> Result<()> {
    match caller.identity() {
        None => Ok(()),
        Some(_) => Err(Error::forbidden("this requires an API key")),
    }
}

/// Counts a response, and forbids caching it.
pub(super) async fn record_response(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    let metrics = api.hub.metrics();
    if let Some(error) = response.extensions().get::<Error>() {
        metrics.error(error);
    }
    if let Some(route) = route {
        metrics.answered(route.as_str(), response.status().as_u16());
    }
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
