//! `/socket.io/socket.io.js`: pages written for Socket.IO's own server load their client from there.
//!
//! The client is not part of this server. Requests are redirected to where the operator says it is. Otherwise a script is
//! served that says where to get it: a script that gets 404 is not run, and the page would not show why.

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};

use crate::http::Routes;

/// The bundles that Socket.IO's own server serves, each with whether it is a module.
const BUNDLES: [(&str, bool); 4] = [
    ("socket.io.js", false),
    ("socket.io.min.js", false),
    ("socket.io.msgpack.min.js", false),
    ("socket.io.esm.min.js", true),
];

const SCRIPT_BODY: &str = include_str!("client_script.js");
const MODULE_EXPORTS: &str =
    "export { io, io as connect, io as Manager, io as Socket, io as default };\n";

/// The routes below `path`; `client` is the URL of the folder that has the bundles.
pub(super) fn routes(path: &str, client: Option<&str>) -> Routes {
    BUNDLES
        .iter()
        .fold(Routes::default(), |routes, (name, module)| {
            let redirect = client.map(|client| format!("{}/{name}", client.trim_end_matches('/')));
            let response = match redirect.and_then(|url| HeaderValue::try_from(url).ok()) {
                Some(url) => ClientScript::Redirect(url),
                None => ClientScript::Inline { module: *module },
            };
            let path = format!("{path}/{name}");
            let route = Router::new().route(&path, get(async move || response));
            routes.merge(Routes::new(route, [path]))
        })
}

#[derive(Clone)]
enum ClientScript {
    Redirect(HeaderValue),
    Inline { module: bool },
}

impl IntoResponse for ClientScript {
    fn into_response(self) -> Response {
        let headers = [
            (
                header::CONTENT_TYPE,
                "application/javascript; charset=utf-8",
            ),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        match self {
            ClientScript::Redirect(url) => {
                (StatusCode::FOUND, [(header::LOCATION, url)]).into_response()
            }
            ClientScript::Inline { module: false } => (headers, SCRIPT_BODY).into_response(),
            ClientScript::Inline { module: true } => {
                (headers, format!("{SCRIPT_BODY}{MODULE_EXPORTS}")).into_response()
            }
        }
    }
}
