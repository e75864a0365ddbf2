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
    auth::{AdminSession, find_token},
    error::{Error, Result},
    hooks::HookPermit,
    http::{client_address, origins::is_own_page},
    hub::{Caller, StatelessCaller},
    model::{Namespace, Timestamp},
};

/// A caller with the key of operators, or with a session of the dashboard: in the extensions of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator {
    /// `None`: it has the key.
    pub(super) session: Option<AdminSession>,
}

/// The header of the dashboard's own calls: without a session they fail, and do not become those of a user.
const OF_DASHBOARD: &str = "x-switchboard-dashboard";

/// Identifies the caller, and stores it as [`StatelessCaller`] in the request's extensions, with [`Operator`] if it is one.
pub(super) async fn identify(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match authenticate(&api, &mut parts).await {
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

async fn authenticate(api: &Api, request: &mut Parts) -> Result<StatelessCaller> {
    let headers = &request.headers;
    let authority = api.hub.authority();
    // Only from that header: a key is for programs, and must not be in URLs.
    let bearer = find_token(headers, None, None);
    let presents = |is_key: &dyn Fn(&str) -> bool| {
        let token = bearer.as_ref();
        token.is_some_and(|token| is_key(&token.text))
    };
    let admin = authority.admin();
    let has_admin_key = presents(&|text| admin.is_some_and(|admin| admin.is_key(text)));
    let has_key = has_admin_key || presents(&|text| authority.api_keys().contains(text));
    // No page sends a key by accident, and no cross-site page sends one without an `Origin`. A back end may reach the server in
    // open mode by any host name.
    let is_program = has_key && !headers.contains_key(header::ORIGIN);
    if !is_program {
        api.admission.check_origin(headers, &request.extensions)?;
    }
    let namespace = Namespace::root();
    let session = match &bearer {
        None => admin_session(api, request),
        Some(_) => None,
    };
    if has_admin_key || session.is_some() {
        request.extensions.insert(Operator { session });
    }
    if has_key || session.is_some() {
        return Ok(StatelessCaller::back_end(namespace));
    }
    if request.headers.contains_key(OF_DASHBOARD) {
        return Err(no_session());
    }
    let has_keys = admin.is_some() || !authority.api_keys().is_empty();
    if authority.is_open() && bearer.is_some() && has_keys {
        let error = Error::unauthorized("this is no API key of this server");
        let address = client_address(&request.extensions).ip;
        return Err(api.admission.authenticator().record_failure(address, error));
    }
    let principal = api.admission.authenticator().principal(request).await?;
    let facts = api.admission.client_facts(request);
    if api.hub.hooks().asks(HookPermit::Connect, None) {
        // Before a back end is asked, at the rate of whom the client says it is.
        let shown = api
            .hub
            .stateless_caller(namespace.clone(), principal.clone())?;
        api.hub.take_message_permit(&shown, Instant::now())?;
    }
    api.hub.admit_request(namespace, principal, &facts).await
}

/// The session of the dashboard that a request of its page brings. A cookie is sent by the browser itself, so it counts for none but
/// the server's own pages, whatever others may connect.
pub(super) fn admin_session(api: &Api, request: &Parts) -> Option<AdminSession> {
    if !is_own_page(&request.headers, &request.extensions) {
        return None;
    }
    let admin = api.hub.authority().admin()?;
    admin.session(&request.headers, Timestamp::now())
}

/// The error for a request of the dashboard without a session.
pub(super) fn no_session() -> Error {
    Error::unauthorized("there is no session of the dashboard: log in with auth.admin_key")
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

/// Refuses callers that are no operators.
///
/// # Errors
/// `forbidden`.
pub(super) fn require_operator(operator: Option<Extension<Operator>>) -> Result<()> {
    match operator {
        Some(_) => Ok(()),
        None => Err(Error::forbidden(
            "this requires auth.admin_key, or a session of the dashboard",
        )),
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
