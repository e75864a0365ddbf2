//! Who calls, and what is noted of every call.

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
    hub::{Caller, Visitor},
    model::Namespace,
};

/// Finds out who calls, for the call to find among the request's extensions.
pub(super) async fn identify(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match visitor(&api, &parts).await {
        Ok(visitor) => {
            let identity = visitor.identity();
            let charged = api.doorway.charge(&mut parts, identity.as_deref());
            parts.extensions.insert(visitor);
            let response = next.run(Request::from_parts(parts, body)).await;
            charged.answered(response)
        }
        Err(error) => error.into_response(),
    }
}

async fn visitor(api: &Api, request: &Parts) -> Result<Visitor> {
    let headers = &request.headers;
    let authority = api.hub.authority();
    // Only there: a key is for programs, and must not stand in addresses.
    let bearer = find_token(headers, None, None);
    let has_key = bearer
        .as_ref()
        .is_some_and(|token| authority.api_keys().contains(&token.text));
    // No page sends a key by accident, and none that is cross-site sends one without saying where it is from: a back end
    // may reach a server in open mode by any name.
    let is_program = has_key && !headers.contains_key(header::ORIGIN);
    if !is_program {
        api.doorway.check_origin(headers, &request.extensions)?;
    }
    let namespace = Namespace::root();
    if has_key {
        return Ok(Visitor::back_end(namespace));
    }
    if authority.is_open() && bearer.is_some() && !authority.api_keys().is_empty() {
        let error = Error::unauthorized("this is no API key of this server");
        let address = client_address(&request.extensions).ip;
        return Err(api.doorway.note_failure(address, error));
    }
    let principal = api.doorway.principal(request).await?;
    api.hub.visitor(namespace, principal)
}

/// Holds users to their rate, as with what they ask by a connection; sending takes its permit where it is done.
pub(super) async fn pace(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST
        && let Err(error) = api.hub.take_message_permit(&visitor, Instant::now())
    {
        return error.into_response();
    }
    next.run(request).await
}

/// Refuses whoever is no back end.
pub(super) fn only_back_ends(visitor: &Visitor) -> Result<()> {
    match visitor.identity() {
        None => Ok(()),
        Some(_) => Err(Error::forbidden("this takes an API key")),
    }
}

/// Counts an answer, and has nobody keep it.
pub(super) async fn record(State(api): State<Api>, request: Request, next: Next) -> Response {
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
