//! Finds out what a router has without running anything of it: axum lists neither routes nor fallbacks.
//!
//! A layer outside of everything else answers each request with the route that it would have reached.

use axum::{
    Extension, Router,
    body::Body,
    extract::{MatchedPath, Request},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::any,
};
use http::Uri;
use tower::ServiceExt;

/// A segment that no route has.
const ANY_SEGMENT: &str = "~switchboard~";

/// More segments than a route has, unless it ends in a wildcard.
const MANY_SEGMENTS: usize = 64;

/// What is reported of a request that reached no route.
const NO_ROUTE: &str = "/{*rest}";

/// Reports the routes of a router.
pub(super) struct RouteProbe(Router);

/// The path of the route that a request reached, as axum writes it.
#[derive(Clone)]
struct ReachedPath(String);

impl RouteProbe {
    pub(super) fn new(router: Router) -> Self {
        Self(router.layer(from_fn(report)))
    }

    /// The route with the same path as `path`, apart from the names of parameters, or one that axum does not take into the same
    /// router: it has a wildcard where `path` has a parameter. `path` itself has no wildcard.
    pub(super) async fn conflict(&self, path: &str) -> Option<String> {
        let segments = path.split('/').map(|segment| match is_parameter(segment) {
            true => ANY_SEGMENT,
            false => segment,
        });
        let sample = segments.collect::<Vec<_>>().join("/");
        let reached = reach(&self.0, &sample).await?;
        conflicts(path, &reached).then_some(reached)
    }

    /// Whether the router has a fallback of its own: nested in another router it keeps that, and takes the other's otherwise.
    pub(super) async fn has_fallback(&self) -> bool {
        let outer = Router::new().without_v07_checks();
        let outer = outer.nest("/outer", self.0.clone());
        // Whatever matches some of these, a fallback is what the others come to.
        let one = format!("/{ANY_SEGMENT}");
        let (with_slash, many) = (format!("{one}/"), one.repeat(MANY_SEGMENTS));
        for path in [&*many, &*one, &*with_slash, &*one.repeat(2), ""] {
            if reach(&outer, &format!("/outer{path}")).await.as_deref() == Some(NO_ROUTE) {
                return true;
            }
        }
        false
    }
}

/// What the probe reports of a request; `None` if it did not come to the probed router.
async fn reach(router: &Router, path: &str) -> Option<String> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().ok()?;
    let Ok(response) = router.clone().oneshot(request).await;
    let reached = response.extensions().get::<ReachedPath>();
    reached.map(|ReachedPath(path)| path.clone())
}

/// Answers in the place of a route or a fallback.
async fn report(mut request: Request, _next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    if let Some(path) = matched.map(|path| path.as_str().to_owned()) {
        return Extension(ReachedPath(path)).into_response();
    }
    // A nested service, or a fallback: axum tells where that is only to a router within, as part of the path matched there.
    *request.uri_mut() = Uri::from_static("/within");
    let within = any(async |path: MatchedPath| Extension(ReachedPath(path.as_str().to_owned())));
    let Ok(response) = Router::new().route(NO_ROUTE, within).oneshot(request).await;
    response
}

/// Whether a route that was reached by a sample of `path` conflicts with it.
fn conflicts(path: &str, reached: &str) -> bool {
    let mut others = reached.split('/');
    for segment in path.split('/') {
        match others.next() {
            Some(other) if is_wildcard(other) => return is_parameter(segment),
            // The route branches off here, and the one with the fixed segment goes first.
            Some(other) if is_parameter(other) != is_parameter(segment) => return false,
            Some(_) => {}
            None => return false,
        }
    }
    others.next().is_none()
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{') && !segment.starts_with("{{") && !is_wildcard(segment)
}

fn is_wildcard(segment: &str) -> bool {
    segment.starts_with("{*")
}

#[cfg(test)]
mod tests;
