//! The pages for people: HTML, style sheets and ES modules that are embedded into the binary as they are.
//!
//! A page loads nothing from elsewhere, and its content security policy says so. Its links are relative, for a proxy that serves it
//! below a path of its own.

use axum::{
    Extension, Router,
    extract::{OriginalUri, Path},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::http::{Routes, StaticBody, not_found};

/// Only what the server itself serves. Styles and scripts are files.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page at `/` has to know of the server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PageConfig {
    /// Where the groups of routes are.
    pub(crate) prefix: String,
    /// Where Socket.IO is.
    pub(crate) socketio: String,
    /// Clients choose their names: there is no key.
    pub(crate) open: bool,
    /// What is served below the prefix.
    pub(crate) groups: Vec<&'static str>,
    pub(crate) version: &'static str,
}

/// A file of a page.
struct PageFile {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($path:literal, $content_type:literal;)+) => {
        [$(PageFile {
            path: concat!("/pages/", $path),
            content_type: $content_type,
            text: include_str!(concat!("pages/", $path)),
        },)+]
    };
}

/// Everything in `src/pages` but the HTML.
const FILES: [PageFile; 54] = files! {
    "admin/api.js", "text/javascript";
    "admin/call_endpoint.js", "text/javascript";
    "admin/card.js", "text/javascript";
    "admin/chart_scale.js", "text/javascript";
    "admin/chart_table.js", "text/javascript";
    "admin/charts.js", "text/javascript";
    "admin/crosshair.js", "text/javascript";
    "admin/dialog.js", "text/javascript";
    "admin/documents.js", "text/javascript";
    "admin/endpoint_card.js", "text/javascript";
    "admin/event_stream.js", "text/javascript";
    "admin/figures.js", "text/javascript";
    "admin/format.js", "text/javascript";
    "admin/fragment.js", "text/javascript";
    "admin/hooks.js", "text/javascript";
    "admin/json.js", "text/javascript";
    "admin/loader.js", "text/javascript";
    "admin/log_in.js", "text/javascript";
    "admin/main.js", "text/javascript";
    "admin/members.js", "text/javascript";
    "admin/node_state.js", "text/javascript";
    "admin/nodes.js", "text/javascript";
    "admin/notify_endpoint.js", "text/javascript";
    "admin/overview.js", "text/javascript";
    "admin/paged_list.js", "text/javascript";
    "admin/plot.js", "text/javascript";
    "admin/room.js", "text/javascript";
    "admin/rooms.js", "text/javascript";
    "admin/send_form.js", "text/javascript";
    "admin/stats.js", "text/javascript";
    "admin/stats_stream.js", "text/javascript";
    "admin/style.css", "text/css";
    "admin/table.js", "text/javascript";
    "admin/tail.js", "text/javascript";
    "admin/tail_entry.js", "text/javascript";
    "admin/user.js", "text/javascript";
    "admin/users.js", "text/javascript";
    "shared/base.css", "text/css";
    "shared/dom.js", "text/javascript";
    "shared/icon.svg", "image/svg+xml";
    "try/address.js", "text/javascript";
    "try/composer.js", "text/javascript";
    "try/connection.js", "text/javascript";
    "try/connection_bar.js", "text/javascript";
    "try/main.js", "text/javascript";
    "try/messages.js", "text/javascript";
    "try/people.js", "text/javascript";
    "try/room.js", "text/javascript";
    "try/rooms.js", "text/javascript";
    "try/sidebar.js", "text/javascript";
    "try/sign_in.js", "text/javascript";
    "try/snippets.js", "text/javascript";
    "try/style.css", "text/css";
    "try/wire.js", "text/javascript";
};

/// What the dashboard has to know of the server.
#[derive(Clone, Debug, Serialize)]
struct AdminConfig {
    version: &'static str,
}

/// The dashboard, with and without a slash at its end, and its files.
const ADMIN: &str = "/admin";
const ADMIN_WITH_SLASH: &str = "/admin/";
const ADMIN_FILE: &str = "/admin/pages/{folder}/{file}";

/// The dashboard at `/admin`. Its files are below it, because an application may answer everywhere else.
pub(crate) fn admin() -> Routes {
    let page = |files: &'static str| {
        let config = AdminConfig {
            version: env!("CARGO_PKG_VERSION"),
        };
        let page = include_str!("pages/admin/index.html").replace("{root}", files);
        let page = Bytes::from(with_config(&page, &config));
        get(async move || respond("text/html; charset=utf-8", page))
    };
    let file = async |Path((folder, file)): Path<(String, String)>, uri: OriginalUri| {
        let found = find_file(&format!("/pages/{folder}/{file}"));
        match found {
            Some(file) => file.into_response(),
            None => not_found(uri).await,
        }
    };
    let router = Router::new()
        .route(ADMIN, page("admin/"))
        .route(ADMIN_WITH_SLASH, page(""))
        .route(ADMIN_FILE, get(file));
    Routes::new(router, [ADMIN, ADMIN_WITH_SLASH, ADMIN_FILE])
}

/// What the server answers where no route matches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fallback {
    /// The page at `/`.
    pub(crate) page: Option<PageConfig>,
    /// Where the dashboard would be if it were open.
    pub(crate) closed_admin: Option<String>,
}

/// The response where no route matches, unless an application has a fallback of its own: the page at `/`, its files, a page that says how
/// to open the dashboard, and 404 elsewhere.
pub(crate) fn fallback(config: Fallback) -> Router {
    let page = config
        .page
        .map(|config| Bytes::from(with_config(include_str!("pages/try/index.html"), &config)));
    let closed_admin = config.closed_admin;
    Router::new().fallback(async move |method: Method, uri: OriginalUri| {
        let is_read = method == Method::GET || method == Method::HEAD;
        let path = uri.path();
        let is_closed = |admin: &String| path.strip_suffix('/').unwrap_or(path) == admin;
        if is_read && closed_admin.as_ref().is_some_and(is_closed) {
            return (StatusCode::NOT_FOUND, respond_closed()).into_response();
        }
        let found = page.filter(|_| is_read).and_then(|page| find(page, path));
        match found {
            Some(response) => response,
            None => not_found(uri).await,
        }
    })
}

fn find(page: Bytes, path: &str) -> Option<Response> {
    match path {
        "/" => Some(respond("text/html; charset=utf-8", page)),
        path => find_file(path).map(IntoResponse::into_response),
    }
}

fn find_file(path: &str) -> Option<&'static PageFile> {
    FILES.iter().find(|file| file.path == path)
}

impl IntoResponse for &'static PageFile {
    fn into_response(self) -> Response {
        respond(self.content_type, Bytes::from_static(self.text.as_bytes()))
    }
}

fn respond_closed() -> Response {
    let page = include_str!("pages/admin/closed.html");
    respond(
        "text/html; charset=utf-8",
        Bytes::from_static(page.as_bytes()),
    )
}

fn respond(content_type: &'static str, body: Bytes) -> Response {
    let header = |name: HeaderName, value| (name, HeaderValue::from_static(value));
    let headers = [
        header(header::CONTENT_TYPE, content_type),
        header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        header(header::REFERRER_POLICY, "no-referrer"),
        // Another version of the server has other files.
        header(header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Extension(StaticBody), body).into_response()
}

/// A page that is told `config`.
fn with_config(page: &str, config: &impl Serialize) -> String {
    let config = serde_json::to_string(config).expect("strings and flags");
    // Within a script element nothing may look like its end.
    let config = config.replace('<', "\\u003c");
    page.replace("{config}", &config)
}

#[cfg(test)]
mod tests;
