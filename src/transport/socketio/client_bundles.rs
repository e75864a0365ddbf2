//! `/socket.io/socket.io.js` and its variants: pages written for Socket.IO's own server load their client from there.
//!
//! The client is not part of this server. It is served from a folder, as npm installs it, or requests are redirected to where the
//! operator says that it is.

use std::path::Path;

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, Request, StatusCode, header};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use crate::{http::Routes, transport::settings::is_url};

/// The bundles that Socket.IO's own server serves. Each has a source map beside it.
const BUNDLES: [&str; 4] = [
    "socket.io.js",
    "socket.io.min.js",
    "socket.io.esm.min.js",
    "socket.io.msgpack.min.js",
];

/// Where npm puts the bundles.
const DEFAULT_FOLDER: &str = "node_modules/socket.io-client/dist";

/// The routes below `path`; `client` is the folder that has the bundles, or its URL.
pub(super) fn routes(path: &str, client: Option<&str>) -> Routes {
    let source = client.unwrap_or(DEFAULT_FOLDER).trim_end_matches('/');
    BUNDLES
        .iter()
        .flat_map(|name| [(*name).to_owned(), format!("{name}.map")])
        .fold(Routes::default(), |routes, name| {
            let handler = match is_url(source) {
                true => {
                    let url = format!("{source}/{name}");
                    get(async move || (StatusCode::FOUND, [(header::LOCATION, url)]))
                }
                false => {
                    let file = ServeFile::new(Path::new(source).join(&name));
                    let missing = missing(source, &name);
                    get(async move |request| serve(file, request, missing).await)
                }
            };
            let path = format!("{path}/{name}");
            routes.merge(Routes::new(Router::new().route(&path, handler), [path]))
        })
}

/// Responds with a file, or with how to get it. Looks for it at each request: it may be installed while the server runs.
async fn serve(file: ServeFile, request: Request<Body>, missing: String) -> Response {
    let mut response = match file.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    };
    if response.status() == StatusCode::NOT_FOUND {
        response = (StatusCode::NOT_FOUND, missing).into_response();
    }
    // As Node's server does: asked for each time, and sent only when it has changed.
    let revalidate = HeaderValue::from_static("no-cache");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, revalidate);
    response
}

fn missing(folder: &str, name: &str) -> String {
    format!(
        "There is no {folder}/{name} here. To serve it, run `npm install socket.io-client` in the folder where the server was started, \
         or set socketio.client to a folder that has it, or to a URL such as https://cdn.jsdelivr.net/npm/socket.io-client@4/dist\n"
    )
}
