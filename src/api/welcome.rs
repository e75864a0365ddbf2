//! What answers where no route matches: a page for people at `/`, and 404 elsewhere.

use axum::{
    Extension, Router,
    extract::OriginalUri,
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use http::{Method, header};

use super::not_found;
use crate::http::{RouteGroup, StaticBody};

/// The page may load nothing; its style is inlined.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The links of the page: the group of routes that each leads to, its path and its text.
const LINKS: [(RouteGroup, &str, &str); 5] = [
    (RouteGroup::Events, "events/lobby", "A stream of events"),
    (RouteGroup::Rest, "v1/docs", "The HTTP API"),
    (RouteGroup::Health, "healthz", "Is it alive"),
    (RouteGroup::Health, "readyz", "Can it serve"),
    (RouteGroup::Metrics, "metrics", "Metrics"),
];

/// The response where no route matches, unless an application has a fallback of its own. The page links to `groups`, which
/// are served below `prefix`.
pub(crate) fn fallback(prefix: &str, groups: &[RouteGroup]) -> Router {
    let page = Bytes::from(page(prefix, groups));
    Router::new().fallback(async move |method: Method, uri: OriginalUri| {
        let is_read = method == Method::GET || method == Method::HEAD;
        match uri.path() == "/" && is_read {
            true => welcome(page),
            false => not_found(uri).await,
        }
    })
}

fn welcome(page: Bytes) -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, POLICY)];
    (policy, Extension(StaticBody), Html(page)).into_response()
}

fn page(prefix: &str, groups: &[RouteGroup]) -> String {
    // Relative, for a proxy that serves this below a path of its own.
    let prefix = prefix.strip_prefix('/').map(|prefix| format!("{prefix}/"));
    let prefix = prefix.unwrap_or_default();
    let served = LINKS.iter().filter(|(group, ..)| groups.contains(group));
    let links: Vec<_> = served
        .map(|(_, path, text)| format!("<a href=\"{prefix}{path}\">{text}</a>"))
        .collect();
    include_str!("welcome.html").replace("{links}", &links.join(", "))
}

#[cfg(test)]
mod tests;
