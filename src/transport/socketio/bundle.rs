//! `/socket.io/socket.io.js`: pages written for Socket.IO's own server take their client from there.
//!
//! The client is not part of this server. Pages are sent to where the operator says it is, or told where to take it from: a
//! script that is answered with 404 is not run, and nobody would see why.

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};

/// The bundles that Socket.IO's own server has, each with whether it is a module.
const BUNDLES: [(&str, bool); 4] = [
    ("socket.io.js", false),
    ("socket.io.min.js", false),
    ("socket.io.msgpack.min.js", false),
    ("socket.io.esm.min.js", true),
];

const SCRIPT: &str = include_str!("bundle.js");
const MODULE: &str = "export { io, io as connect, io as Manager, io as Socket, io as default };\n";

/// The routes below `path`; `client` is where the bundles are.
pub(super) fn routes(path: &str, client: Option<&str>) -> Router {
    BUNDLES
        .iter()
        .fold(Router::new(), |routes, (name, module)| {
            let elsewhere = client.map(|client| format!("{}/{name}", client.trim_end_matches('/')));
            let answer = match elsewhere.and_then(|url| HeaderValue::try_from(url).ok()) {
                Some(url) => Answer::Elsewhere(url),
                None => Answer::Script { module: *module },
            };
            routes.route(&format!("{path}/{name}"), get(async move || answer))
        })
}

#[derive(Clone)]
enum Answer {
    Elsewhere(HeaderValue),
    Script { module: bool },
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let kind = [
            (
                header::CONTENT_TYPE,
                "application/javascript; charset=utf-8",
            ),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        match self {
            Answer::Elsewhere(url) => {
                (StatusCode::FOUND, [(header::LOCATION, url)]).into_response()
            }
            Answer::Script { module: false } => (kind, SCRIPT).into_response(),
            Answer::Script { module: true } => (kind, format!("{SCRIPT}{MODULE}")).into_response(),
        }
    }
}
