//! The pages for people: HTML, style sheets and ES modules that are embedded into the binary as they are.
//!
//! A page loads nothing from elsewhere, and its content security policy says so. Its links are relative, for a proxy that serves it
//! below a path of its own.

use axum::{
    Extension, Router,
    extract::OriginalUri,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;

use crate::http::{StaticBody, not_found};

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
const FILES: [PageFile; 16] = files! {
    "try/address.js", "text/javascript";
    "try/composer.js", "text/javascript";
    "try/connection.js", "text/javascript";
    "try/connection_bar.js", "text/javascript";
    "try/dom.js", "text/javascript";
    "try/icon.svg", "image/svg+xml";
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

/// The response where no route matches, unless an application has a fallback of its own: the page at `/`, its files, and 404 elsewhere.
pub(crate) fn fallback(config: Option<PageConfig>) -> Router {
    let page = config.map(|config| Bytes::from(try_page(&config)));
    Router::new().fallback(async move |method: Method, uri: OriginalUri| {
        let is_read = method == Method::GET || method == Method::HEAD;
        let found = page
            .filter(|_| is_read)
            .and_then(|page| find(page, uri.path()));
        match found {
            Some(response) => response,
            None => not_found(uri).await,
        }
    })
}

fn find(page: Bytes, path: &str) -> Option<Response> {
    if path == "/" {
        return Some(respond("text/html; charset=utf-8", page));
    }
    let file = FILES.iter().find(|file| file.path == path)?;
    Some(respond(
        file.content_type,
        Bytes::from_static(file.text.as_bytes()),
    ))
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

fn try_page(config: &PageConfig) -> String {
    let config = serde_json::to_string(config).expect("strings and a flag");
    // Within a script element nothing may look like its end.
    let config = config.replace('<', "\\u003c");
    include_str!("pages/try/index.html").replace("{config}", &config)
}

#[cfg(test)]
mod tests;
