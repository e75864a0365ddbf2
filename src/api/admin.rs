//! The session of the dashboard: logging in with the key of operators, and out again.

use axum::{
    Json,
    extract::{Request, State},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::Deserialize;
use serde_json::json;

use super::{
    Api,
    access::{admin_session, no_session},
};
use crate::{
    auth::{ADMIN_COOKIE, ADMIN_SESSION},
    error::{Error, Result},
    http::{
        ClientAddress, Routes, body::JsonBody, client_address, forwarded, origins::is_own_page,
        params::QueryParams, route_all, traced,
    },
    model::Timestamp,
};

const SESSION: [&str; 2] = ["/admin/session", "/admin/session/"];

/// `/admin/session`; the cookie is for everything below `prefix`.
pub(super) fn routes(api: &Api) -> Routes {
    let session = get(show).post(log_in).delete(log_out);
    let router = route_all(&SESSION, &session).layer(from_fn(refuse_other_pages));
    Routes::new(traced(super::with_common_layers(router, api)), SESSION)
}

/// Only the dashboard itself may open and end sessions, and learn whether there is one.
async fn refuse_other_pages(request: Request, next: Next) -> Response {
    match is_own_page(request.headers(), request.extensions()) {
        true => next.run(request).await,
        false => Error::forbidden("only the server's own page may use this").into_response(),
    }
}

/// Tells whether the request has a session, and when that ends.
async fn show(State(api): State<Api>, request: Request) -> Result<Response> {
    let (parts, _) = request.into_parts();
    let session = admin_session(&api, &parts).ok_or_else(no_session)?;
    Ok(Json(json!({ "expires_at": session.expires_at })).into_response())
}

#[derive(Deserialize)]
#[serde(expecting = "{ key }")]
struct LogIn {
    key: String,
}

/// Where the browser has the server: a proxy may have it below a path of its own, in front of the prefix.
#[derive(Deserialize)]
struct BrowserPath {
    path: Option<String>,
}

impl BrowserPath {
    /// The path of the cookie, so that the browser sends it with all calls and to nobody else.
    fn of_cookie(self, prefix: &str) -> String {
        let is_plain = |path: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
            path.starts_with('/') && path.bytes().all(plain)
        };
        let path = self
            .path
            .filter(|path| is_plain(path) && path.ends_with(prefix));
        match path.unwrap_or_else(|| prefix.to_owned()) {
            path if path.is_empty() => "/".to_owned(),
            path => path,
        }
    }
}

/// Opens a session for the key of operators.
async fn log_in(
    State(api): State<Api>,
    request: Parts,
    QueryParams(path): QueryParams<BrowserPath>,
    JsonBody(LogIn { key }): JsonBody<LogIn>,
) -> Result<Response> {
    let address = client_address(&request.extensions).ip;
    let log_ins = api.admission.log_ins();
    let value = log_ins.log_in(api.hub.authority(), address, (&key, "dashboard"))?;
    let age = ADMIN_SESSION.as_secs();
    Ok(with_cookie(
        &request,
        &path.of_cookie(&api.prefix),
        &value,
        age,
    ))
}

/// Ends the session of the request, if it has one.
async fn log_out(
    State(api): State<Api>,
    request: Parts,
    QueryParams(path): QueryParams<BrowserPath>,
) -> Response {
    if let (Some(admin), Some(session)) =
        (api.hub.authority().admin(), admin_session(&api, &request))
    {
        admin.end_session(session, Timestamp::now());
    }
    with_cookie(&request, &path.of_cookie(&api.prefix), "", 0)
}

fn with_cookie(request: &Parts, path: &str, value: &str, age: u64) -> Response {
    let secure = match is_secure(request) {
        true => "; Secure",
        false => "",
    };
    let cookie = format!(
        "{ADMIN_COOKIE}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
    );
    let cookie = HeaderValue::try_from(cookie).expect("base64 and a path of plain characters");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

/// Whether the browser came by TLS, to this server itself or as a trusted proxy or the browser says.
fn is_secure(request: &Parts) -> bool {
    let ClientAddress { proxied, tls, .. } = client_address(&request.extensions);
    let origin = request.headers.get(header::ORIGIN);
    tls || origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
        || (proxied && forwarded::is_secure(&request.headers) == Some(true))
}
